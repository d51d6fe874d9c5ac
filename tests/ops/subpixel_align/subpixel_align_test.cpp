#include "mia/ops/subpixel_align/subpixel_align.hpp"

#include "mia/ops/pixel_shuffle/pixel_shuffle.hpp"
#include "support/backends.hpp"

namespace mia {
namespace {

template <class B>
class SubpixelAlignOp : public testing::Test {};
TYPED_TEST_SUITE(SubpixelAlignOp, test::Backends);
template <class B>
class SubpixelAlignFloat : public testing::Test {};
TYPED_TEST_SUITE(SubpixelAlignFloat, test::FloatBackends);

template <class B, class T = typename B::Scalar>
std::vector<T> align(int threads, const std::vector<T>& x, const std::vector<float>& flow, int factor, int H, int W,
                     int C) {
    auto backend = test::make_backend<B>(threads);
    auto y = test::place<3>(backend, {H, W, C});
    subpixel_align<T>(backend, test::place<3>(backend, x, {H, W, C}),
                      test::Placed<B, float, 3>(backend, flow, {H, W, 2}).view(), factor, y);
    return y.values();
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
    using T = typename TypeParam::Scalar;
    const int sizes[][4] = {{1, 1, 1, 1}, {4, 5, 7, 3}, {4, 1, 9, 1}, {2, 8, 3, 2}, {3, 11, 6, 2}, {1, 6, 5, 4}};
    for (const auto& [r, H, W, K] : sizes)
        for (const double reach : {1.5, 9.0, 1e30}) {
            test::Random random(H * W);
            const auto x = test::cast<T>(random.numbers(H * W * r * r * K));
            const auto flow = test::cast<float>(random.numbers(H * W * 2, -reach, reach));
            const auto y = align<TypeParam>(1, x, flow, r, H, W, r * r * K);
            EXPECT_EQ(y, by_shuffling(x, flow, r, H, W, K)) << r << ": " << H << " x " << W;
            for (const int threads : test::thread_counts<TypeParam>())
                EXPECT_EQ(align<TypeParam>(threads, x, flow, r, H, W, r * r * K), y);
        }
}

TYPED_TEST(SubpixelAlignOp, WholePixelsMoveAllChannelsAndTiesGoToEven) {
    using T = typename TypeParam::Scalar;
    constexpr int H = 3, W = 6, C = 4;
    const auto x = test::cast<T>(test::Random(1).numbers(H * W * C));
    const auto moved_by = [&](float dx) {
        std::vector<float> flow(H * W * 2);
        for (int p = 0; p < H * W; ++p) flow[2 * p] = dx;
        return align<TypeParam>(1, x, flow, 2, H, W, C);
    };
    EXPECT_EQ(moved_by(0), x);
    const auto y = moved_by(2);
    for (int p = 0; p < H * W; ++p)
        for (int c = 0; c < C; ++c) EXPECT_EQ(y[p * C + c], p % W < W - 2 ? x[(p + 2) * C + c] : T(0));
    EXPECT_EQ(moved_by(0.25f), x);            // half of a fine step: to 0
    EXPECT_EQ(moved_by(0.75f), moved_by(1));  // one and a half: to 2
    EXPECT_NE(moved_by(0.5f), moved_by(1));
}

TYPED_TEST(SubpixelAlignFloat, RefusesWhatDoesNotFit) {
    auto backend = test::make_backend<TypeParam>();
    const auto x = test::place<1>(backend, test::Numbers(8 * 9 * 16), {8 * 9 * 16}),
               flow = test::place<1>(backend, test::Numbers(8 * 9 * 2), {8 * 9 * 2});
    auto y = test::place<1>(backend, {8 * 9 * 16});
    const auto run = [&](int H, int W, int C, int factor) {
        subpixel_align<float>(backend, {x.view().data, {8, 9, C}}, {flow.view().data, {H, W, 2}}, factor,
                              {y.view().data, {8, 9, C}});
        synchronize(backend);
    };
    EXPECT_THROW(run(9, 8, 16, 4), Error);
    EXPECT_THROW(run(8, 9, 12, 4), Error);
    EXPECT_THROW(run(8, 9, 16, 0), Error);
    EXPECT_NO_THROW(run(8, 9, 12, 2));
}

}  // namespace
}  // namespace mia
