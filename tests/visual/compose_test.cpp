#include "mia/visual/compose.hpp"

#include <array>

#include "visual/pictures.hpp"

namespace mia::test {
namespace {

constexpr Rgb red{1, 0, 0}, green{0, 1, 0}, blue{0, 0, 1};

TEST(Compose, WhatIsPastedIsCutOut) {
    auto large = plain(5, 7, white);
    auto small = plain(2, 3, red), back = plain(2, 3, black);
    set_pixel(small.view(), 1, 2, blue);
    paste(small.view(), 3, 4, large.view());
    EXPECT_EQ(pixel_of(large.view(), 3, 4), red);
    EXPECT_EQ(pixel_of(large.view(), 4, 6), blue);
    EXPECT_EQ(pixel_of(large.view(), 2, 4), white);
    cut(large.view(), 3, 4, back.view());
    EXPECT_TRUE(std::equal(back.data(), back.data() + back.size(), small.data()));
    EXPECT_THROW(paste(small.view(), 4, 4, large.view()), Error);
    EXPECT_THROW(paste(small.view(), 0, -1, large.view()), Error);
    EXPECT_THROW(cut(large.view(), 0, 5, back.view()), Error);
}

TEST(Compose, RepeatsPixels) {
    auto small = plain(1, 2, red);
    set_pixel(small.view(), 0, 1, blue);
    auto large = plain(3, 6, white);
    repeat_pixels(small.view(), 3, large.view());
    EXPECT_EQ(pixel_of(large.view(), 2, 2), red);
    EXPECT_EQ(pixel_of(large.view(), 0, 3), blue);
    EXPECT_THROW(repeat_pixels(small.view(), 2, large.view()), Error);
}

TEST(Compose, SplitHasTheDividerBetweenItsHalves) {
    const auto left = plain(2, 6, red), right = plain(2, 6, blue);
    auto picture = plain(2, 6, black);
    split(left.view(), right.view(), 3, picture.view(), 2, green);
    const Rgb expected[] = {red, red, green, green, blue, blue};
    for (int x = 0; x < 6; ++x) EXPECT_EQ(pixel_of(picture.view(), 1, x), expected[x]) << x;
    split(left.view(), right.view(), 0, picture.view(), 0);
    EXPECT_EQ(pixel_of(picture.view(), 0, 0), blue);
    split(left.view(), right.view(), 6, picture.view(), 0);
    EXPECT_EQ(pixel_of(picture.view(), 0, 5), red);
    EXPECT_THROW(split(left.view(), plain(6, 2, blue).view(), 0, picture.view()), Error);
}

TEST(Compose, DividerGoesThereAndBack) {
    EXPECT_DOUBLE_EQ(divider_position(0, 100), 0);
    EXPECT_DOUBLE_EQ(divider_position(25, 100), 0.5);
    EXPECT_DOUBLE_EQ(divider_position(50, 100), 1);
    EXPECT_DOUBLE_EQ(divider_position(175, 100), 0.5);
}

TEST(Compose, PicturesInARowAndInAColumn) {
    const auto a = plain(2, 3, red), b = plain(1, 2, blue);
    const std::array<View<const float, 3>, 2> both{a.view(), b.view()};
    const auto row = side_by_side(both, 1, green);
    ASSERT_EQ(row.view().extent(0), 2);
    ASSERT_EQ(row.view().extent(1), 6);
    EXPECT_EQ(pixel_of(row.view(), 1, 2), red);
    EXPECT_EQ(pixel_of(row.view(), 0, 3), green);
    EXPECT_EQ(pixel_of(row.view(), 0, 4), blue);
    EXPECT_EQ(pixel_of(row.view(), 1, 4), green);
    const auto column = one_below_the_other(both, 1, green);
    ASSERT_EQ(column.view().extent(0), 4);
    ASSERT_EQ(column.view().extent(1), 3);
    EXPECT_EQ(pixel_of(column.view(), 2, 0), green);
    EXPECT_EQ(pixel_of(column.view(), 3, 1), blue);
    EXPECT_EQ(pixel_of(column.view(), 3, 2), green);
    EXPECT_THROW(side_by_side({}), Error);
    EXPECT_THROW(one_below_the_other(both, -1), Error);
}

}  // namespace
}  // namespace mia::test
