#include "mia/metrics/imresize.hpp"

#include <gtest/gtest.h>

#include "metrics/pictures.hpp"
#include "mia/metrics/quality.hpp"
#include "reference/metrics.hpp"

namespace mia::test {
namespace {

Tensor<float, 3> resized(View<const float, 3> x, int H, int W) {
    Tensor<float, 3> y(H, W, x.extent(2));
    imresize_8_bit(x, y.view());
    return y;
}

void expect_equal(View<const float, 3> actual, View<const float, 3> expected) {
    ASSERT_TRUE(same_shape(actual, expected));
    for (std::ptrdiff_t i = 0; i < actual.size(); ++i) ASSERT_EQ(actual.data[i], expected.data[i]) << "element " << i;
}

TEST(Imresize, DegradationAndBicubicHaveTheGoldensBytes) {
    const auto truth = golden_picture("truth"), lr = golden_picture("lr"), bicubic = golden_picture("bicubic");
    expect_equal(resized(truth.view(), 24, 24).view(), lr.view());
    expect_equal(resized(lr.view(), 96, 96).view(), bicubic.view());
}

TEST(Imresize, UnroundedGolden) {
    const auto truth = golden_picture("truth"), lr = golden_picture("lr");
    Tensor<float, 3> down(24, 24, 3), up(96, 96, 3);
    imresize(truth.view(), down.view());
    imresize(lr.view(), up.view());
    constexpr double codes = 3e-5;  // float results of up to 255
    EXPECT_NEAR(255 * down.view()(0, 23, 1), 188.772338271, codes);
    EXPECT_NEAR(255 * down.view()(11, 7, 2), 16.287748635, codes);
    EXPECT_NEAR(255 * up.view()(0, 0, 0), 69.997070312, codes);
    EXPECT_NEAR(255 * up.view()(40, 41, 1), 31.208281517, codes);
    EXPECT_NEAR(255 * up.view()(95, 94, 2), 75.336608887, codes);
}

TEST(Imresize, LanczosGolden) {
    const auto truth = golden_picture("truth"), lr = golden_picture("lr");
    Tensor<float, 3> up(96, 96, 3);
    imresize_8_bit(lr.view(), up.view(), ResizeKernel::lanczos3);
    const Quality q = quality(up.view(), truth.view());
    EXPECT_NEAR(q.psnr_y, 21.986695, 1e-4);
    EXPECT_NEAR(q.ssim_y, 0.63067998, 1e-6);
    EXPECT_NEAR(q.psnr_rgb, 20.660235, 1e-4);
}

TEST(Imresize, ReferenceOnAnySizes) {
    struct Case {
        int H, W, to_H, to_W;
    };
    Random random(4);
    for (const auto& [H, W, to_H, to_W] :
         {Case{8, 12, 2, 3}, {5, 7, 20, 28}, {9, 10, 3, 7}, {1, 1, 4, 4}, {2, 3, 1, 1}, {6, 6, 6, 6}, {3, 50, 7, 2}}) {
        const Numbers x = random.numbers(H * W * 2, 0, 1);
        Tensor<float, 3> from(H, W, 2), to(to_H, to_W, 2);
        std::copy(x.begin(), x.end(), from.data());
        imresize(from.view(), to.view());
        expect_near(std::vector<float>(to.data(), to.data() + to.size()), reference::imresize(x, H, W, 2, to_H, to_W),
                    1e-6, text(H, " x ", W, " to ", to_H, " x ", to_W));
    }
}

TEST(Imresize, AConstantStaysAndHalvesAreRoundedUp) {
    const auto flat = picture_of(Numbers(16 * 16 * 3, 77.), 16, 16);
    expect_equal(resized(flat.view(), 4, 4).view(), picture_of(Numbers(4 * 4 * 3, 77.), 4, 4).view());
    Tensor<float, 3> two(1, 2, 1), one(1, 1, 1);  // both taps weigh 1/2
    two.data()[0] = 10 / 255.f;
    two.data()[1] = 11 / 255.f;
    imresize_8_bit(two.view(), one.view());
    EXPECT_EQ(one.data()[0], 11 / 255.f);
}

TEST(Imresize, WhatCannotBeIsAnError) {
    Tensor<float, 3> x(4, 4, 3), gray(4, 4, 1), empty(0, 4, 3);
    EXPECT_THROW(imresize(x.view(), gray.view()), Error);
    EXPECT_THROW(imresize_8_bit(x.view(), gray.view()), Error);
    EXPECT_THROW(imresize(empty.view(), x.view()), Error);
    EXPECT_THROW(imresize(x.view(), empty.view()), Error);
}

}  // namespace
}  // namespace mia::test
