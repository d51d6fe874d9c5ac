#include "mia/video/encoder_choice.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>

#include "media.hpp"

namespace mia::detail {
namespace {

using test::message_of;
using testing::HasSubstr;

const AVOutputFormat& container(const char* name) { return *av_guess_format(nullptr, name, nullptr); }

std::string chosen(const char* file, const char* codec = "", int depth = 8) {
    return choose_encoder("out", {.codec = codec}, container(file), depth).name;
}

TEST(EncoderChoice, ByTheContainerAndTheDepth) {
    if (find_encoder("h264") == nullptr || find_encoder("vp9") == nullptr) GTEST_SKIP() << "encoders are missing";
    for (const char* file : {"a.mp4", "a.mov", "a.mkv", "a.ts"}) EXPECT_EQ(chosen(file), "libx264") << file;
    EXPECT_EQ(chosen("a.webm"), "libvpx-vp9");
    EXPECT_EQ(chosen("a.webm", "", 10), "libvpx-vp9");
    if (find_encoder("hevc") != nullptr) {
        EXPECT_EQ(chosen("a.mp4", "", 10), "libx265");
    }
}

TEST(EncoderChoice, ByName) {
    EXPECT_EQ(chosen("a.mkv", "ffv1"), "ffv1");
    EXPECT_EQ(chosen("a.mov", "prores"), "prores_ks");
    EXPECT_EQ(chosen("a.mkv", "mpeg4"), "mpeg4");  // any other of FFmpeg's
    EXPECT_EQ(find_encoder("h265"), find_encoder("hevc"));
    EXPECT_EQ(find_encoder(""), nullptr);
    EXPECT_THAT(message_of([] { chosen("a.mkv", "dvix"); }), HasSubstr("no video encoder \"dvix\""));
    EXPECT_THAT(message_of([] { chosen("a.webm", "ffv1"); }), HasSubstr("a webm file cannot hold ffv1"));
}

}  // namespace
}  // namespace mia::detail
