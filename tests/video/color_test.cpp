#include "mia/video/color.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <array>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <limits>
#include <random>
#include <string>
#include <vector>

#include "media.hpp"
#include "mia/video/resize_frame.hpp"

namespace mia {
namespace {

using testing::AnyOf;
using testing::HasSubstr;
using Triple = std::array<double, 3>;

detail::FramePtr make_picture(AVPixelFormat format, int height, int width) {
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

detail::FramePtr from_rgb(const VideoFrame& rgb, AVPixelFormat format, const VideoColor& color) {
    auto frame = make_picture(format, rgb.height, rgb.width);
    FromRgb().convert(rgb.view(), color, *frame);
    return frame;
}

const AVPixFmtDescriptor& descriptor(const AVFrame& frame) { return *av_pix_fmt_desc_get(AVPixelFormat(frame.format)); }
int plane_width(const AVFrame& frame, int c) {
    return c == 0 ? frame.width : AV_CEIL_RSHIFT(frame.width, descriptor(frame).log2_chroma_w);
}
int plane_height(const AVFrame& frame, int c) {
    return c == 0 ? frame.height : AV_CEIL_RSHIFT(frame.height, descriptor(frame).log2_chroma_h);
}

/// Sample of a planar format in this machine's byte order.
int sample(const AVFrame& frame, int c, int y, int x) {
    const std::uint8_t* row = frame.data[c] + std::ptrdiff_t(y) * frame.linesize[c];
    if (descriptor(frame).comp[0].depth == 8) return row[x];
    std::uint16_t word = 0;
    std::memcpy(&word, row + 2 * x, 2);
    return word;
}
void set_sample(AVFrame& frame, int c, int y, int x, int value) {
    std::uint8_t* row = frame.data[c] + std::ptrdiff_t(y) * frame.linesize[c];
    const auto word = std::uint16_t(value);
    if (descriptor(frame).comp[0].depth == 8)
        row[x] = std::uint8_t(value);
    else
        std::memcpy(row + 2 * x, &word, 2);
}

/// rgb(y, x, c) for every sample.
template <class Value>
VideoFrame picture_of(int height, int width, Value&& value) {
    VideoFrame frame;
    frame.resize(height, width);
    for (int y = 0; y < height; ++y)
        for (int x = 0; x < width; ++x)
            for (int c = 0; c < 3; ++c) frame.view()(y, x, c) = float(value(y, x, c));
    return frame;
}

VideoFrame noise(int height, int width) {
    std::mt19937 random(7);
    std::uniform_real_distribution<double> uniform(0, 1);
    return picture_of(height, width, [&](int, int, int) { return uniform(random); });
}

// The formulas of ITU-T H.273, in double, on their own.

struct Quantisation {
    double luma_scale, luma_zero, chroma_scale, chroma_zero;
};
Quantisation quantisation(AVColorSpace matrix, AVColorRange range, int depth) {
    const double top = std::pow(2., depth) - 1, unit = std::pow(2., depth - 8);
    if (range == AVCOL_RANGE_JPEG) return {top, 0, top, std::pow(2., depth - 1)};
    return {219 * unit, 16 * unit, (matrix == AVCOL_SPC_YCGCO ? 219 : 224) * unit, 128 * unit};
}

/// 0: a matrix that is not made of two weights.
std::array<double, 2> red_and_blue(AVColorSpace matrix) {
    switch (matrix) {
        case AVCOL_SPC_BT709:
            return {0.2126, 0.0722};
        case AVCOL_SPC_FCC:
            return {0.30, 0.11};
        case AVCOL_SPC_BT470BG:
        case AVCOL_SPC_SMPTE170M:
            return {0.299, 0.114};
        case AVCOL_SPC_SMPTE240M:
            return {0.212, 0.087};
        case AVCOL_SPC_BT2020_NCL:
            return {0.2627, 0.0593};
        default:
            return {0, 0};
    }
}

constexpr double m1 = 2610. / 16384, m2 = 2523. / 32, c1 = 3424. / 4096, c2 = 2413. / 128, c3 = 2392. / 128;
double pq_curve(double light) {
    const double p = std::pow(light, m1);
    return std::pow((c1 + c2 * p) / (1 + c3 * p), m2);
}
double pq_light(double value) {
    const double p = std::pow(value, 1 / m2);
    return std::pow(std::max(p - c1, 0.) / (c2 - c3 * p), 1 / m1);
}

Triple ictcp(const Triple& rgb) {
    const double r = pq_light(rgb[0]), g = pq_light(rgb[1]), b = pq_light(rgb[2]);
    const double l = pq_curve((1688 * r + 2146 * g + 262 * b) / 4096);
    const double m = pq_curve((683 * r + 2951 * g + 462 * b) / 4096);
    const double s = pq_curve((99 * r + 309 * g + 3688 * b) / 4096);
    return {0.5 * l + 0.5 * m, (6610 * l - 13613 * m + 7003 * s) / 4096, (17933 * l - 17390 * m - 543 * s) / 4096};
}

/// R'G'B' to luma in [0, 1] and chroma in [-0.5, 0.5].
Triple ycc(AVColorSpace matrix, const Triple& rgb) {
    const auto [r, g, b] = rgb;
    if (matrix == AVCOL_SPC_YCGCO) return {0.25 * r + 0.5 * g + 0.25 * b, 0.5 * g - 0.25 * (r + b), 0.5 * (r - b)};
    if (matrix == AVCOL_SPC_ICTCP) return ictcp(rgb);
    const auto [kr, kb] = red_and_blue(matrix);
    const double y = kr * r + (1 - kr - kb) * g + kb * b;
    return {y, 0.5 * (b - y) / (1 - kb), 0.5 * (r - y) / (1 - kr)};
}

Triple codes(AVColorSpace matrix, AVColorRange range, int depth, const Triple& rgb) {
    const auto q = quantisation(matrix, range, depth);
    const auto [y, cb, cr] = ycc(matrix, rgb);
    return {q.luma_scale * y + q.luma_zero, q.chroma_scale * cb + q.chroma_zero, q.chroma_scale * cr + q.chroma_zero};
}

/// The inverse of ycc(), of the linear matrices.
Triple rgb_of(AVColorSpace matrix, const Triple& ycc) {
    const auto [y, cb, cr] = ycc;
    if (matrix == AVCOL_SPC_YCGCO) return {y - cb + cr, y + cb, y - cb - cr};
    const auto [kr, kb] = red_and_blue(matrix);
    const double r = y + 2 * (1 - kr) * cr, b = y + 2 * (1 - kb) * cb;
    return {r, (y - kr * r - kb * b) / (1 - kr - kb), b};
}

double clamped(double x) { return std::min(std::max(x, 0.), 1.); }

/// Half-sample symmetric continuation: the edge sample is its own neighbour.
int mirrored(int i, int size) {
    while (i < 0 || i >= size) i = i < 0 ? -1 - i : 2 * size - 1 - i;
    return i;
}

double catmull_rom(double x) {
    x = std::abs(x);
    return x < 1 ? (1.5 * x - 2.5) * x * x + 1 : x < 2 ? ((-0.5 * x + 2.5) * x - 4) * x + 2 : 0;
}

/// Distance in luma samples from the first luma sample to the first of chroma, `factor` times sparser.
double offset_x(AVChromaLocation location, int factor) {
    const bool centre =
        location == AVCHROMA_LOC_CENTER || location == AVCHROMA_LOC_TOP || location == AVCHROMA_LOC_BOTTOM;
    return centre ? 0.5 * (factor - 1) : 0;
}
double offset_y(AVChromaLocation location, int factor) {
    if (location == AVCHROMA_LOC_TOPLEFT || location == AVCHROMA_LOC_TOP) return 0;
    if (location == AVCHROMA_LOC_BOTTOMLEFT || location == AVCHROMA_LOC_BOTTOM) return factor - 1;
    return 0.5 * (factor - 1);
}

constexpr AVChromaLocation locations[] = {AVCHROMA_LOC_LEFT, AVCHROMA_LOC_CENTER,     AVCHROMA_LOC_TOPLEFT,
                                          AVCHROMA_LOC_TOP,  AVCHROMA_LOC_BOTTOMLEFT, AVCHROMA_LOC_BOTTOM};

VideoColor tagged(AVColorSpace matrix, AVColorRange range, AVChromaLocation location = AVCHROMA_LOC_LEFT) {
    VideoColor color;
    color.matrix = matrix;
    color.range = range;
    color.chroma_location = location;
    if (matrix == AVCOL_SPC_ICTCP) color.transfer = AVCOL_TRC_SMPTE2084;
    return color;
}

AVPixelFormat planar(const std::string& chroma, int depth) {
    const std::string name = "yuv" + chroma + "p" + (depth == 8 ? "" : std::to_string(depth));
    return av_get_pix_fmt(name.c_str());  // in this machine's byte order
}

TEST(Color, CustomaryMatrix) {
    EXPECT_EQ(customary_matrix(640, 480), AVCOL_SPC_SMPTE170M);
    EXPECT_EQ(customary_matrix(720, 576), AVCOL_SPC_BT470BG);
    EXPECT_EQ(customary_matrix(1280, 720), AVCOL_SPC_BT709);
    EXPECT_EQ(customary_matrix(608, 1080), AVCOL_SPC_BT709);
}

TEST(Color, OutputColor) {
    const VideoColor hdr = {AVCOL_SPC_BT2020_NCL, AVCOL_RANGE_MPEG, AVCOL_PRI_BT2020, AVCOL_TRC_SMPTE2084,
                            AVCHROMA_LOC_TOPLEFT};
    EXPECT_EQ(output_color(hdr), hdr);
    VideoColor rgb;
    rgb.matrix = AVCOL_SPC_RGB;
    rgb.range = AVCOL_RANGE_JPEG;
    const VideoColor bt709 = {AVCOL_SPC_BT709, AVCOL_RANGE_MPEG, AVCOL_PRI_BT709, AVCOL_TRC_BT709, AVCHROMA_LOC_LEFT};
    EXPECT_EQ(output_color(rgb), bt709);
    rgb.primaries = AVCOL_PRI_BT2020;
    rgb.transfer = AVCOL_TRC_ARIB_STD_B67;
    EXPECT_EQ(output_color(rgb).matrix, AVCOL_SPC_BT2020_NCL);
    EXPECT_EQ(output_color(rgb).transfer, AVCOL_TRC_ARIB_STD_B67);
    VideoColor old;
    old.matrix = AVCOL_SPC_SMPTE170M;
    EXPECT_EQ(output_color(old).primaries, AVCOL_PRI_SMPTE170M);
    EXPECT_EQ(output_color(old).transfer, AVCOL_TRC_SMPTE170M);
}

TEST(Color, OutputColorOfMatricesThatFewPlayersKnow) {
    EXPECT_EQ(output_color({AVCOL_SPC_YCGCO}).matrix, AVCOL_SPC_BT709);
    const auto from_ictcp = output_color(tagged(AVCOL_SPC_ICTCP, AVCOL_RANGE_JPEG));
    EXPECT_EQ(from_ictcp.matrix, AVCOL_SPC_BT2020_NCL);
    EXPECT_EQ(from_ictcp.range, AVCOL_RANGE_JPEG);
    EXPECT_EQ(from_ictcp.transfer, AVCOL_TRC_SMPTE2084);
}

TEST(Color, OutputColorOfRgb) {
    const auto color = output_color({AVCOL_SPC_BT2020_NCL, AVCOL_RANGE_MPEG, AVCOL_PRI_BT2020, AVCOL_TRC_SMPTE2084},
                                    AV_PIX_FMT_GBRP10);
    EXPECT_EQ(color.matrix, AVCOL_SPC_RGB);
    EXPECT_EQ(color.range, AVCOL_RANGE_JPEG);
    EXPECT_EQ(color.transfer, AVCOL_TRC_SMPTE2084);
}

TEST(Color, AFramesOwnTagsComeFirst) {
    const auto frame = make_picture(AV_PIX_FMT_YUV420P, 2, 2);
    const VideoColor stream = tagged(AVCOL_SPC_BT709, AVCOL_RANGE_MPEG, AVCHROMA_LOC_UNSPECIFIED);
    EXPECT_EQ(frame_color(*frame, stream), tagged(AVCOL_SPC_BT709, AVCOL_RANGE_MPEG, AVCHROMA_LOC_LEFT));
    frame->colorspace = AVCOL_SPC_FCC;
    frame->color_range = AVCOL_RANGE_JPEG;
    frame->chroma_location = AVCHROMA_LOC_TOP;
    EXPECT_EQ(frame_color(*frame, stream), tagged(AVCOL_SPC_FCC, AVCOL_RANGE_JPEG, AVCHROMA_LOC_TOP));
    frame->color_range = AVCOL_RANGE_MPEG;
    frame->format = AV_PIX_FMT_YUVJ420P;
    EXPECT_EQ(frame_color(*frame, stream).range, AVCOL_RANGE_JPEG);

    // And they are what is converted by: the same samples, other colours.
    const auto gold = make_picture(AV_PIX_FMT_YUV444P, 1, 1);
    for (int c = 0; c < 3; ++c) set_sample(*gold, c, 0, 0, std::array{140, 90, 150}[std::size_t(c)]);
    gold->colorspace = AVCOL_SPC_BT470BG;
    gold->color_range = AVCOL_RANGE_JPEG;
    const auto rgb = to_rgb(*gold, tagged(AVCOL_SPC_BT709, AVCOL_RANGE_MPEG));
    const auto wanted = rgb_of(AVCOL_SPC_BT470BG, {140 / 255., (90 - 128) / 255., (150 - 128) / 255.});
    for (int c = 0; c < 3; ++c) EXPECT_NEAR(rgb.view()(0, 0, c), wanted[std::size_t(c)], 1e-6);
}

TEST(Color, UnknownMatrixIsRefused) {
    EXPECT_THAT(test::message_of([] { require_known_matrix({AVCOL_SPC_SMPTE2085}); }), HasSubstr("smpte2085"));
    EXPECT_THAT(test::message_of([] { require_known_matrix({AVCOL_SPC_ICTCP}); }), HasSubstr("ictcp"));
    EXPECT_THAT(test::message_of([] { require_known_matrix({AVCOL_SPC_BT2020_CL}); }), HasSubstr("bt2020c"));
    const auto frame = make_picture(AV_PIX_FMT_YUV420P, 2, 2);
    for (const auto matrix : {AVCOL_SPC_UNSPECIFIED, AVCOL_SPC_RGB}) {
        const auto color = tagged(matrix, AVCOL_RANGE_MPEG);
        const auto rgb = noise(2, 2);
        EXPECT_THAT(test::message_of([&] { to_rgb(*frame, color); }), HasSubstr("is not supported for Y'CbCr"));
        EXPECT_THAT(test::message_of([&] { FromRgb().convert(rgb.view(), color, *frame); }),
                    HasSubstr("is not supported for Y'CbCr"));
    }
}

// Published code values of saturated bars: ITU-R BT.709 (75 % would only scale them) and BT.601, limited range.
TEST(Color, PublishedCodeValues) {
    struct Case {
        AVColorSpace matrix;
        int depth;
        std::array<float, 3> rgb;
        std::array<int, 3> code;
    };
    const Case cases[] = {
        {AVCOL_SPC_BT709, 8, {1, 1, 1}, {235, 128, 128}},   {AVCOL_SPC_BT709, 8, {0, 0, 0}, {16, 128, 128}},
        {AVCOL_SPC_BT709, 8, {1, 0, 0}, {63, 102, 240}},    {AVCOL_SPC_BT709, 8, {0, 1, 0}, {173, 42, 26}},
        {AVCOL_SPC_BT709, 8, {0, 0, 1}, {32, 240, 118}},    {AVCOL_SPC_SMPTE170M, 8, {1, 0, 0}, {81, 90, 240}},
        {AVCOL_SPC_SMPTE170M, 8, {0, 1, 0}, {145, 54, 34}}, {AVCOL_SPC_SMPTE170M, 8, {0, 0, 1}, {41, 240, 110}},
        {AVCOL_SPC_BT470BG, 8, {1, 1, 0}, {210, 16, 146}},  {AVCOL_SPC_BT709, 10, {1, 1, 1}, {940, 512, 512}},
        {AVCOL_SPC_BT709, 10, {1, 0, 0}, {250, 409, 960}},  {AVCOL_SPC_BT2020_NCL, 10, {0, 0, 1}, {116, 960, 476}},
    };
    for (const auto& [matrix, depth, rgb, code] : cases) {
        const auto frame = make_picture(planar("444", depth), 1, 1);
        FromRgb().convert({rgb.data(), {1, 1, 3}}, tagged(matrix, AVCOL_RANGE_MPEG), *frame);
        for (int c = 0; c < 3; ++c)
            EXPECT_EQ(sample(*frame, c, 0, 0), code[std::size_t(c)])
                << av_color_space_name(matrix) << ", component " << c << " of " << testing::PrintToString(rgb);
    }
}

/// For every matrix: the linear ones, then those that go through linear light.
class Matrices : public testing::TestWithParam<AVColorSpace> {};
INSTANTIATE_TEST_SUITE_P(Linear, Matrices,
                         testing::Values(AVCOL_SPC_BT709, AVCOL_SPC_SMPTE170M, AVCOL_SPC_BT470BG, AVCOL_SPC_SMPTE240M,
                                         AVCOL_SPC_FCC, AVCOL_SPC_BT2020_NCL, AVCOL_SPC_YCGCO),
                         [](const auto& info) { return std::string(av_color_space_name(info.param)); });
class AllMatrices : public Matrices {};
INSTANTIATE_TEST_SUITE_P(All, AllMatrices,
                         testing::Values(AVCOL_SPC_BT709, AVCOL_SPC_SMPTE170M, AVCOL_SPC_BT470BG, AVCOL_SPC_SMPTE240M,
                                         AVCOL_SPC_FCC, AVCOL_SPC_BT2020_NCL, AVCOL_SPC_YCGCO, AVCOL_SPC_ICTCP),
                         [](const auto& info) { return std::string(av_color_space_name(info.param)); });

/// Five levels of red, green and blue each, in every combination.
VideoFrame colours() {
    return picture_of(5, 25, [](int y, int x, int c) { return std::array{y, x / 5, x % 5}[std::size_t(c)] / 4.; });
}

// Where the exact value lies this near the middle of two code values, float may round to either: 2e-7 relative to
// 65535.
constexpr double tie = 0.02;

TEST_P(AllMatrices, CodeValuesAreTheFormulasRounded) {
    // Through linear light, the power functions of float count: on PQ's steep foot, about 1e-5.
    const bool curved = GetParam() == AVCOL_SPC_ICTCP;
    for (const auto range : {AVCOL_RANGE_MPEG, AVCOL_RANGE_JPEG})
        for (const int depth : {8, 10, 12, 16}) {
            const auto rgb = colours();
            const auto frame = from_rgb(rgb, planar("444", depth), tagged(GetParam(), range));
            const double top = std::pow(2., depth) - 1, slack = curved ? std::max(tie, 2e-5 * top) : tie;
            for (int y = 0; y < rgb.height; ++y)
                for (int x = 0; x < rgb.width; ++x) {
                    const auto pixel = rgb.view()[y][x];
                    const auto wanted = codes(GetParam(), range, depth, {pixel(0), pixel(1), pixel(2)});
                    for (int c = 0; c < 3; ++c)
                        ASSERT_NEAR(sample(*frame, c, y, x), std::min(wanted[std::size_t(c)], top), 0.5 + slack)
                            << depth << " bits, range " << range << ", component " << c << " of "
                            << testing::PrintToString(Triple{pixel(0), pixel(1), pixel(2)});
                }
        }
}

TEST_P(Matrices, RgbIsTheFormulas) {
    std::mt19937 random(5);
    for (const auto range : {AVCOL_RANGE_MPEG, AVCOL_RANGE_JPEG})
        for (const int depth : {8, 9, 10, 12, 16}) {
            const auto frame = make_picture(planar("444", depth), 4, 33);
            std::uniform_int_distribution<int> any(0, (1 << depth) - 1);
            for (int c = 0; c < 3; ++c)
                for (int y = 0; y < 4; ++y)
                    for (int x = 0; x < 33; ++x) set_sample(*frame, c, y, x, any(random));
            const auto rgb = to_rgb(*frame, tagged(GetParam(), range));
            const auto q = quantisation(GetParam(), range, depth);
            for (int y = 0; y < 4; ++y)
                for (int x = 0; x < 33; ++x) {
                    const auto wanted =
                        rgb_of(GetParam(), {(sample(*frame, 0, y, x) - q.luma_zero) / q.luma_scale,
                                            (sample(*frame, 1, y, x) - q.chroma_zero) / q.chroma_scale,
                                            (sample(*frame, 2, y, x) - q.chroma_zero) / q.chroma_scale});
                    for (int c = 0; c < 3; ++c)
                        ASSERT_NEAR(rgb.view()(y, x, c), clamped(wanted[std::size_t(c)]), 1e-6)
                            << depth << " bits, range " << range;
                }
        }
}

/// The share of samples that differ, and the largest difference.
struct Difference {
    int worst = 0;
    double share = 0;
};
Difference difference(const AVFrame& a, const AVFrame& b) {
    Difference result;
    double count = 0;
    for (int c = 0; c < 3; ++c)
        for (int y = 0; y < plane_height(a, c); ++y)
            for (int x = 0; x < plane_width(a, c); ++x) {
                const int distance = std::abs(sample(a, c, y, x) - sample(b, c, y, x));
                result.worst = std::max(result.worst, distance);
                result.share += distance > 0;
                ++count;
            }
    result.share /= count;
    return result;
}

// Not all come back as they were: rounding can put a colour just outside RGB's cube, where it is clamped.
TEST_P(AllMatrices, FullChromaComesBack) {
    for (const auto range : {AVCOL_RANGE_MPEG, AVCOL_RANGE_JPEG})
        for (const int depth : {8, 10, 12}) {
            const auto color = tagged(GetParam(), range);
            const auto once = from_rgb(noise(31, 47), planar("444", depth), color);
            const auto twice = from_rgb(to_rgb(*once, color), planar("444", depth), color);
            const auto [worst, share] = difference(*once, *twice);
            EXPECT_LE(worst, 1) << depth << " bits, range " << range;
            EXPECT_LE(share, 0.01) << depth << " bits, range " << range;
        }
}

/// Vertical bars of different widths: pure and mixed colours, greys.
struct Bars {
    static constexpr int margin = 6;  // of what chroma's filters reach, in samples of the small picture
    static constexpr std::array<std::array<float, 3>, 14> colours = {{{1, 0, 0},
                                                                      {0, 1, 0},
                                                                      {0, 0, 1},
                                                                      {0, 1, 1},
                                                                      {1, 0, 1},
                                                                      {1, 1, 0},
                                                                      {1, 1, 1},
                                                                      {0, 0, 0},
                                                                      {0.5f, 0.5f, 0.5f},
                                                                      {0.1f, 0.1f, 0.1f},
                                                                      {0.75f, 0.25f, 0.1f},
                                                                      {0.2f, 0.6f, 0.9f},
                                                                      {0.9f, 0.8f, 0.7f},
                                                                      {0.3f, 0.05f, 0.4f}}};
    static constexpr std::array<int, 14> ends = {14, 30, 43, 60, 76, 91, 104, 120, 136, 149, 163, 180, 197, 212};

    static int bar_of(int x) { return int(std::upper_bound(ends.begin(), ends.end(), x) - ends.begin()); }
    static VideoFrame picture(int height) {
        return picture_of(height, ends.back(),
                          [](int, int x, int c) { return colours[std::size_t(bar_of(x))][std::size_t(c)]; });
    }
    /// The columns of a bar that no neighbour has an influence on.
    static std::array<int, 2> inside(int bar) {
        const int begin = bar == 0 ? 0 : ends[std::size_t(bar) - 1];
        return {begin + margin, ends[std::size_t(bar)] - margin};
    }
};

// What the whole program does to a video's colours, with bilinear interpolation in the model's place.
TEST_P(Matrices, BarsComeBackAfterUpscaling) {
    constexpr int height = 6, scale = 4;
    FrameResizer model(ResizeFilter::bilinear);
    const auto bars = Bars::picture(height);
    VideoFrame large;
    large.resize(height * scale, bars.width * scale);
    long samples = 0, moved = 0;
    for (const auto range : {AVCOL_RANGE_MPEG, AVCOL_RANGE_JPEG})
        for (const int depth : {8, 10, 12})
            for (const std::string chroma : {"420", "422", "444"})
                for (const auto location : locations) {
                    if (chroma == "444" && location != AVCHROMA_LOC_LEFT) continue;
                    const auto color = tagged(GetParam(), range, location);
                    const auto coded = from_rgb(bars, planar(chroma, depth), color);
                    const auto rgb = to_rgb(*coded, color);
                    model.resize(rgb.view(), large.view());
                    const auto out = from_rgb(large, planar(chroma, depth), color);
                    for (int bar = 0; bar < int(Bars::colours.size()); ++bar)
                        for (int c = 0; c < 3; ++c) {
                            const int right = c == 0 ? 0 : descriptor(*out).log2_chroma_w;
                            const auto [begin, end] = Bars::inside(bar);
                            const int code = sample(*coded, c, 0, (begin + end) / 2 >> right);
                            for (int y = 0; y < plane_height(*out, c); ++y)
                                for (int x = begin * scale >> right; x < end * scale >> right; ++x) {
                                    const int found = sample(*out, c, y, x);
                                    ASSERT_NEAR(found, code, 1)
                                        << chroma << ", " << depth << " bits, range " << range << ", "
                                        << av_chroma_location_name(location) << ", bar " << bar << ", component " << c;
                                    moved += found != code;
                                    ++samples;
                                }
                        }
                }
    EXPECT_LE(double(moved), 0.03 * double(samples));  // those at the cube's faces, as above
}

// What a bar was before it was coded comes back to half a step of each component: of luma 0.5/219, of blue's chroma
// 2 (1 - kb) 0.5/224 in the limited range of 8 bits. The largest, B of YCgCo, whose chroma counts twice, is 0.0068.
TEST_P(Matrices, BarsDecodeToTheirColours) {
    const auto bars = Bars::picture(5);
    for (const auto range : {AVCOL_RANGE_MPEG, AVCOL_RANGE_JPEG})
        for (const std::string chroma : {"420", "422", "444"})
            for (const int depth : {8, 10, 12}) {
                const auto color = tagged(GetParam(), range);
                const auto back = to_rgb(*from_rgb(bars, planar(chroma, depth), color), color);
                for (int bar = 0; bar < int(Bars::colours.size()); ++bar)
                    for (int x = Bars::inside(bar)[0]; x < Bars::inside(bar)[1]; ++x)
                        for (int c = 0; c < 3; ++c)
                            ASSERT_NEAR(back.view()(2, x, c), Bars::colours[std::size_t(bar)][std::size_t(c)],
                                        0.0069 / (1 << (depth - 8)))
                                << chroma << ", " << depth << " bits, range " << range;
            }
}

// Subsampled chroma against two naive filters in double.

constexpr std::array<std::array<int, 2>, 7> sizes = {{{1, 1}, {3, 5}, {2, 2}, {5, 3}, {4, 8}, {9, 17}, {30, 41}}};
constexpr AVPixelFormat subsampled[] = {AV_PIX_FMT_YUV420P, AV_PIX_FMT_YUV422P, AV_PIX_FMT_YUV440P,
                                        AV_PIX_FMT_YUV411P, AV_PIX_FMT_YUV410P, AV_PIX_FMT_YUV420P10};

double upsampled(const AVFrame& frame, int c, double y, double x) {
    double sum = 0;
    for (int j = int(std::floor(y)) - 1; j <= int(std::floor(y)) + 2; ++j)
        for (int i = int(std::floor(x)) - 1; i <= int(std::floor(x)) + 2; ++i)
            sum += catmull_rom(y - j) * catmull_rom(x - i) *
                   sample(frame, c, mirrored(j, plane_height(frame, c)), mirrored(i, plane_width(frame, c)));
    return sum;
}

TEST(Color, ChromaIsBroughtToFullSizeByCatmullRomFromWhereItsTagPutsIt) {
    std::mt19937 random(3);
    for (const auto format : subsampled)
        for (const auto [height, width] : sizes)
            for (const auto location : locations) {
                const auto frame = make_picture(format, height, width);
                const int depth = descriptor(*frame).comp[0].depth;
                std::uniform_int_distribution<int> middle(100 << (depth - 8), 156 << (depth - 8));
                for (int c = 0; c < 3; ++c)
                    for (int y = 0; y < plane_height(*frame, c); ++y)
                        for (int x = 0; x < plane_width(*frame, c); ++x) set_sample(*frame, c, y, x, middle(random));
                const auto rgb = to_rgb(*frame, tagged(AVCOL_SPC_BT709, AVCOL_RANGE_MPEG, location));
                const auto q = quantisation(AVCOL_SPC_BT709, AVCOL_RANGE_MPEG, depth);
                const int fx = 1 << descriptor(*frame).log2_chroma_w, fy = 1 << descriptor(*frame).log2_chroma_h;
                for (int y = 0; y < height; ++y)
                    for (int x = 0; x < width; ++x) {
                        const double cy = (y - offset_y(location, fy)) / fy, cx = (x - offset_x(location, fx)) / fx;
                        const auto wanted =
                            rgb_of(AVCOL_SPC_BT709, {(sample(*frame, 0, y, x) - q.luma_zero) / q.luma_scale,
                                                     (upsampled(*frame, 1, cy, cx) - q.chroma_zero) / q.chroma_scale,
                                                     (upsampled(*frame, 2, cy, cx) - q.chroma_zero) / q.chroma_scale});
                        for (int c = 0; c < 3; ++c)
                            ASSERT_NEAR(rgb.view()(y, x, c), clamped(wanted[std::size_t(c)]), 2e-6)
                                << descriptor(*frame).name << ", " << height << " x " << width << ", "
                                << av_chroma_location_name(location) << " at " << y << ", " << x;
                    }
            }
}

/// Weights of luma samples around a chroma sample of a factor of 2: a triangle of four luma samples' width.
double triangle(double x) { return std::max(0., 1 - std::abs(x) / 2); }

TEST(Color, ChromaIsFilteredAroundWhereItsTagPutsIt) {
    for (const auto format : {AV_PIX_FMT_YUV420P, AV_PIX_FMT_YUV422P, AV_PIX_FMT_YUV420P12})
        for (const auto [height, width] : sizes)
            for (const auto location : locations) {
                const auto rgb = noise(height, width);
                const auto frame = from_rgb(rgb, format, tagged(AVCOL_SPC_BT709, AVCOL_RANGE_MPEG, location));
                const int depth = descriptor(*frame).comp[0].depth;
                const int fx = 1 << descriptor(*frame).log2_chroma_w, fy = 1 << descriptor(*frame).log2_chroma_h;
                // The padding repeats the edge; the filter mirrors beyond that.
                const auto at = [](int i, int size, int factor) {
                    return std::min(mirrored(i, (size + factor - 1) / factor * factor), size - 1);
                };
                for (int c = 1; c < 3; ++c)
                    for (int y = 0; y < plane_height(*frame, c); ++y)
                        for (int x = 0; x < plane_width(*frame, c); ++x) {
                            const double cy = fy * y + offset_y(location, fy), cx = fx * x + offset_x(location, fx);
                            double sum = 0, weights = 0;
                            for (int j = fy * y - 3; j <= fy * y + 4; ++j)
                                for (int i = fx * x - 3; i <= fx * x + 4; ++i) {
                                    const double down = fy == 1 ? double(j == y) : triangle(j - cy);
                                    const auto pixel = rgb.view()[at(j, height, fy)][at(i, width, fx)];
                                    const double weight = down * triangle(i - cx);
                                    sum += weight * codes(AVCOL_SPC_BT709, AVCOL_RANGE_MPEG, depth,
                                                          {pixel(0), pixel(1), pixel(2)})[std::size_t(c)];
                                    weights += weight;
                                }
                            ASSERT_NEAR(sample(*frame, c, y, x), sum / weights, 0.5 + tie)
                                << descriptor(*frame).name << ", " << height << " x " << width << ", "
                                << av_chroma_location_name(location) << " at " << y << ", " << x;
                        }
            }
}

// Both filters keep a linear ramp as it is, so that one comes back in place only if both put chroma where its tag says;
// half a sample of difference would be 0.5 / 64 / 2 = 0.004 in R and B. Rounding to 8 bits of full range: 0.0055.
TEST(Color, ARampOfChromaIsNotShifted) {
    for (const auto format : {AV_PIX_FMT_YUV420P, AV_PIX_FMT_YUV422P})
        for (const auto location : locations)
            for (const bool along_x : {true, false}) {
                const auto color = tagged(AVCOL_SPC_BT709, AVCOL_RANGE_JPEG, location);
                const auto ramp = picture_of(64, 64, [&](int y, int x, int c) {
                    const double t = (along_x ? x : y) / 64.;
                    return c == 0 ? 0.25 + 0.5 * t : c == 1 ? 0.5 : 0.75 - 0.5 * t;
                });
                const auto back = to_rgb(*from_rgb(ramp, format, color), color);
                double bias = 0;
                for (int y = 8; y < 56; ++y)
                    for (int x = 8; x < 56; ++x) {
                        bias += double(back.view()(y, x, 0)) - double(ramp.view()(y, x, 0));
                        ASSERT_NEAR(back.view()(y, x, 0), ramp.view()(y, x, 0), 0.0055);
                        ASSERT_NEAR(back.view()(y, x, 2), ramp.view()(y, x, 2), 0.0055);
                    }
                EXPECT_NEAR(bias / (48 * 48), 0, 0.0008)
                    << av_chroma_location_name(location) << ", along_x " << along_x;
            }
}

/// Bytes of a picture of 2 x 2 (rows follow each other without padding), laid by hand.
struct HandLaid {
    AVPixelFormat format;
    std::vector<std::vector<int>> planes;
};

void lay(const HandLaid& bytes, AVFrame& frame) {
    for (std::size_t p = 0; p < bytes.planes.size(); ++p) {
        const int row = av_image_get_linesize(bytes.format, frame.width, int(p));
        for (std::size_t i = 0; i < bytes.planes[p].size(); ++i)
            frame.data[p][int(i) / row * frame.linesize[p] + int(i) % row] = std::uint8_t(bytes.planes[p][i]);
    }
}

// Red in the limited range of bt709: (63, 102, 240), of 10 bits (250, 409, 960).
TEST(Color, LayoutsOfYcbcr) {
    const HandLaid reds[] = {
        {AV_PIX_FMT_NV12, {{63, 63, 63, 63}, {102, 240}}},
        {AV_PIX_FMT_NV21, {{63, 63, 63, 63}, {240, 102}}},
        {AV_PIX_FMT_NV16, {{63, 63, 63, 63}, {102, 240, 102, 240}}},
        {AV_PIX_FMT_YUYV422, {{63, 102, 63, 240, 63, 102, 63, 240}}},
        {AV_PIX_FMT_UYVY422, {{102, 63, 240, 63, 102, 63, 240, 63}}},
        {AV_PIX_FMT_YVYU422, {{63, 240, 63, 102, 63, 240, 63, 102}}},
        {AV_PIX_FMT_YUVA420P, {{63, 63, 63, 63}, {102}, {240}, {0, 0, 0, 0}}},
        {AV_PIX_FMT_YUVJ420P, {{54, 54, 54, 54}, {99}, {255}}},  // (54.2, 98.8, 255.5), clamped
        {AV_PIX_FMT_P010LE,  // 10 bits at the top of 16: 250 * 64 = 0x3e80, 409 * 64 = 0x6640, 960 * 64 = 0xf000
         {{0x80, 0x3e, 0x80, 0x3e, 0x80, 0x3e, 0x80, 0x3e}, {0x40, 0x66, 0x00, 0xf0}}},
        {AV_PIX_FMT_P010BE, {{0x3e, 0x80, 0x3e, 0x80, 0x3e, 0x80, 0x3e, 0x80}, {0x66, 0x40, 0xf0, 0x00}}},
        {AV_PIX_FMT_YUV420P10LE, {{0xfa, 0, 0xfa, 0, 0xfa, 0, 0xfa, 0}, {0x99, 0x01}, {0xc0, 0x03}}},
        {AV_PIX_FMT_YUV420P10BE, {{0, 0xfa, 0, 0xfa, 0, 0xfa, 0, 0xfa}, {0x01, 0x99}, {0x03, 0xc0}}},
    };
    for (const auto& red : reds) {
        const auto frame = make_picture(red.format, 2, 2);
        lay(red, *frame);
        const auto rgb = to_rgb(*frame, tagged(AVCOL_SPC_BT709, AVCOL_RANGE_MPEG));
        for (int y = 0; y < 2; ++y)
            for (int x = 0; x < 2; ++x)
                for (int c = 0; c < 3; ++c) EXPECT_NEAR(rgb.view()(y, x, c), c == 0, 0.004) << descriptor(*frame).name;
        if (!detail::writable(descriptor(*frame))) continue;
        const auto back = make_picture(red.format, 2, 2);
        std::memset(back->data[0], 255, std::size_t(back->linesize[0]));  // what was there before is gone
        const auto pure = picture_of(2, 2, [](int, int, int c) { return c == 0; });
        FromRgb().convert(pure.view(), tagged(AVCOL_SPC_BT709, AVCOL_RANGE_MPEG), *back);
        for (std::size_t p = 0; p < red.planes.size(); ++p)
            for (int y = 0; y < plane_height(*back, int(p)); ++y)
                EXPECT_EQ(std::memcmp(back->data[p] + y * back->linesize[p], frame->data[p] + y * frame->linesize[p],
                                      std::size_t(av_image_get_linesize(red.format, 2, int(p)))),
                          0)
                    << descriptor(*frame).name << ", plane " << p;
    }
}

TEST(Color, LayoutsOfRgbAndGrey) {
    const HandLaid pictures[] = {
        {AV_PIX_FMT_RGB24, {{255, 51, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0}}},
        {AV_PIX_FMT_BGRA, {{0, 51, 255, 7}}},
        {AV_PIX_FMT_GBRP, {{51}, {0}, {255}}},
        {AV_PIX_FMT_RGB48BE, {{0xff, 0xff, 0x33, 0x33, 0, 0}}},
        {AV_PIX_FMT_RGB565LE, {{0x20, 0xf9}}},  // 11111 001001 00000: 9 / 63 of green
        {AV_PIX_FMT_GRAY8, {{51}}},
        {AV_PIX_FMT_YA8, {{51, 200}}},
        {AV_PIX_FMT_GRAY16BE, {{0x33, 0x33}}},
        {AV_PIX_FMT_GRAY16LE, {{0x33, 0x33}}},
        {AV_PIX_FMT_GRAY10LE, {{0x01, 0x02}}},
        {AV_PIX_FMT_MONOBLACK, {{0x80}}},  // white, black
        {AV_PIX_FMT_MONOWHITE, {{0x7f}}},
    };
    for (const auto& bytes : pictures) {
        const auto frame = make_picture(bytes.format, 1, 2);
        lay(bytes, *frame);
        const auto rgb = to_rgb(*frame, tagged(AVCOL_SPC_RGB, AVCOL_RANGE_JPEG));
        std::array<float, 3> wanted = {1, 51 / 255.f, 0};
        if (bytes.format == AV_PIX_FMT_RGB565LE) wanted[1] = 9 / 63.f;
        if (descriptor(*frame).nb_components <= 2) wanted.fill(51 / 255.f);
        if (bytes.format == AV_PIX_FMT_GRAY10LE) wanted.fill(513 / 1023.f);
        if (descriptor(*frame).comp[0].depth == 1) wanted.fill(1);
        for (int c = 0; c < 3; ++c)
            EXPECT_EQ(rgb.view()(0, 0, c), wanted[std::size_t(c)]) << descriptor(*frame).name << ", " << c;
    }
}

TEST(Color, Palette) {
    const auto frame = make_picture(AV_PIX_FMT_PAL8, 1, 3);
    const std::uint32_t entries[] = {0xff0000ff, 0x00336699, 0xffffffff};
    std::memcpy(frame->data[1], entries, sizeof entries);
    for (int x = 0; x < 3; ++x) frame->data[0][x] = std::uint8_t(x);
    const auto rgb = to_rgb(*frame, tagged(AVCOL_SPC_RGB, AVCOL_RANGE_JPEG));
    EXPECT_THAT(rgb.pixels, testing::ElementsAre(0, 0, 1, 51 / 255.f, 102 / 255.f, 153 / 255.f, 1, 1, 1));
}

TEST(Color, GreyInLimitedRange) {
    constexpr std::array<double, 4> wanted = {0, 0, 0.5, 1};
    for (const auto& [format, black, white] : {std::tuple{AV_PIX_FMT_GRAY8, 16, 235}, {AV_PIX_FMT_GRAY10, 64, 940}}) {
        const auto frame = make_picture(format, 1, 4);
        for (int x = 0; x < 4; ++x)
            set_sample(*frame, 0, 0, x, std::array{0, black, (black + white) / 2, white}[std::size_t(x)]);
        const auto rgb = to_rgb(*frame, tagged(AVCOL_SPC_BT709, AVCOL_RANGE_MPEG));
        for (int x = 0; x < 4; ++x) EXPECT_NEAR(rgb.view()(0, x, 1), wanted[std::size_t(x)], 0.003) << x;
        const auto back = from_rgb(rgb, format, tagged(AVCOL_SPC_BT709, AVCOL_RANGE_MPEG));
        for (int x = 1; x < 4; ++x) EXPECT_EQ(sample(*back, 0, 0, x), sample(*frame, 0, 0, x));
    }
}

TEST(Color, EverySampleOfRgbAndGreyIsExactAndComesBack) {
    for (const auto format : {AV_PIX_FMT_GBRP, AV_PIX_FMT_RGB24, AV_PIX_FMT_BGR0, AV_PIX_FMT_GBRP10LE,
                              AV_PIX_FMT_GBRP12BE, AV_PIX_FMT_RGB48BE, AV_PIX_FMT_RGB48LE, AV_PIX_FMT_GRAY8,
                              AV_PIX_FMT_GRAY12LE, AV_PIX_FMT_GRAY16LE, AV_PIX_FMT_GRAY16BE}) {
        const AVPixFmtDescriptor& desc = *av_pix_fmt_desc_get(format);
        const int top = (1 << desc.comp[0].depth) - 1, width = std::min(top + 1, 4096);
        const int components = desc.nb_components >= 3 ? 3 : 1;
        const auto value = [&](int y, int x, int c) { return (x * (top / (width - 1)) + 31 * y + 57 * c) & top; };
        const auto frame = make_picture(format, 3, width);
        std::vector<std::uint16_t> row(static_cast<std::size_t>(width));
        for (int y = 0; y < 3; ++y)
            for (int c = 0; c < components; ++c) {
                for (int x = 0; x < width; ++x) row[std::size_t(x)] = std::uint16_t(value(y, x, c));
                av_write_image_line2(row.data(), frame->data, frame->linesize, &desc, 0, y, c, width, 2);
            }
        auto color = tagged(AVCOL_SPC_RGB, AVCOL_RANGE_JPEG);
        const auto rgb = to_rgb(*frame, color);
        for (int y = 0; y < 3; ++y)
            for (int x = 0; x < width; ++x)
                for (int c = 0; c < 3; ++c)
                    ASSERT_EQ(rgb.view()(y, x, c), float(value(y, x, components == 3 ? c : 0)) / float(top))
                        << desc.name << " at " << y << ", " << x << ", " << c;
        if (components == 1) color.matrix = AVCOL_SPC_BT709;
        const auto back = from_rgb(rgb, format, color);
        for (int p = 0; p < av_pix_fmt_count_planes(format); ++p)
            for (int y = 0; y < 3; ++y)
                ASSERT_EQ(std::memcmp(back->data[p] + y * back->linesize[p], frame->data[p] + y * frame->linesize[p],
                                      std::size_t(av_image_get_linesize(format, width, p))),
                          0)
                    << desc.name << ", row " << y << " of plane " << p;
    }
}

// Whatever FFmpeg decodes to: a flat colour, written by FFmpeg's own hand, is that colour everywhere; or a clear Error.
TEST(Color, EveryPixelFormatIsReadOrRefused) {
    int read = 0, written = 0;
    for (const AVPixFmtDescriptor* desc = nullptr; (desc = av_pix_fmt_desc_next(desc)) != nullptr;) {
        const AVPixelFormat format = av_pix_fmt_desc_get_id(desc);
        if ((desc->flags & (AV_PIX_FMT_FLAG_HWACCEL | AV_PIX_FMT_FLAG_PAL)) != 0) continue;
        const auto frame = make_picture(format, 3, 5);
        const bool rgb = (desc->flags & AV_PIX_FMT_FLAG_RGB) != 0;
        const bool known = (desc->flags & (AV_PIX_FMT_FLAG_FLOAT | AV_PIX_FMT_FLAG_BAYER)) == 0 &&
                           desc->comp[0].depth <= 16 && std::string(desc->name).find("xyz") == std::string::npos &&
                           format != AV_PIX_FMT_UYYVYY411;
        if (!known) {
            EXPECT_THAT(test::message_of([&] { to_rgb(*frame, {}); }), HasSubstr("is not supported")) << desc->name;
            continue;
        }
        for (int c = 0; c < std::min<int>(desc->nb_components, 3); ++c) {
            const int depth = desc->comp[c].depth;
            const int code = depth < 8 ? (1 << depth) - 1 : 1 << (depth - 1);  // white, or grey
            const bool chroma = !rgb && (c == 1 || c == 2);
            const int width = chroma ? plane_width(*frame, 1) : 5, height = chroma ? plane_height(*frame, 1) : 3;
            const std::vector<std::uint16_t> row(static_cast<std::size_t>(width), std::uint16_t(code));
            for (int y = 0; y < height; ++y)
                av_write_image_line2(row.data(), frame->data, frame->linesize, desc, 0, y, c, width, 2);
        }
        const auto found = to_rgb(*frame, tagged(rgb ? AVCOL_SPC_RGB : AVCOL_SPC_BT709, AVCOL_RANGE_JPEG));
        const float wanted = format == AV_PIX_FMT_MONOWHITE ? 0.f : desc->comp[0].depth < 8 ? 1.f : 0.5f;
        for (const float value : found.pixels)
            ASSERT_NEAR(value, wanted, desc->comp[0].depth < 8 ? 0.2 : 0.002) << desc->name;
        ++read;
        if (!detail::writable(*desc)) continue;
        const auto back = to_rgb(*from_rgb(found, format, tagged(AVCOL_SPC_BT709, AVCOL_RANGE_JPEG)),
                                 tagged(AVCOL_SPC_BT709, AVCOL_RANGE_JPEG));
        for (const float value : back.pixels) ASSERT_NEAR(value, wanted, 0.002) << desc->name;
        ++written;
    }
    EXPECT_GT(read, 100);
    EXPECT_GT(written, 60);
}

TEST(Color, PicturesOfAnySizeAndAlignment) {
    const auto color = tagged(AVCOL_SPC_BT709, AVCOL_RANGE_MPEG);
    ToRgb to;
    FromRgb from;
    for (const auto [height, width] : sizes)  // one after the other, in the same objects
        for (const std::string chroma : {"420", "422", "444"}) {
            const auto frame = make_picture(planar(chroma, 8), height + 2, width + 2);
            frame->height = height;  // a decoder's cropping moves the planes' beginnings to any address
            frame->width = width;
            for (int c = 0; c < 3; ++c) ++frame->data[c];
            const auto flat = picture_of(height, width, [](int, int, int c) { return 0.25 * (c + 1); });
            from.convert(flat.view(), color, *frame);
            VideoFrame back;
            back.resize(height, width);
            to.convert(*frame, color, back.view());
            for (std::size_t i = 0; i < back.pixels.size(); ++i)
                ASSERT_NEAR(back.pixels[i], flat.pixels[i], 0.006) << height << " x " << width << ", " << chroma;
        }
}

TEST(Color, OneObjectForColoursThatChange) {
    ToRgb to;
    FromRgb from;
    const auto rgb = noise(4, 6);
    const auto frame = make_picture(AV_PIX_FMT_YUV420P, 4, 6);
    for (const auto matrix : {AVCOL_SPC_BT709, AVCOL_SPC_BT470BG})
        for (const auto range : {AVCOL_RANGE_MPEG, AVCOL_RANGE_JPEG})
            for (const auto location : {AVCHROMA_LOC_LEFT, AVCHROMA_LOC_TOP}) {
                const auto color = tagged(matrix, range, location);
                from.convert(rgb.view(), color, *frame);
                EXPECT_EQ(difference(*frame, *from_rgb(rgb, AV_PIX_FMT_YUV420P, color)).worst, 0);
                VideoFrame back;
                back.resize(4, 6);
                to.convert(*frame, color, back.view());
                EXPECT_EQ(back.pixels, to_rgb(*frame, color).pixels);
            }
}

TEST(Color, OutOfRangeIsClampedAndNanIsBlack) {
    constexpr float inf = std::numeric_limits<float>::infinity(), nan = std::numeric_limits<float>::quiet_NaN();
    const std::vector<float> wild = {-3, 2, 7, inf, -inf, nan, nan, nan, nan, 1e30f, -1e30f, -0.f};
    const std::vector<float> tame = {0, 1, 1, 1, 0, 0, 0, 0, 0, 1, 0, 0};
    for (const auto format :
         {AV_PIX_FMT_YUV444P, AV_PIX_FMT_YUV420P10, AV_PIX_FMT_RGB24, AV_PIX_FMT_GBRP12, AV_PIX_FMT_GRAY8}) {
        const auto a = make_picture(format, 1, 4), b = make_picture(format, 1, 4);
        FromRgb().convert({wild.data(), {1, 4, 3}}, tagged(AVCOL_SPC_BT709, AVCOL_RANGE_MPEG), *a);
        FromRgb().convert({tame.data(), {1, 4, 3}}, tagged(AVCOL_SPC_BT709, AVCOL_RANGE_MPEG), *b);
        for (int p = 0; p < av_pix_fmt_count_planes(format); ++p)
            EXPECT_EQ(std::memcmp(a->data[p], b->data[p], std::size_t(av_image_get_linesize(format, 4, p))), 0)
                << descriptor(*a).name;
    }
    // Code values outside of the limited range, and colours that RGB does not have.
    const auto frame = make_picture(AV_PIX_FMT_YUV444P, 1, 1);
    for (const auto& code : {std::array{255, 255, 255}, {0, 0, 0}, {0, 255, 0}, {255, 0, 128}}) {
        for (int c = 0; c < 3; ++c) set_sample(*frame, c, 0, 0, code[std::size_t(c)]);
        for (const float value : to_rgb(*frame, tagged(AVCOL_SPC_BT709, AVCOL_RANGE_MPEG)).pixels) {
            EXPECT_GE(value, 0);
            EXPECT_LE(value, 1);
        }
    }
}

// A grey between two code values: alone it is rounded to one of them, dithered it is right in the mean.
TEST(Color, DitherKeepsTheMean) {
    const auto grey = picture_of(64, 64, [](int, int, int) { return 100.3 / 255; });
    for (const auto& [dither, mean] :
         {std::pair{Dither::none, 100.}, {Dither::ordered, 100.3}, {Dither::error_diffusion, 100.3}}) {
        const auto frame = make_picture(AV_PIX_FMT_YUV444P, 64, 64);
        FromRgb(dither).convert(grey.view(), tagged(AVCOL_SPC_BT709, AVCOL_RANGE_JPEG), *frame);
        double sum = 0;
        for (int y = 0; y < 64; ++y)
            for (int x = 0; x < 64; ++x) {
                EXPECT_THAT(sample(*frame, 0, y, x), AnyOf(100, 101));
                sum += sample(*frame, 0, y, x);
            }
        EXPECT_NEAR(sum / (64 * 64), mean, dither == Dither::none ? 0 : 0.03);
    }
}

TEST(Color, ErrorsNameWhatIsWrong) {
    const auto exotic = make_picture(AV_PIX_FMT_GBRPF32LE, 2, 2);
    EXPECT_THAT(test::message_of([&] { to_rgb(*exotic, {}); }), HasSubstr("gbrpf32le is not supported"));
    const auto rgb = noise(2, 2);
    EXPECT_THAT(test::message_of([&] { FromRgb().convert(rgb.view(), {}, *exotic); }),
                HasSubstr("gbrpf32le cannot be written"));
    const auto frame = make_picture(AV_PIX_FMT_YUV420P, 4, 2);
    EXPECT_THAT(test::message_of([&] { FromRgb().convert(rgb.view(), {}, *frame); }),
                HasSubstr("picture (2, 2, 3) for a frame of 4 x 2"));
    VideoFrame wrong;
    wrong.resize(2, 4);
    EXPECT_THAT(test::message_of([&] { ToRgb().convert(*frame, {}, wrong.view()); }),
                HasSubstr("the frame is 4 x 2, the result (2, 4, 3)"));
}

}  // namespace
}  // namespace mia
