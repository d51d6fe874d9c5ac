#include "mia/visual/colors.hpp"

#include "visual/pictures.hpp"

namespace mia::test {
namespace {

TEST(Colors, MixGoesFromOneToTheOther) {
    static_assert(mix(black, white, 0) == black && mix(black, white, 1) == white);
    expect_color(mix({0, 0.5f, 1}, {1, 0.5f, 0}, 0.25f), {0.25f, 0.5f, 0.75f}, "a quarter");
}

TEST(Colors, APixelIsReadAsItWasSet) {
    auto picture = plain(2, 3, white);
    set_pixel(picture.view(), 1, 2, {0.1f, 0.2f, 0.3f});
    EXPECT_EQ(pixel_of(picture.view(), 1, 2), (Rgb{0.1f, 0.2f, 0.3f}));
    EXPECT_EQ(pixel_of(picture.view(), 1, 1), white);
}

}  // namespace
}  // namespace mia::test
