#include "mia/ops/block_match/block_match.hpp"

#include "reference/block_match.hpp"
#include "support/golden.hpp"

namespace mia {
namespace {

template <class T>
class BlockMatchOp : public testing::Test {};
using Scalars = testing::Types<float, double>;
TYPED_TEST_SUITE(BlockMatchOp, Scalars);

template <class T>
test::Numbers match(int threads, const test::Numbers& ref, const test::Numbers& supp, int H, int W,
                    MatchPrecision precision = MatchPrecision::pixel) {
    BasicCpu<T> cpu(threads, ScratchFill::nan);
    const auto a = test::cast<T>(ref), b = test::cast<T>(supp);
    auto flow = test::unwritten<float>(H * W * 2);
    block_match<T>(cpu, {a.data(), {H, W, 3}}, {b.data(), {H, W, 3}}, {flow.data(), {H, W, 2}}, precision);
    return {flow.begin(), flow.end()};
}

TYPED_TEST(BlockMatchOp, OddSizes) {
    using T = TypeParam;
    const int sizes[][2] = {{1, 1}, {1, 13}, {9, 2}, {8, 8}, {17, 25}, {15, 40}};
    for (const auto& [H, W] : sizes) {
        test::Random random(H * W);
        // Values beyond [0, 1] are clamped. The second frame is the first, moved, with a little noise.
        const auto ref = random.numbers(H * W * 3, -0.2, 1.2);
        test::Numbers supp(ref.size());
        for (int y = 0; y < H; ++y)
            for (int x = 0; x < W; ++x)
                for (int c = 0; c < 3; ++c)
                    supp[(y * W + x) * 3 + c] =
                        ref[(std::min(y + 2, H - 1) * W + std::max(x - 5, 0)) * 3 + c] + random.number(-0.01, 0.01);
        const auto expected = reference::block_match(ref, supp, H, W);
        for (const int threads : {1, 2, 3}) EXPECT_EQ(match<T>(threads, ref, supp, H, W), expected) << H << " x " << W;
        EXPECT_EQ(match<T>(2, ref, supp, H, W, MatchPrecision::quarter), reference::block_match(ref, supp, H, W, true));
        if (H > 12 && W > 24) {
            EXPECT_EQ(expected[2 * 16], 5);  // the content moved right and up
            EXPECT_EQ(expected[2 * 16 + 1], -2);
        }
    }
}

TYPED_TEST(BlockMatchOp, QuartersFindAMotionWithinOne) {
    using T = TypeParam;
    constexpr int H = 40, W = 48;
    const auto picture = [](double shift_x, double shift_y) {
        test::Numbers frame(H * W * 3);
        for (int y = 0; y < H; ++y)
            for (int x = 0; x < W; ++x)
                for (int c = 0; c < 3; ++c) {
                    const double u = x - shift_x, v = y - shift_y;  // no period that could be mistaken for a motion
                    frame[(y * W + x) * 3 + c] = 0.5 + 0.2 * std::sin(0.35 * u + 0.011 * u * u) +
                                                 0.2 * std::sin(0.3 * v + 0.013 * v * v + 0.1 * u);
                }
        return frame;
    };
    for (const auto& [dx, dy] : {std::pair(0.5, -0.25), {2.25, 1.5}, {-1.75, 0.0}}) {
        const auto flow = match<T>(1, picture(0, 0), picture(dx, dy), H, W, MatchPrecision::quarter);
        const std::size_t middle = 2 * (20 * W + 20);
        EXPECT_NEAR(flow[middle], dx, 0.25) << dx;
        EXPECT_NEAR(flow[middle + 1], dy, 0.25) << dy;
        EXPECT_EQ(flow[middle] * 4, std::round(flow[middle] * 4));
    }
}

TYPED_TEST(BlockMatchOp, TiesGoToTheShortestMove) {
    using T = TypeParam;
    constexpr int H = 24, W = 31;
    const test::Numbers flat(H * W * 3, 0.5);
    EXPECT_EQ(match<T>(1, flat, flat, H, W), test::Numbers(H * W * 2));
    test::Numbers stripes(H * W * 3), moved(H * W * 3);  // period 4, moved by half of it: left and right are as good
    for (int p = 0; p < H * W; ++p)
        for (int c = 0; c < 3; ++c) {
            stripes[3 * p + c] = p % W % 4 < 2;
            moved[3 * p + c] = p % W % 4 >= 2;
        }
    const auto flow = match<T>(1, stripes, moved, H, W);
    EXPECT_EQ(flow, reference::block_match(stripes, moved, H, W));
    EXPECT_EQ(flow[2 * (8 * W + 12)], -2);  // the smaller dx
}

TYPED_TEST(BlockMatchOp, LumaRoundsHalfToEven) {
    using T = TypeParam;
    constexpr int H = 8, W = 8;
    test::Random random(3);
    test::Numbers ref(H * W * 3), supp(H * W * 3);
    for (double& v : ref) v = double((std::floor(random.number(0, 255)) + 0.5f) / 255.0f);
    for (double& v : supp) v = double((std::floor(random.number(0, 255)) + 0.5f) / 255.0f);
    EXPECT_EQ(match<T>(1, ref, supp, H, W), reference::block_match(ref, supp, H, W));
}

TEST(BlockMatch, RefusesWhatDoesNotFit) {
    Cpu cpu;
    Tensor<float, 3> ref(8, 9, 3), supp(9, 8, 3), flow(8, 9, 2), grey(8, 9, 1);
    EXPECT_THROW(block_match<float>(cpu, ref.view(), supp.view(), flow.view()), Error);
    EXPECT_THROW(block_match<float>(cpu, grey.view(), grey.view(), flow.view()), Error);
    EXPECT_THROW(block_match<float>(cpu, ref.view(), ref.view(), ref.view()), Error);
}

}  // namespace
}  // namespace mia
