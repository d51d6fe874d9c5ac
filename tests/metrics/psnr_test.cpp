#include "mia/metrics/psnr.hpp"

#include <gtest/gtest.h>

#include <cmath>

#include "metrics/pictures.hpp"
#include "reference/metrics.hpp"

namespace mia::test {
namespace {

constexpr double decibels = 1e-4;  // as close as the official code's numbers are given

TEST(Psnr, BicubicGolden) {
    const auto truth = golden_picture("truth"), bicubic = golden_picture("bicubic");
    EXPECT_NEAR(psnr(bicubic.view(), truth.view(), Channels::y), 21.898513, decibels);
    EXPECT_NEAR(psnr(bicubic.view(), truth.view(), Channels::rgb), 20.564313, decibels);
    EXPECT_NEAR(psnr(bicubic.view(), truth.view(), Channels::y, 4), 21.804568, decibels);
}

TEST(Psnr, OfficialGoldenWithAndWithoutBorder) {
    each_official_pair([](auto a, auto b, int border, const auto* expected) {
        EXPECT_NEAR(psnr(a, b, Channels::rgb, border), expected[0], decibels);
        EXPECT_NEAR(psnr(a, b, Channels::y, border), expected[1], decibels);
    });
}

TEST(Psnr, ReferenceOnOddSizes) {
    Random random(2);
    for (const auto& [H, W] : {std::pair{1, 1}, {3, 17}, {19, 2}}) {
        const Numbers a = eight_bit_numbers(random, H * W * 3), b = disturbed(random, a);
        const auto pa = picture_of(a, H, W), pb = picture_of(b, H, W);
        EXPECT_NEAR(psnr(pa.view(), pb.view(), Channels::rgb), reference::psnr(a, b), decibels);
        EXPECT_NEAR(psnr(pa.view(), pb.view(), Channels::y), reference::psnr(reference::luma(a), reference::luma(b)),
                    decibels);
    }
}

TEST(Psnr, ConstantDifference) {
    const auto a = picture_of(Numbers(12 * 12 * 3, 100.), 12, 12), b = picture_of(Numbers(12 * 12 * 3, 101.), 12, 12);
    EXPECT_NEAR(psnr(a.view(), b.view(), Channels::rgb), 48.130804, decibels);
}

TEST(Psnr, EqualPicturesAreInfinite) {
    const auto a = golden_picture("truth");
    for (const Channels channels : {Channels::y, Channels::rgb}) {
        EXPECT_EQ(mean_squared_error(a.view(), a.view(), channels), 0);
        EXPECT_EQ(psnr(a.view(), a.view(), channels), std::numeric_limits<double>::infinity());
    }
}

TEST(Psnr, BadInputIsAnErrorWithTheNumbers) {
    Tensor<float, 3> a(8, 9, 3), b(8, 10, 3), gray(8, 9, 1);
    EXPECT_THROW(psnr(a.view(), b.view(), Channels::y), Error);
    EXPECT_THROW(psnr(gray.view(), gray.view(), Channels::y), Error);
    EXPECT_THROW(psnr(a.view(), a.view(), Channels::y, 4), Error);
    EXPECT_THROW(psnr(a.view(), a.view(), Channels::y, -1), Error);
    try {
        psnr(a.view(), b.view(), Channels::rgb);
    } catch (const Error& error) {
        EXPECT_NE(std::string(error.what()).find("(8, 9, 3) and (8, 10, 3)"), std::string::npos) << error.what();
    }
}

}  // namespace
}  // namespace mia::test
