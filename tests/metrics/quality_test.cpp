#include "mia/metrics/quality.hpp"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "metrics/pictures.hpp"

namespace mia::test {
namespace {

TEST(Quality, IsTheFourMetrics) {
    const auto a = golden_picture("truth"), b = golden_picture("bicubic");
    const Quality q = quality(b.view(), a.view(), 4);
    EXPECT_EQ(q.psnr_y, psnr(b.view(), a.view(), Channels::y, 4));
    EXPECT_EQ(q.psnr_rgb, psnr(b.view(), a.view(), Channels::rgb, 4));
    EXPECT_EQ(q.ssim_y, ssim(b.view(), a.view(), Channels::y, 4));
    EXPECT_EQ(q.ssim_rgb, ssim(b.view(), a.view(), Channels::rgb, 4));
}

TEST(Quality, MeanIsThatOfTheFramesValues) {
    MeanQuality mean;
    EXPECT_EQ(mean.mean().psnr_y, 0);
    mean.add({20, 22, 0.5, 0.25});
    mean.add({40, 26, 0.75, 0.5});
    EXPECT_EQ(mean.mean().psnr_y, 30);
    EXPECT_EQ(mean.mean().psnr_rgb, 24);
    EXPECT_EQ(mean.mean().ssim_y, 0.625);
    EXPECT_EQ(mean.mean().ssim_rgb, 0.375);
    EXPECT_EQ(mean.count(), 2);
    EXPECT_EQ(mean.equal(), 0);
}

TEST(Quality, EqualFramesMakeTheMeanInfiniteAndAreCounted) {
    constexpr double infinite = std::numeric_limits<double>::infinity();
    MeanQuality mean;
    mean.add({infinite, infinite, 1, 1});
    mean.add({20, 22, 0.5, 0.5});
    EXPECT_EQ(mean.mean().psnr_y, infinite);
    EXPECT_EQ(mean.mean().ssim_y, 0.75);
    EXPECT_EQ(mean.equal(), 1);
}

TEST(Quality, RoundsAsAnEightBitFile) {
    const Golden golden("image_u8");
    auto x = channels_last(golden("u8.x"));
    const auto expected = channels_last(golden("u8.y"));
    round_to_8_bit(x.view());
    for (std::ptrdiff_t i = 0; i < x.size(); ++i) EXPECT_EQ(x.data()[i], expected.data()[i] / 255.f) << "element " << i;
    Tensor<float, 3> hole(1, 1, 1);
    hole.data()[0] = std::numeric_limits<float>::quiet_NaN();
    round_to_8_bit(hole.view());
    EXPECT_EQ(hole.data()[0], 0);
}

}  // namespace
}  // namespace mia::test
