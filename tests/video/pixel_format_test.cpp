#include "mia/video/pixel_format.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "media.hpp"

namespace mia {
namespace {

using testing::HasSubstr;

using Formats = std::vector<AVPixelFormat>;

std::string chosen(const Formats& formats, const OutputFormat& wanted) {
    return av_get_pix_fmt_name(detail::best_pixel_format("toy", formats, wanted));
}
std::string chosen(const AVCodec& encoder, const OutputFormat& wanted) {
    return av_get_pix_fmt_name(output_pixel_format(encoder, wanted));
}

const Formats x264({AV_PIX_FMT_YUV420P, AV_PIX_FMT_YUVJ420P, AV_PIX_FMT_YUV422P, AV_PIX_FMT_YUV444P, AV_PIX_FMT_NV12,
                    AV_PIX_FMT_YUV420P10, AV_PIX_FMT_YUV422P10, AV_PIX_FMT_YUV444P10, AV_PIX_FMT_GRAY8});

TEST(PixelFormat, DepthAndChromaAsAskedFor) {
    EXPECT_EQ(chosen(x264, {.width = 64, .height = 48}), "yuv420p");
    EXPECT_EQ(chosen(x264, {.width = 64, .height = 48, .chroma = Chroma::yuv422}), "yuv422p");
    EXPECT_EQ(chosen(x264, {.width = 64, .height = 48, .bit_depth = 10}), "yuv420p10le");
    EXPECT_EQ(chosen(x264, {.width = 64, .height = 48, .bit_depth = 10, .chroma = Chroma::yuv444}), "yuv444p10le");
}

TEST(PixelFormat, TheNextDeeperOrTheDeepest) {
    EXPECT_EQ(chosen(x264, {.width = 64, .height = 48, .bit_depth = 9}), "yuv420p10le");
    EXPECT_EQ(chosen(x264, {.width = 64, .height = 48, .bit_depth = 12}), "yuv420p10le");
    const Formats deep({AV_PIX_FMT_YUV420P16, AV_PIX_FMT_YUV420P12, AV_PIX_FMT_YUV420P});
    EXPECT_EQ(chosen(deep, {.width = 64, .height = 48, .bit_depth = 10}), "yuv420p12le");
    EXPECT_EQ(chosen(Formats({AV_PIX_FMT_YUV420P}), {.width = 64, .height = 48, .bit_depth = 10}), "yuv420p");
}

TEST(PixelFormat, DepthBeforeChromaAndFinerBeforeCoarser) {
    const Formats prores({AV_PIX_FMT_YUV422P10, AV_PIX_FMT_YUV444P10, AV_PIX_FMT_YUVA444P10});
    EXPECT_EQ(chosen(prores, {.width = 64, .height = 48}), "yuv422p10le");
    const Formats mixed({AV_PIX_FMT_YUV420P, AV_PIX_FMT_YUV444P10});
    EXPECT_EQ(chosen(mixed, {.width = 64, .height = 48, .bit_depth = 10}), "yuv444p10le");
    EXPECT_EQ(chosen(mixed, {.width = 64, .height = 48, .chroma = Chroma::yuv422}), "yuv444p10le");
    EXPECT_EQ(chosen(Formats({AV_PIX_FMT_YUV420P}), {.width = 64, .height = 48, .chroma = Chroma::yuv444}), "yuv420p");
}

TEST(PixelFormat, PlanesBeforePackedAndRgbLast) {
    EXPECT_EQ(chosen(Formats({AV_PIX_FMT_NV12, AV_PIX_FMT_YUV420P}), {.width = 64, .height = 48}), "yuv420p");
    EXPECT_EQ(chosen(Formats({AV_PIX_FMT_NV12, AV_PIX_FMT_P010}), {.width = 64, .height = 48, .bit_depth = 10}),
              "p010le");
    EXPECT_EQ(chosen(Formats({AV_PIX_FMT_GBRP, AV_PIX_FMT_YUV444P}), {.width = 64, .height = 48}), "yuv444p");
    const Formats png({AV_PIX_FMT_RGB24, AV_PIX_FMT_RGBA, AV_PIX_FMT_RGB48BE, AV_PIX_FMT_PAL8, AV_PIX_FMT_GRAY8});
    EXPECT_EQ(chosen(png, {.width = 5, .height = 3}), "rgb24");
    EXPECT_EQ(chosen(png, {.width = 5, .height = 3, .bit_depth = 10}), "rgb48be");
}

TEST(PixelFormat, OddSizes) {
    EXPECT_EQ(chosen(x264, {.width = 5, .height = 4}), "yuv444p");
    EXPECT_EQ(chosen(x264, {.width = 4, .height = 3, .bit_depth = 10}), "yuv444p10le");
    EXPECT_EQ(chosen(x264, {.width = 4, .height = 3, .chroma = Chroma::yuv422}), "yuv422p");
    EXPECT_EQ(chosen(x264, {.width = 5, .height = 3, .chroma = Chroma::yuv444, .odd_size = OddSize::refuse}),
              "yuv444p");
    EXPECT_THAT(test::message_of([] { chosen(x264, {.width = 5, .height = 4, .odd_size = OddSize::refuse}); }),
                HasSubstr("the output of 5 x 4 has an odd size, and 4:2:0 chroma needs an even one. Allow 4:4:4"));
    EXPECT_THAT(test::message_of([] { chosen(Formats({AV_PIX_FMT_YUV420P}), {.width = 5, .height = 4}); }),
                HasSubstr("the encoder toy takes no pixel format for a picture of 5 x 4; it knows yuv420p. Choose "
                          "another encoder, or crop the output to an even size."));
}

TEST(PixelFormat, NothingThatFits) {
    EXPECT_THAT(test::message_of([] {
                    chosen(Formats({AV_PIX_FMT_PAL8, AV_PIX_FMT_VAAPI}), {.width = 64, .height = 48});
                }),
                HasSubstr("it knows pal8, vaapi. Choose another encoder."));
    EXPECT_THAT(test::message_of([] { chosen(x264, {.width = 64, .height = 0}); }), HasSubstr("64 x 0 with 8 bits"));
    EXPECT_THAT(test::message_of([] { chosen(x264, {.width = 64, .height = 48, .bit_depth = 17}); }),
                HasSubstr("17 bits"));
}

TEST(PixelFormat, OfFfmpegsOwnEncoders) {
    const AVCodec* ffv1 = avcodec_find_encoder(AV_CODEC_ID_FFV1);
    ASSERT_NE(ffv1, nullptr);
    EXPECT_EQ(chosen(*ffv1, {.width = 64, .height = 48}), "yuv420p");
    EXPECT_EQ(chosen(*ffv1, {.width = 64, .height = 48, .bit_depth = 10}), "yuv420p10le");
    EXPECT_EQ(chosen(*ffv1, {.width = 63, .height = 48, .bit_depth = 12}), "yuv444p12le");
    const AVCodec* raw = avcodec_find_encoder(AV_CODEC_ID_RAWVIDEO);  // takes any
    ASSERT_NE(raw, nullptr);
    EXPECT_EQ(chosen(*raw, {.width = 64, .height = 48, .bit_depth = 10, .chroma = Chroma::yuv422}), "yuv422p10le");
}

}  // namespace
}  // namespace mia
