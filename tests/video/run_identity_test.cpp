#include "mia/video/run_identity.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>

#include "output.hpp"

namespace mia::detail {
namespace {

using testing::MatchesRegex;

class Identity : public test::MediaTest {
protected:
    std::string hash_of(const std::string& bytes) const { return sampled_hash(write_bytes("in", bytes), bytes.size()); }
};

TEST_F(Identity, EveryByteOfASmallFileAndTheEndsOfALargeOneCount) {
    const std::string small(5000, 'x');
    for (const std::size_t at : {0, 2500, 4999}) {
        std::string other = small;
        other[at] = 'y';
        EXPECT_NE(hash_of(other), hash_of(small)) << at;
    }
    const std::string large(5 << 20, 'x');
    for (const std::size_t at : {0u, (1u << 20) - 1, unsigned(large.size() / 17 * 9), unsigned(large.size() - 1)}) {
        std::string other = large;
        other[at] = 'y';
        EXPECT_NE(hash_of(other), hash_of(large)) << at;
    }
    EXPECT_EQ(hash_of(large), hash_of(large));
}

TEST_F(Identity, OfAFile) {
    VideoInfo info = test::info_of(8, 8);
    info.path = write_bytes("in", "12345");
    const auto identity = run_identity(info, {.identity = {{"model", "small"}}});
    EXPECT_EQ(identity.at("input"), (folder / "in").string());
    EXPECT_EQ(identity.at("input size"), "5 bytes");
    EXPECT_THAT(identity.at("input modified"), MatchesRegex("20..-..-.. ..:..:..\\.........."));
    EXPECT_EQ(identity.at("model"), "small");
    EXPECT_EQ(identity.at("part"), "0 s to the end");
    info.start_seconds = 1.5;
    info.end_seconds = 3;
    EXPECT_EQ(run_identity(info, {}).at("part"), "1.5 s to 3 s");
}

TEST_F(Identity, OfImages) {
    std::filesystem::create_directory(folder / "in");
    write_bytes("in/a.png", "a");
    write_bytes("in/b.png", "b");
    VideoInfo info = test::info_of(8, 8);
    info.path = folder / "in";
    info.kind = SourceKind::images;
    const auto identity = run_identity(info, {});
    EXPECT_EQ(identity.at("input images"), "2");
    write_bytes("in/notes.txt", "is not read, and does not count");
    EXPECT_EQ(run_identity(info, {}), identity);
    write_bytes("in/b.png", "bb");
    EXPECT_NE(run_identity(info, {}).at("input hash"), identity.at("input hash"));
    write_bytes("in/c.png", "c");
    EXPECT_EQ(run_identity(info, {}).at("input images"), "3");

    write_bytes("f_1.png", "1");
    write_bytes("f_2.png", "2");
    info.path = folder / "f_%d.png";
    EXPECT_EQ(run_identity(info, {}).at("input images"), "2");
}

TEST_F(Identity, OfTheEncoder) {
    std::map<std::string, std::string> identity;
    add_encoder_identity({.crf = 18, .encoder_options = {{"g", "5"}, {"tune", "film"}}}, "libx264", identity);
    EXPECT_EQ(identity.at("crf"), "18");
    EXPECT_EQ(identity.at("preset"), "default");
    EXPECT_EQ(identity.at("encoder threads"), "4");
    EXPECT_EQ(identity.at("encoder options"), "g=5, tune=film");
}

}  // namespace
}  // namespace mia::detail
