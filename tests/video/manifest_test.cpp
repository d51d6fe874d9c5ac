#include "mia/video/manifest.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>
#include <string>

#include "mia/core/error.hpp"

namespace mia::detail {
namespace {

using testing::HasSubstr;

Manifest example() {
    Manifest manifest;
    manifest.identity = {{"crf", "16"}, {"input", "a \"quoted\"\n\\name\x01"}, {"empty", ""}, {"grüße", "日本"}};
    manifest.chunks = {{0, 50, 7, {1234, std::string(64, 'a')}}, {50, 3, 0, {1, std::string(64, '0')}}};
    return manifest;
}

std::string manifest_error(const std::string& json) {
    try {
        read_manifest(json, "m.json");
    } catch (const Error& error) {
        return error.what();
    }
    return "no error";
}

std::string replaced(const std::string& from, const std::string& to) {
    std::string json = to_json(example());
    const auto at = json.find(from);
    EXPECT_NE(at, json.npos) << from;
    return json.replace(at, from.size(), to);
}

TEST(Manifest, ComesBackAsItWas) {
    for (const bool assembled : {false, true}) {
        Manifest manifest = example();
        manifest.assembled = assembled;
        EXPECT_EQ(read_manifest(to_json(manifest), "m"), manifest);
    }
    EXPECT_EQ(read_manifest(to_json({}), "m"), Manifest{});
    EXPECT_EQ(example().frames(), 53);
    EXPECT_EQ(example().packets(), 7);
}

TEST(Manifest, BadTexts) {
    EXPECT_THAT(manifest_error(""), HasSubstr("m.json: the JSON header at byte 0: expected an object"));
    EXPECT_THAT(manifest_error("{}"), HasSubstr("format, state, identity or chunks is missing"));
    EXPECT_THAT(manifest_error(replaced("output 1", "output 2")),
                HasSubstr("this version knows 'mia unfinished output 1'"));
    EXPECT_THAT(manifest_error(replaced("running", "walking")), HasSubstr("unknown state 'walking'"));
    EXPECT_THAT(manifest_error(replaced("\"state\"", "\"stat\"")), HasSubstr("unknown member 'stat'"));
    EXPECT_THAT(manifest_error(replaced("\"state\": \"running\"", "\"format\": \"mia unfinished output 1\"")),
                HasSubstr("'format' is stated twice"));
    EXPECT_THAT(manifest_error(replaced("\"first_frame\": 50", "\"first_frame\": 49")),
                HasSubstr("a chunk begins at frame 49, the one before it ends at 50"));
    EXPECT_THAT(manifest_error(replaced("\"frames\": 50", "\"frames\": -50")), HasSubstr("non-negative integer"));
    EXPECT_THAT(manifest_error(replaced("\"frames\": 50", "\"frames\": 5000000000000")), HasSubstr("is too large"));
    EXPECT_THAT(manifest_error(replaced("\"packets\": 7, ", "")), HasSubstr("a chunk lacks a member"));
    EXPECT_THAT(manifest_error(replaced("\"packets\"", "\"parcels\"")), HasSubstr("a chunk has no 'parcels'"));
    EXPECT_THAT(manifest_error(replaced("aaaa", "AAAA")), HasSubstr("not 64 hexadecimal digits"));
    const std::string json = to_json(example());
    for (std::size_t size = 0; size + 2 < json.size(); ++size)
        ASSERT_NE(manifest_error(json.substr(0, size)), "no error");
}

TEST(Manifest, DifferencesHaveNames) {
    EXPECT_EQ(differences(example().identity, example().identity), "");
    EXPECT_EQ(differences({{"crf", "16"}, {"old", "x"}, {"same", "y"}}, {{"crf", "18"}, {"new", ""}, {"same", "y"}}),
              "\n  crf: was 16, is 18\n  new: was not there, is empty\n  old: was x, is not there");
    // A file name of bytes that are no UTF-8 comes back from the file as another text; it is still the same name.
    Manifest manifest;
    manifest.identity = {{"input", "caf\xe9.mp4"}};
    EXPECT_EQ(differences(read_manifest(to_json(manifest), "m").identity, manifest.identity), "");
}

}  // namespace
}  // namespace mia::detail
