#include "mia/visual/flow_wheel.hpp"

#include <limits>

#include "visual/pictures.hpp"

namespace mia::test {
namespace {

// Positions on the wheel of 55 hues, read off the benchmark's table: red to yellow 15, to green 6, to cyan 4, to blue
// 11, to magenta 13, to red 6.
TEST(FlowWheel, DirectionsHaveTheBenchmarksColours) {
    expect_color(flow_color(1, 0), {1, 0, 0}, "right: the first hue");
    expect_color(flow_color(0, 1), {1, 229.5f / 255, 0}, "down: between hues 13 and 14");
    expect_color(flow_color(-1, 0), {0, 209 / 255.f, 1}, "left: hue 27");
    expect_color(flow_color(0, -1), {(78 + 98) / 510.f, 0, 1}, "up: between hues 40 and 41");
}

TEST(FlowWheel, LengthIsSaturation) {
    expect_color(flow_color(0, 0), white, "no motion");
    expect_color(flow_color(0.5f, 0), {1, 0.5f, 0.5f}, "half of the longest");
    expect_color(flow_color(2, 0), {0.75f, 0, 0}, "beyond the longest");
}

TEST(FlowWheel, WhatIsNotFiniteIsBlack) {
    expect_color(flow_color(std::numeric_limits<float>::quiet_NaN(), 0), black, "NaN");
    expect_color(flow_color(0, std::numeric_limits<float>::infinity()), black, "infinity");
}

TEST(FlowWheel, GoesRoundWithoutASeam) {
    for (int degree = 0; degree < 360; ++degree) {
        const float a = float(degree) * 0.0174533f, b = float(degree + 1) * 0.0174533f;
        const Rgb one = flow_color(std::cos(a), std::sin(a)), next = flow_color(std::cos(b), std::sin(b));
        for (std::size_t c = 0; c < 3; ++c) EXPECT_NEAR(one[c], next[c], 0.2f) << degree;
    }
}

TEST(FlowWheel, LengthOfAShareOfTheVectors) {
    const auto flow = values(1, 5, 2, {3, 4, 0, 0, 0, 1, std::numeric_limits<float>::quiet_NaN(), 0, 0, -2});
    EXPECT_FLOAT_EQ(flow_length(flow.view()), 5);
    EXPECT_FLOAT_EQ(flow_length(flow.view(), 0), 0);
    EXPECT_FLOAT_EQ(flow_length(flow.view(), 0.67), 2);
    EXPECT_EQ(flow_length(Tensor<float, 3>(0, 4, 2).view()), 0);
    EXPECT_THROW(flow_length(flow.view(), 1.5), Error);
    EXPECT_THROW(flow_length(plain(2, 2, white).view()), Error);
}

TEST(FlowWheel, DrawsInUnitsOfTheFullLengthAndLeavesPaddingOut) {
    const auto flow = values(2, 3, 2, {4, 0, 0, 0, 9, 9, 2, 0, 0, 4, 9, 9});
    auto picture = plain(2, 2, black);
    draw_flow(flow.view(), 4, picture.view());
    expect_color(pixel_of(picture.view(), 0, 0), {1, 0, 0}, "full length");
    expect_color(pixel_of(picture.view(), 0, 1), white, "no motion");
    expect_color(pixel_of(picture.view(), 1, 0), {1, 0.5f, 0.5f}, "half");
    expect_color(pixel_of(picture.view(), 1, 1), {1, 229.5f / 255, 0}, "down");
    EXPECT_THROW(draw_flow(flow.view(), 0, picture.view()), Error);
    EXPECT_THROW(draw_flow(flow.view(), 1, plain(3, 3, black).view()), Error);
}

TEST(FlowWheel, LegendShowsEachVectorInItsPlace) {
    auto legend = plain(41, 61, black);
    draw_flow_legend(legend.view(), {0, 1, 0});
    expect_color(pixel_of(legend.view(), 20, 30), white, "centre");
    expect_color(pixel_of(legend.view(), 0, 0), {0, 1, 0}, "corner");
    const Rgb right = pixel_of(legend.view(), 20, 50);
    EXPECT_NEAR(right[0], 1, 1e-5);
    EXPECT_LT(right[1], 0.05);
}

}  // namespace
}  // namespace mia::test
