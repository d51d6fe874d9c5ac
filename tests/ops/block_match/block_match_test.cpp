#include "mia/ops/block_match/block_match.hpp"

#include "reference/block_match.hpp"
#include "support/backends.hpp"

namespace mia {
namespace {

template <class B>
class BlockMatchOp : public testing::Test {};
TYPED_TEST_SUITE(BlockMatchOp, test::Backends);
template <class B>
class BlockMatchFloat : public testing::Test {};
TYPED_TEST_SUITE(BlockMatchFloat, test::FloatBackends);

template <class B>
test::Numbers match(int threads, const test::Numbers& ref, const test::Numbers& supp, int H, int W,
                    MatchPrecision precision = MatchPrecision::pixel) {
    auto backend = test::make_backend<B>(threads);
    test::Placed<B, float, 3> flow(backend, {H, W, 2});
    block_match<typename B::Scalar>(backend, test::place<3>(backend, ref, {H, W, 3}),
                                    test::place<3>(backend, supp, {H, W, 3}), flow, precision);
    const auto values = flow.values();
    return {values.begin(), values.end()};
}

TYPED_TEST(BlockMatchOp, OddSizes) {
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
        for (const int threads : test::thread_counts<TypeParam>())
            EXPECT_EQ(match<TypeParam>(threads, ref, supp, H, W), expected) << H << " x " << W;
        EXPECT_EQ(match<TypeParam>(2, ref, supp, H, W, MatchPrecision::quarter),
                  reference::block_match(ref, supp, H, W, true));
        if (H > 12 && W > 24) {
            EXPECT_EQ(expected[2 * 16], 5);  // the content moved right and up
            EXPECT_EQ(expected[2 * 16 + 1], -2);
        }
    }
}

TYPED_TEST(BlockMatchOp, QuartersFindAMotionWithinOne) {
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
        const auto flow = match<TypeParam>(1, picture(0, 0), picture(dx, dy), H, W, MatchPrecision::quarter);
        const std::size_t middle = 2 * (20 * W + 20);
        EXPECT_NEAR(flow[middle], dx, 0.25) << dx;
        EXPECT_NEAR(flow[middle + 1], dy, 0.25) << dy;
        EXPECT_EQ(flow[middle] * 4, std::round(flow[middle] * 4));
    }
}

TYPED_TEST(BlockMatchOp, TiesGoToTheShortestMove) {
    constexpr int H = 24, W = 31;
    const test::Numbers flat(H * W * 3, 0.5);
    EXPECT_EQ(match<TypeParam>(1, flat, flat, H, W), test::Numbers(H * W * 2));
    test::Numbers stripes(H * W * 3), moved(H * W * 3);  // period 4, moved by half of it: left and right are as good
    for (int p = 0; p < H * W; ++p)
        for (int c = 0; c < 3; ++c) {
            stripes[3 * p + c] = p % W % 4 < 2;
            moved[3 * p + c] = p % W % 4 >= 2;
        }
    const auto flow = match<TypeParam>(1, stripes, moved, H, W);
    EXPECT_EQ(flow, reference::block_match(stripes, moved, H, W));
    EXPECT_EQ(flow[2 * (8 * W + 12)], -2);  // the smaller dx
}

TYPED_TEST(BlockMatchOp, OfMovesOfOneCostTheShortestWins) {
    constexpr int H = 32, W = 32, middle = 12 * W + 12;
    const auto row = test::Random(4).numbers(64, 0, 1);  // a picture that repeats after 2 right and 6 down
    const auto picture = [&](int y, int x) { return row[std::size_t((x - 2 * (y / 6) + 7 * (y % 6) + 32) % 64)]; };
    test::Numbers ref(H * W * 3), supp(H * W * 3);
    for (int i = 0; i < H * W * 3; ++i) {
        ref[i] = picture(i / 3 / W + 2, i / 3 % W + 2);
        supp[i] = picture(i / 3 / W, i / 3 % W);
    }
    const auto flow = match<TypeParam>(1, ref, supp, H, W);
    EXPECT_EQ(flow, reference::block_match(ref, supp, H, W));
    EXPECT_EQ(flow[2 * middle], 2) << "and not the 0, -4 that fits as well";
    EXPECT_EQ(flow[2 * middle + 1], 2);
}

TYPED_TEST(BlockMatchOp, LumaRoundsHalfToEven) {
    constexpr int H = 8, W = 8;
    test::Random random(3);
    test::Numbers ref(H * W * 3), supp(H * W * 3);
    for (double& v : ref) v = double((std::floor(random.number(0, 255)) + 0.5f) / 255.0f);
    for (double& v : supp) v = double((std::floor(random.number(0, 255)) + 0.5f) / 255.0f);
    EXPECT_EQ(match<TypeParam>(1, ref, supp, H, W), reference::block_match(ref, supp, H, W));
}

TYPED_TEST(BlockMatchFloat, RefusesWhatDoesNotFit) {
    auto backend = test::make_backend<TypeParam>();
    auto ref = test::place<3>(backend, {8, 9, 3}), supp = test::place<3>(backend, {9, 8, 3}),
         flow = test::place<3>(backend, {8, 9, 2}), grey = test::place<3>(backend, {8, 9, 1});
    EXPECT_THROW(block_match<float>(backend, ref, supp, flow), Error);
    EXPECT_THROW(block_match<float>(backend, grey, grey, flow), Error);
    EXPECT_THROW(block_match<float>(backend, ref, ref, ref), Error);
}

}  // namespace
}  // namespace mia
