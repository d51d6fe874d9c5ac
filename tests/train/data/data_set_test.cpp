#include "mia/train/data/data_set.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <sstream>
#include <string>

namespace mia {
namespace {

using testing::HasSubstr;

DataSet parse(const std::string& lines, const std::filesystem::path& folder = {}) {
    std::istringstream in(lines);
    return parse_data_set(in, "set.txt", folder);
}

std::string error_of(const std::string& lines) {
    try {
        parse(lines);
    } catch (const Error& error) {
        return error.what();
    }
    return "no error";
}

TEST(DataSet, ReadsSources) {
    const DataSet set = parse(
        "# path kind weight licence\n"
        "\n"
        "clips/field.mkv\tvideo 1 \"CC BY 3.0, Ann Author\"  # over a field\r\n"
        "  \"my #1 frames\" images 0.25 CC0\n"
        "/photos photo 4e0 \"public domain\"",
        "/data");
    ASSERT_EQ(set.sources.size(), 3u);
    const DataSource &field = set.sources[0], &frames = set.sources[1], &photos = set.sources[2];
    EXPECT_EQ(field.path, "/data/clips/field.mkv");
    EXPECT_EQ(field.kind, DataKind::video);
    EXPECT_EQ(field.weight, 1);
    EXPECT_EQ(field.licence, "CC BY 3.0, Ann Author");
    EXPECT_EQ(field.line, 3);
    EXPECT_EQ(frames.path, "/data/my #1 frames");
    EXPECT_EQ(frames.kind, DataKind::images);
    EXPECT_EQ(frames.weight, 0.25);
    EXPECT_EQ(photos.path, "/photos");
    EXPECT_EQ(photos.kind, DataKind::photo);
    EXPECT_EQ(photos.line, 5);
}

TEST(DataSet, ErrorsNameTheLine) {
    EXPECT_THAT(error_of("# none\n\n"), HasSubstr("set.txt: the set is empty"));
    EXPECT_THAT(error_of("\na.mkv video 1"), HasSubstr("set.txt, line 2: 3 words"));
    EXPECT_THAT(error_of("a.mkv video 1 CC BY"), HasSubstr("5 words"));
    EXPECT_THAT(error_of("a.mkv video 1 # CC0"), HasSubstr("3 words"));
    EXPECT_THAT(error_of("a.mkv film 1 CC0"), HasSubstr("kind \"film\""));
    for (const std::string weight : {"0", "-1", "nan", "inf", "1x", "\"\"", "1e999"})
        EXPECT_THAT(error_of("a.mkv video " + weight + " CC0"), HasSubstr("is no positive number")) << weight;
    EXPECT_THAT(error_of("a.mkv video 1 \"\""), HasSubstr("no licence"));
    EXPECT_THAT(error_of("\"\" video 1 CC0"), HasSubstr("line 1"));
    EXPECT_THAT(error_of("\"a.mkv video 1 CC0"), HasSubstr("quote is not closed"));
    EXPECT_THAT(error_of("\"a.mkv\"video 1 CC0"), HasSubstr("touches it"));
    EXPECT_THROW(read_data_set("/nowhere/set.txt"), Error);
    EXPECT_THROW(read_data_set("/"), Error);
}

}  // namespace
}  // namespace mia
