#include "mia/metrics/ssim.hpp"

#include <gtest/gtest.h>

#include "metrics/pictures.hpp"
#include "reference/metrics.hpp"

namespace mia::test {
namespace {

constexpr double similarity = 1e-6;  // as close as the official code's numbers are given

TEST(Ssim, BicubicGolden) {
    const auto truth = golden_picture("truth"), bicubic = golden_picture("bicubic");
    EXPECT_NEAR(ssim(bicubic.view(), truth.view(), Channels::y), 0.62783738, similarity);
    EXPECT_NEAR(ssim(bicubic.view(), truth.view(), Channels::y, 4), 0.62721097, similarity);
}

TEST(Ssim, OfficialGoldenWithAndWithoutBorder) {
    each_official_pair([](auto a, auto b, int border, const auto* expected) {
        EXPECT_NEAR(ssim(a, b, Channels::rgb, border), expected[2], similarity);
        EXPECT_NEAR(ssim(a, b, Channels::y, border), expected[3], similarity);
    });
}

TEST(Ssim, ReferenceOnOddSizes) {
    Random random(3);
    for (const auto& [H, W] : {std::pair{11, 11}, {12, 29}, {31, 13}}) {
        const Numbers a = eight_bit_numbers(random, H * W * 3), b = disturbed(random, a);
        const auto pa = picture_of(a, H, W), pb = picture_of(b, H, W);
        double rgb = 0;
        for (int c = 0; c < 3; ++c) rgb += reference::ssim(color_of(a, c), color_of(b, c), H, W) / 3;
        EXPECT_NEAR(ssim(pa.view(), pb.view(), Channels::rgb), rgb, similarity);
        EXPECT_NEAR(ssim(pa.view(), pb.view(), Channels::y),
                    reference::ssim(reference::luma(a), reference::luma(b), H, W), similarity);
    }
}

TEST(Ssim, OneForEqualPicturesAndTheSameBothWays) {
    const auto a = golden_picture("truth"), b = golden_picture("bicubic");
    for (const Channels channels : {Channels::y, Channels::rgb}) {
        EXPECT_NEAR(ssim(a.view(), a.view(), channels), 1, 1e-12);
        EXPECT_EQ(ssim(a.view(), b.view(), channels), ssim(b.view(), a.view(), channels));
    }
}

TEST(Ssim, SmallerThanTheWindowIsAnError) {
    Tensor<float, 3> a(10, 40, 3), b(20, 20, 3);
    EXPECT_THROW(ssim(a.view(), a.view(), Channels::y), Error);
    EXPECT_THROW(ssim(b.view(), b.view(), Channels::y, 5), Error);
}

}  // namespace
}  // namespace mia::test
