#include "mia/visual/difference_map.hpp"

#include "visual/pictures.hpp"

namespace mia::test {
namespace {

constexpr Rgb dark_red{0.79f, 0, 0.13f}, dark_blue{0.02f, 0.44f, 0.69f};

TEST(DifferenceMap, SignIsHueAndSizeIsSaturation) {
    const auto a = values(1, 4, 3, {1, 1, 1, 0, 0, 0, 0.5f, 0.5f, 0.5f, 0.25f, 0.25f, 0.25f});
    const auto b = values(1, 4, 3, {0, 0, 0, 1, 1, 1, 0.5f, 0.5f, 0.5f, 0, 0, 0});
    auto picture = plain(1, 4, black);
    EXPECT_NEAR(draw_difference(a.view(), b.view(), 109.5f, picture.view()), 219, 1e-3);
    expect_color(pixel_of(picture.view(), 0, 0), dark_red, "far above");
    expect_color(pixel_of(picture.view(), 0, 1), dark_blue, "far below");
    expect_color(pixel_of(picture.view(), 0, 2), white, "equal");
    expect_color(pixel_of(picture.view(), 0, 3), mix(white, dark_red, 0.5f), "half of the range above");
}

TEST(DifferenceMap, ColoursWeighAsInLuma) {
    const auto green = plain(1, 1, {0, 1, 0}), dark = plain(1, 1, black);
    auto picture = plain(1, 1, black);
    EXPECT_NEAR(draw_difference(green.view(), dark.view(), 1, picture.view()), 128.553, 1e-3);
}

TEST(DifferenceMap, LegendGoesFromBelowToAbove) {
    auto legend = plain(2, 101, black);
    draw_difference_legend(legend.view());
    expect_color(pixel_of(legend.view(), 1, 0), mix(white, dark_blue, 100 / 101.f), "left");
    expect_color(pixel_of(legend.view(), 0, 50), white, "middle");
    expect_color(pixel_of(legend.view(), 0, 100), mix(white, dark_red, 100 / 101.f), "right");
}

TEST(DifferenceMap, ShapesAndRangesThatDoNotFitAreErrors) {
    auto a = plain(2, 3, black), b = plain(3, 2, black);
    EXPECT_THROW(draw_difference(a.view(), b.view(), 1, a.view()), Error);
    EXPECT_THROW(draw_difference(a.view(), a.view(), 1, b.view()), Error);
    EXPECT_THROW(draw_difference(a.view(), a.view(), 0, a.view()), Error);
}

}  // namespace
}  // namespace mia::test
