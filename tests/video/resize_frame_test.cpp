#include "mia/video/resize_frame.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <array>
#include <cmath>
#include <limits>
#include <numbers>
#include <random>
#include <string>
#include <vector>

#include "media.hpp"

namespace mia {
namespace {

using testing::HasSubstr;

VideoFrame noise_frame(int height, int width) {
    VideoFrame frame;
    frame.resize(height, width);
    std::mt19937 random(11);
    std::uniform_real_distribution<float> uniform(-0.5, 1.5);
    for (float& value : frame.pixels) value = uniform(random);
    return frame;
}

VideoFrame resized(const VideoFrame& in, int height, int width, ResizeFilter filter) {
    VideoFrame out;
    out.resize(height, width);
    FrameResizer(filter).resize(in.view(), out.view());
    return out;
}

// The filters' published kernels, in double.

double sinc(double x) {
    x *= std::numbers::pi;
    return x == 0 ? 1 : std::sin(x) / x;
}
double spline36(double x) {
    if (x < 1) return ((13. / 11 * x - 453. / 209) * x - 3. / 209) * x + 1;
    if (x < 2) return ((-6. / 11 * (x - 1) + 270. / 209) * (x - 1) - 156. / 209) * (x - 1);
    return ((1. / 11 * (x - 2) - 45. / 209) * (x - 2) + 26. / 209) * (x - 2);
}
struct Kernel {
    ResizeFilter filter;
    double support;
    double (*value)(double);
};
const Kernel kernels[] = {
    {ResizeFilter::bilinear, 1, [](double x) { return 1 - x; }},
    {ResizeFilter::bicubic, 2,
     [](double x) { return x < 1 ? (1.5 * x - 2.5) * x * x + 1 : ((-0.5 * x + 2.5) * x - 4) * x + 2; }},
    {ResizeFilter::spline36, 3, spline36},
    {ResizeFilter::lanczos, 3, [](double x) { return sinc(x) * sinc(x / 3); }},
};

/// One row of samples to another number of them: pixel centres at i + 1/2, edges mirrored, weights of sum 1, the kernel
/// stretched when the row shrinks.
std::vector<double> resized_row(const std::vector<double>& in, int size, const Kernel& kernel) {
    const double ratio = double(in.size()) / size, stretch = std::max(ratio, 1.);
    std::vector<double> out;
    for (int i = 0; i < size; ++i) {
        const double centre = (i + 0.5) * ratio - 0.5, reach = kernel.support * stretch;
        double sum = 0, weights = 0;
        for (int j = int(std::floor(centre - reach)); j <= int(std::ceil(centre + reach)); ++j) {
            const double distance = std::abs(j - centre) / stretch;
            if (distance >= kernel.support) continue;
            int at = j;
            while (at < 0 || at >= int(in.size())) at = at < 0 ? -1 - at : 2 * int(in.size()) - 1 - at;
            weights += kernel.value(distance);
            sum += kernel.value(distance) * in[std::size_t(at)];
        }
        out.push_back(sum / weights);
    }
    return out;
}

// Sums of up to 40 products of values below 2 in float.
constexpr double tolerance = 5e-6;

TEST(FrameResizer, IsTheKernelsFormula) {
    struct Case {
        int height, width, to_height, to_width;
    };
    for (const auto& kernel : kernels)
        for (const auto [height, width, to_height, to_width] :
             {Case{9, 13, 36, 52}, {8, 12, 12, 18}, {24, 36, 6, 9}, {20, 17, 9, 31}, {11, 10, 11, 40}}) {
            const auto in = noise_frame(height, width);
            const auto out = resized(in, to_height, to_width, kernel.filter);
            for (int c = 0; c < 3; ++c) {
                std::vector<std::vector<double>> columns(static_cast<std::size_t>(to_width));
                for (int y = 0; y < height; ++y) {
                    std::vector<double> row;
                    for (int x = 0; x < width; ++x) row.push_back(in.view()(y, x, c));
                    const auto wide = resized_row(row, to_width, kernel);
                    for (int x = 0; x < to_width; ++x) columns[std::size_t(x)].push_back(wide[std::size_t(x)]);
                }
                for (int x = 0; x < to_width; ++x) {
                    const auto wanted = resized_row(columns[std::size_t(x)], to_height, kernel);
                    for (int y = 0; y < to_height; ++y)
                        ASSERT_NEAR(out.view()(y, x, c), wanted[std::size_t(y)], tolerance)
                            << "filter " << int(kernel.filter) << ", " << height << " x " << width << " to "
                            << to_height << " x " << to_width << ", at " << y << ", " << x;
                }
            }
        }
}

TEST(FrameResizer, TheSameSizeIsACopy) {
    const auto in = noise_frame(7, 19);
    for (const auto& kernel : kernels) EXPECT_EQ(resized(in, 7, 19, kernel.filter).pixels, in.pixels);
}

TEST(FrameResizer, FlatStaysFlatAtAnySize) {
    for (const auto& kernel : kernels)
        for (const auto& [height, width] : {std::array{1, 1}, {1, 7}, {5, 1}, {3, 5}})
            for (const auto& [to_height, to_width] : {std::array{4, 4}, {1, 1}, {13, 2}}) {
                VideoFrame in;
                in.resize(height, width);
                for (std::size_t i = 0; i < in.pixels.size(); ++i) in.pixels[i] = float(i % 3) - 0.75f;
                const auto out = resized(in, to_height, to_width, kernel.filter);
                for (std::size_t i = 0; i < out.pixels.size(); ++i)
                    ASSERT_NEAR(out.pixels[i], float(i % 3) - 0.75f, 1e-6);
            }
}

TEST(FrameResizer, EdgesOvershootUnclamped) {
    VideoFrame edge;
    edge.resize(8, 8);
    for (int y = 0; y < 8; ++y)
        for (int x = 4; x < 8; ++x)
            for (int c = 0; c < 3; ++c) edge.view()(y, x, c) = 1;
    const auto out = resized(edge, 32, 32, ResizeFilter::bicubic);
    EXPECT_LT(*std::min_element(out.pixels.begin(), out.pixels.end()), -0.05f);
    EXPECT_GT(*std::max_element(out.pixels.begin(), out.pixels.end()), 1.05f);
}

TEST(FrameResizer, OneObjectForSizesThatChange) {
    FrameResizer resizer(ResizeFilter::lanczos);
    for (const auto& [height, width] : {std::array{6, 8}, {60, 40}, {6, 8}, {3, 3}}) {
        const auto in = noise_frame(height, width);
        VideoFrame out;
        out.resize(2 * height, 3 * width);
        resizer.resize(in.view(), out.view());
        EXPECT_EQ(out.pixels, resized(in, 2 * height, 3 * width, ResizeFilter::lanczos).pixels);
    }
}

TEST(FrameResizer, NanStaysWhereTheFilterReaches) {
    auto in = noise_frame(16, 16);
    in.view()(8, 8, 1) = std::numeric_limits<float>::quiet_NaN();
    const auto out = resized(in, 32, 32, ResizeFilter::bicubic);
    EXPECT_TRUE(std::isnan(out.view()(17, 17, 1)));
    EXPECT_FALSE(std::isnan(out.view()(17, 17, 0)));
    EXPECT_FALSE(std::isnan(out.view()(2, 2, 1)));
}

TEST(FrameResizer, ShapesThatAreNotPictures) {
    std::vector<float> values(48);
    FrameResizer resizer;
    EXPECT_THAT(test::message_of([&] {
                    resizer.resize({values.data(), {2, 2, 3}}, {values.data(), {4, 4, 1}});
                }),
                HasSubstr("from (2, 2, 3) to (4, 4, 1)"));
    EXPECT_THAT(test::message_of([&] {
                    resizer.resize({values.data(), {0, 2, 3}}, {values.data(), {4, 4, 3}});
                }),
                HasSubstr("from (0, 2, 3)"));
}

}  // namespace
}  // namespace mia
