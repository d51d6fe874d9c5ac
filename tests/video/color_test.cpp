#include "mia/video/color.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <array>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <string>
#include <tuple>
#include <vector>

#include "media.hpp"

namespace mia {
namespace {

using testing::HasSubstr;

detail::FramePtr make_picture(AVPixelFormat format, int width, int height) {
    auto frame = detail::make_frame();
    frame->format = format;
    frame->width = width;
    frame->height = height;
    EXPECT_GE(av_frame_get_buffer(frame.get(), 0), 0);
    for (const AVBufferRef* buffer : frame->buf)  // av_write_image_line2() wants zeros
        if (buffer != nullptr) std::memset(buffer->data, 0, buffer->size);
    return frame;
}

VideoFrame to_rgb(const AVFrame& frame, const VideoColor& color) {
    VideoFrame rgb;
    rgb.resize(frame.height, frame.width);
    ToRgb().convert(frame, color, rgb.view());
    return rgb;
}

TEST(Color, CustomaryMatrix) {
    EXPECT_EQ(customary_matrix(640, 480), AVCOL_SPC_SMPTE170M);
    EXPECT_EQ(customary_matrix(720, 576), AVCOL_SPC_BT470BG);
    EXPECT_EQ(customary_matrix(1280, 720), AVCOL_SPC_BT709);
    EXPECT_EQ(customary_matrix(608, 1080), AVCOL_SPC_BT709);
}

TEST(Color, OutputKeepsTagsAndFillsGaps) {
    const VideoColor hdr = {AVCOL_SPC_BT2020_NCL, AVCOL_RANGE_JPEG, AVCOL_PRI_BT2020, AVCOL_TRC_SMPTE2084,
                            AVCHROMA_LOC_TOPLEFT};
    EXPECT_EQ(output_color(hdr), hdr);
    VideoColor rgb;
    rgb.matrix = AVCOL_SPC_RGB;
    rgb.range = AVCOL_RANGE_JPEG;
    const VideoColor bt709 = {AVCOL_SPC_BT709, AVCOL_RANGE_MPEG, AVCOL_PRI_BT709, AVCOL_TRC_BT709, AVCHROMA_LOC_LEFT};
    EXPECT_EQ(output_color(rgb), bt709);
    VideoColor old;
    old.matrix = AVCOL_SPC_SMPTE170M;
    EXPECT_EQ(output_color(old).primaries, AVCOL_PRI_SMPTE170M);
    EXPECT_EQ(output_color(old).transfer, AVCOL_TRC_SMPTE170M);
}

TEST(Color, UnknownMatrixIsRefused) {
    EXPECT_THAT(test::message_of([] { require_known_matrix({AVCOL_SPC_ICTCP}); }), HasSubstr("ictcp"));
}

// Published code values of saturated bars: ITU-R BT.709 (75 % would only scale them) and BT.601, 8 bits, limited range.
TEST(Color, PublishedCodeValues) {
    struct Case {
        AVColorSpace matrix;
        std::array<float, 3> rgb;
        std::array<int, 3> code;
    };
    const Case cases[] = {
        {AVCOL_SPC_BT709, {1, 1, 1}, {235, 128, 128}},   {AVCOL_SPC_BT709, {0, 0, 0}, {16, 128, 128}},
        {AVCOL_SPC_BT709, {1, 0, 0}, {63, 102, 240}},    {AVCOL_SPC_BT709, {0, 1, 0}, {173, 42, 26}},
        {AVCOL_SPC_BT709, {0, 0, 1}, {32, 240, 118}},    {AVCOL_SPC_SMPTE170M, {1, 0, 0}, {81, 90, 240}},
        {AVCOL_SPC_SMPTE170M, {0, 1, 0}, {145, 54, 34}}, {AVCOL_SPC_SMPTE170M, {0, 0, 1}, {41, 240, 110}},
        {AVCOL_SPC_BT470BG, {1, 1, 0}, {210, 16, 146}},
    };
    for (const auto& [matrix, rgb, code] : cases) {
        VideoColor color;
        color.matrix = matrix;
        auto frame = make_picture(AV_PIX_FMT_YUV444P, 1, 1);
        FromRgb().convert({rgb.data(), {1, 1, 3}}, color, *frame);
        for (int c = 0; c < 3; ++c)
            EXPECT_EQ(frame->data[c][0], code[std::size_t(c)])
                << av_color_space_name(matrix) << ", component " << c << " of " << testing::PrintToString(rgb);
    }
}

using Case = std::tuple<AVColorSpace, AVColorRange, AVPixelFormat>;
class ColorBars : public testing::TestWithParam<Case> {};

// 8-bit Y'CbCr is coarser than RGB: half a step of luma and of chroma in the limited range moves R by up to
// 0.5/219 + 2(1 - kr) 0.5/224 and B likewise, G by less; the largest, B of bt709 and bt2020, is 0.0065.
constexpr float bar_tolerance = 0.0065f;

TEST_P(ColorBars, ComeBack) {
    const auto [matrix, range, format] = GetParam();
    VideoColor color;
    color.matrix = matrix;
    color.range = range;
    color.chroma_location = AVCHROMA_LOC_LEFT;
    constexpr int bar = 16, height = 16;
    const std::array<float, 4> levels = {0, 0.25f, 0.75f, 1};
    VideoFrame bars;
    bars.resize(height, bar * 64);
    for (int y = 0; y < height; ++y)
        for (int x = 0; x < bars.width; ++x)
            for (int c = 0; c < 3; ++c) bars.view()(y, x, c) = levels[std::size_t(x / bar >> (2 * c)) & 3];
    auto frame = make_picture(format, bars.width, height);
    FromRgb().convert(std::as_const(bars).view(), color, *frame);
    const auto back = to_rgb(*frame, color);
    float worst = 0;
    for (int y = 0; y < height; ++y)
        for (int x = 0; x < bars.width; ++x) {
            if (x % bar < 4 || x % bar >= bar - 4) continue;  // 4:2:0 mixes neighbours at the edges
            for (int c = 0; c < 3; ++c) worst = std::max(worst, std::abs(back.view()(y, x, c) - bars.view()(y, x, c)));
        }
    EXPECT_LE(worst, bar_tolerance);
    RecordProperty("worst", std::to_string(worst));
}

INSTANTIATE_TEST_SUITE_P(All, ColorBars,
                         testing::Combine(testing::Values(AVCOL_SPC_BT709, AVCOL_SPC_SMPTE170M, AVCOL_SPC_BT470BG,
                                                          AVCOL_SPC_SMPTE240M, AVCOL_SPC_FCC, AVCOL_SPC_BT2020_NCL),
                                          testing::Values(AVCOL_RANGE_MPEG, AVCOL_RANGE_JPEG),
                                          testing::Values(AV_PIX_FMT_YUV420P, AV_PIX_FMT_YUV444P)));

/// Sample `code` / 2^(depth-8) of every component, through the formula at the top of the header in double.
class Depths : public testing::TestWithParam<AVPixelFormat> {};

TEST_P(Depths, AgreeWithTheFormula) {
    const AVPixFmtDescriptor& desc = *av_pix_fmt_desc_get(GetParam());
    const int depth = desc.comp[0].depth;
    const double step = std::pow(2.0, depth - 8);
    for (const bool limited : {true, false}) {
        const std::array<std::array<double, 3>, 3> codes = {{{120, 100, 140}, {60, 128, 120}, {200, 120, 131}}};
        for (const auto& code : codes) {
            auto frame = make_picture(GetParam(), 5, 3);
            for (int c = 0; c < 3; ++c) {
                const bool chroma = c > 0;
                const int width = chroma ? AV_CEIL_RSHIFT(5, desc.log2_chroma_w) : 5;
                const int height = chroma ? AV_CEIL_RSHIFT(3, desc.log2_chroma_h) : 3;
                const std::vector<std::uint16_t> row(std::size_t(width), std::uint16_t(code[std::size_t(c)] * step));
                for (int y = 0; y < height; ++y)
                    av_write_image_line2(row.data(), frame->data, frame->linesize, &desc, 0, y, c, width, 2);
            }
            VideoColor color;
            color.range = limited ? AVCOL_RANGE_MPEG : AVCOL_RANGE_JPEG;
            const auto rgb = to_rgb(*frame, color);
            const double top = std::pow(2.0, depth) - 1;
            const double luma = limited ? (code[0] - 16) / 219 : code[0] * step / top;
            const auto chroma = [&](double x) { return limited ? (x - 128) / 224 : (x - 128) * step / top; };
            const double r = luma + 2 * (1 - 0.2126) * chroma(code[2]);
            const double b = luma + 2 * (1 - 0.0722) * chroma(code[1]);
            const double g = (luma - 0.2126 * r - 0.0722 * b) / 0.7152;
            for (std::size_t i = 0; i < rgb.pixels.size(); i += 3) {
                EXPECT_NEAR(rgb.pixels[i], r, 1e-6);
                EXPECT_NEAR(rgb.pixels[i + 1], g, 1e-6);
                EXPECT_NEAR(rgb.pixels[i + 2], b, 1e-6);
            }
        }
    }
}

INSTANTIATE_TEST_SUITE_P(Formats, Depths,
                         testing::Values(AV_PIX_FMT_YUV420P, AV_PIX_FMT_YUV422P, AV_PIX_FMT_YUV444P, AV_PIX_FMT_NV12,
                                         AV_PIX_FMT_YUYV422, AV_PIX_FMT_YUV410P, AV_PIX_FMT_YUV420P10LE,
                                         AV_PIX_FMT_P010LE, AV_PIX_FMT_YUV422P12LE, AV_PIX_FMT_YUV444P16BE,
                                         AV_PIX_FMT_YUVA420P));

TEST(Color, RgbAndGreySamplesAreExact) {
    for (const auto format : {AV_PIX_FMT_GBRP, AV_PIX_FMT_RGB24, AV_PIX_FMT_BGRA, AV_PIX_FMT_GBRP10LE,
                              AV_PIX_FMT_RGB48BE, AV_PIX_FMT_GRAY8, AV_PIX_FMT_GRAY16LE, AV_PIX_FMT_YA8}) {
        const AVPixFmtDescriptor& desc = *av_pix_fmt_desc_get(format);
        const int top = (1 << desc.comp[0].depth) - 1;
        auto frame = make_picture(format, 256, 3);
        std::vector<std::uint16_t> row(256);
        const int components = desc.nb_components >= 3 ? 3 : 1;
        const auto sample = [&](int x, int y, int c) { return (x * top / 255 + 31 * y + 57 * c) & top; };
        for (int y = 0; y < 3; ++y)
            for (int c = 0; c < components; ++c) {
                for (int x = 0; x < 256; ++x) row[std::size_t(x)] = std::uint16_t(sample(x, y, c));
                av_write_image_line2(row.data(), frame->data, frame->linesize, &desc, 0, y, c, 256, 2);
            }
        VideoColor color;
        color.matrix = AVCOL_SPC_RGB;
        color.range = AVCOL_RANGE_JPEG;
        const auto rgb = to_rgb(*frame, color);
        for (int y = 0; y < 3; ++y)
            for (int x = 0; x < 256; ++x)
                for (int c = 0; c < 3; ++c)
                    ASSERT_EQ(rgb.view()(y, x, c), float(sample(x, y, components == 3 ? c : 0)) / float(top))
                        << desc.name << " at " << x << ", " << y << ", " << c;
    }
}

/// A grey picture whose colour changes linearly from left to right, or from top to bottom.
VideoFrame ramp(int width, int height, bool along_x) {
    VideoFrame frame;
    frame.resize(height, width);
    for (int y = 0; y < height; ++y)
        for (int x = 0; x < width; ++x) {
            const float t = along_x ? float(x) / float(width) : float(y) / float(height);
            frame.view()(y, x, 0) = 0.25f + 0.5f * t;
            frame.view()(y, x, 1) = 0.5f;
            frame.view()(y, x, 2) = 0.75f - 0.5f * t;
        }
    return frame;
}

// Both filters keep a linear ramp as it is, so that one comes back in place only if both put chroma where its tag says;
// half a sample of difference would be 0.5 / 64 / 2 = 0.004 in R and B. Rounding to 8 bits of full range: 0.0055.
TEST(Color, ChromaIsWhereItsTagSays) {
    for (const auto location :
         {AVCHROMA_LOC_LEFT, AVCHROMA_LOC_CENTER, AVCHROMA_LOC_TOPLEFT, AVCHROMA_LOC_TOP, AVCHROMA_LOC_BOTTOMLEFT})
        for (const bool along_x : {true, false}) {
            VideoColor color;
            color.range = AVCOL_RANGE_JPEG;
            color.chroma_location = location;
            const auto picture = ramp(64, 64, along_x);
            auto frame = make_picture(AV_PIX_FMT_YUV420P, 64, 64);
            FromRgb().convert(picture.view(), color, *frame);
            const auto back = to_rgb(*frame, color);
            double bias = 0;
            for (int y = 8; y < 56; ++y)
                for (int x = 8; x < 56; ++x) {
                    bias += double(back.view()(y, x, 0)) - double(picture.view()(y, x, 0));
                    EXPECT_NEAR(back.view()(y, x, 0), picture.view()(y, x, 0), 0.0055);
                    EXPECT_NEAR(back.view()(y, x, 2), picture.view()(y, x, 2), 0.0055);
                }
            EXPECT_NEAR(bias / (48 * 48), 0, 0.0008) << av_chroma_location_name(location) << ", along_x " << along_x;
        }
}

TEST(Color, OutOfRangeIsClamped) {
    const std::vector<float> rgb = {-3, 2, 7};
    auto frame = make_picture(AV_PIX_FMT_YUV444P, 1, 1);
    FromRgb().convert({rgb.data(), {1, 1, 3}}, VideoColor{}, *frame);
    const std::vector<float> clamped = {0, 1, 1};
    auto wanted = make_picture(AV_PIX_FMT_YUV444P, 1, 1);
    FromRgb().convert({clamped.data(), {1, 1, 3}}, VideoColor{}, *wanted);
    for (int c = 0; c < 3; ++c) EXPECT_EQ(frame->data[c][0], wanted->data[c][0]);
}

TEST(Color, UnknownFormatIsRefused) {
    auto frame = make_picture(AV_PIX_FMT_GBRPF32LE, 2, 2);
    EXPECT_THAT(test::message_of([&] { to_rgb(*frame, {}); }), HasSubstr("gbrpf32le is not supported"));
}

}  // namespace
}  // namespace mia
