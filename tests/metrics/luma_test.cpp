#include "mia/metrics/luma.hpp"

#include <gtest/gtest.h>

#include "metrics/pictures.hpp"
#include "reference/metrics.hpp"

namespace mia::test {
namespace {

TEST(Luma, StudioRange) {
    EXPECT_DOUBLE_EQ(luma(0, 0, 0), 16);
    EXPECT_NEAR(luma(1, 1, 1), 235, 1e-12);
    EXPECT_NEAR(luma(58 / 255., 62 / 255., 16 / 255.), 63.716235294, 1e-9);
}

TEST(Luma, OfAPictureAsTheReference) {
    Random random(1);
    const Numbers rgb = eight_bit_numbers(random, 7 * 5 * 3);
    Tensor<float, 2> y(7, 5);
    luma(picture_of(rgb, 7, 5).view(), y.view());
    expect_near(std::vector<float>(y.data(), y.data() + y.size()), reference::luma(rgb), 1e-6, "luma");
}

TEST(Luma, ShapesThatDoNotFitAreErrors) {
    Tensor<float, 3> picture(4, 5, 3);
    Tensor<float, 2> y(4, 6);
    EXPECT_THROW(luma(picture.view(), y.view()), Error);
}

}  // namespace
}  // namespace mia::test
