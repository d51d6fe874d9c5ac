#include "mia/ops/subpixel_align/subpixel_align.hpp"

#include "mia/ops/pixel_shuffle/pixel_shuffle.hpp"
#include "reference/numbers.hpp"

namespace mia {
namespace {

template <class T>
class SubpixelAlignOp : public testing::Test {};
using Scalars = testing::Types<float, double>;
TYPED_TEST_SUITE(SubpixelAlignOp, Scalars);

template <class T>
std::vector<T> align(int threads, const std::vector<T>& x, const std::vector<float>& flow, int factor, int H, int W,
                     int C) {
    BasicCpu<T> cpu(threads, ScratchFill::nan);
    auto y = test::unwritten<T>(H * W * C);
    subpixel_align<T>(cpu, {x.data(), {H, W, C}}, {flow.data(), {H, W, 2}}, factor, {y.data(), {H, W, C}});
    return y;
}

/// By way of the large image, as the contract says it.
template <class T>
std::vector<T> by_shuffling(const std::vector<T>& x, const std::vector<float>& flow, int r, int H, int W, int K) {
    BasicCpu<T> cpu;
    std::vector<T> large(x.size()), y(x.size());
    pixel_shuffle<T>(cpu, {x.data(), {H, W, r * r * K}}, r, {large.data(), {r * H, r * W, K}});
    for (int i = 0; i < r * H; ++i)
        for (int j = 0; j < r * W; ++j)
            for (int k = 0; k < K; ++k) {
                const float* f = &flow[std::size_t(2 * (i / r * W + j / r))];
                const double row = i + std::nearbyint(r * f[1]), column = j + std::nearbyint(r * f[0]);
                const bool inside = row >= 0 && row < r * H && column >= 0 && column < r * W;
                y[std::size_t((i / r * W + j / r) * r * r * K + k * r * r + i % r * r + j % r)] =
                    inside ? large[std::size_t((int(row) * r * W + int(column)) * K + k)] : T(0);
            }
    return y;
}

TYPED_TEST(SubpixelAlignOp, OddSizes) {
    using T = TypeParam;
    const int sizes[][4] = {{1, 1, 1, 1}, {4, 5, 7, 3}, {4, 1, 9, 1}, {2, 8, 3, 2}, {3, 11, 6, 2}, {1, 6, 5, 4}};
    for (const auto& [r, H, W, K] : sizes)
        for (const double reach : {1.5, 9.0, 1e30}) {
            test::Random random(H * W);
            const auto x = test::cast<T>(random.numbers(H * W * r * r * K));
            const auto flow = test::cast<float>(random.numbers(H * W * 2, -reach, reach));
            const auto y = align<T>(1, x, flow, r, H, W, r * r * K);
            EXPECT_EQ(y, by_shuffling(x, flow, r, H, W, K)) << r << ": " << H << " x " << W;
            for (const int threads : {2, 3}) EXPECT_EQ(align<T>(threads, x, flow, r, H, W, r * r * K), y);
        }
}

TYPED_TEST(SubpixelAlignOp, WholePixelsMoveAllChannelsAndTiesGoToEven) {
    using T = TypeParam;
    constexpr int H = 3, W = 6, C = 4;
    const auto x = test::cast<T>(test::Random(1).numbers(H * W * C));
    const auto moved_by = [&](float dx) {
        std::vector<float> flow(H * W * 2);
        for (int p = 0; p < H * W; ++p) flow[2 * p] = dx;
        return align<T>(1, x, flow, 2, H, W, C);
    };
    EXPECT_EQ(moved_by(0), x);
    const auto y = moved_by(2);
    for (int p = 0; p < H * W; ++p)
        for (int c = 0; c < C; ++c) EXPECT_EQ(y[p * C + c], p % W < W - 2 ? x[(p + 2) * C + c] : T(0));
    EXPECT_EQ(moved_by(0.25f), x);            // half of a fine step: to 0
    EXPECT_EQ(moved_by(0.75f), moved_by(1));  // one and a half: to 2
    EXPECT_NE(moved_by(0.5f), moved_by(1));
}

TEST(SubpixelAlign, RefusesWhatDoesNotFit) {
    Cpu cpu;
    Tensor<float, 3> x(8, 9, 16), y(8, 9, 16), flow(8, 9, 2), other(9, 8, 2), odd(8, 9, 12), odd_y(8, 9, 12);
    EXPECT_THROW(subpixel_align<float>(cpu, x.view(), other.view(), 4, y.view()), Error);
    EXPECT_THROW(subpixel_align<float>(cpu, odd.view(), flow.view(), 4, odd_y.view()), Error);
    EXPECT_THROW(subpixel_align<float>(cpu, x.view(), flow.view(), 0, y.view()), Error);
    EXPECT_NO_THROW(subpixel_align<float>(cpu, odd.view(), flow.view(), 2, odd_y.view()));
}

}  // namespace
}  // namespace mia
