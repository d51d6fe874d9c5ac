#include "mia/ops/pixel_shuffle/pixel_shuffle.hpp"

#include <numeric>

#include "reference/activation.hpp"
#include "reference/pixel_shuffle.hpp"
#include "support/backends.hpp"
#include "support/golden.hpp"

namespace mia {
namespace {

template <class B>
class PixelShuffleOp : public testing::Test {};
TYPED_TEST_SUITE(PixelShuffleOp, test::Backends);
template <class B>
class PixelShuffleFloat : public testing::Test {};
TYPED_TEST_SUITE(PixelShuffleFloat, test::FloatBackends);

constexpr int shuffles[][4] = {{1, 1, 1, 1}, {1, 1, 1, 2}, {3, 5, 4, 2}, {2, 7, 3, 3}, {5, 1, 3, 4}, {1, 6, 16, 2}};

TYPED_TEST(PixelShuffleOp, IsAPermutationThatUnshuffleUndoes) {
    using T = typename TypeParam::Scalar;
    for (const int threads : test::thread_counts<TypeParam>()) {
        auto backend = test::make_backend<TypeParam>(threads);
        for (const auto& [H, W, K, r] : shuffles) {
            test::Numbers x(std::size_t(H * W * K * r * r));
            std::iota(x.begin(), x.end(), 1.0);
            auto y = test::place<3>(backend, {r * H, r * W, K});
            pixel_shuffle<T>(backend, test::place<3>(backend, x, {H, W, r * r * K}), r, y);
            const auto result = y.values();
            const test::Numbers out(result.begin(), result.end());
            EXPECT_EQ(out, reference::pixel_shuffle(x, H, W, K, r));
            EXPECT_EQ(reference::pixel_unshuffle(out, H, W, K, r), x);
        }
    }
}

TYPED_TEST(PixelShuffleOp, ActivationThenResidualWhichMayBeTheResult) {
    using T = typename TypeParam::Scalar;
    auto backend = test::make_backend<TypeParam>();
    constexpr int H = 3, W = 4, K = 5, r = 2, n = H * W * K * r * r;
    const auto x = test::Random(1).numbers(n), residual = test::Random(2).numbers(n);
    auto expected = reference::pixel_shuffle(x, H, W, K, r);
    for (int i = 0; i < n; ++i) expected[i] = reference::leaky_relu(expected[i]) + residual[i];
    auto y = test::place<3>(backend, residual, {r * H, r * W, K});
    pixel_shuffle<T>(backend, test::place<3>(backend, x, {H, W, r * r * K}), r, y, Activation::leaky_relu, y);
    test::expect_near(y.values(), expected, 2e-7, "leaky ReLU and residual");  // 0.1 is a float, whatever the type
}

TYPED_TEST(PixelShuffleFloat, RefusesWhatDoesNotFit) {
    auto backend = test::make_backend<TypeParam>();
    auto x = test::place<1>(backend, {64}), y = test::place<1>(backend, {64});
    const auto message = [&](int r, int H, int W, int K, Activation activation = Activation::none) {
        try {
            pixel_shuffle<float>(backend, x.view().reshape(2, 2, 8), r, y.view().reshape(H, W, K), activation);
        } catch (const Error& error) {
            return std::string(error.what());
        }
        return std::string();
    };
    EXPECT_NE(message(2, 4, 4, 3), "");
    EXPECT_NE(message(2, 4, 2, 2), "");
    EXPECT_NE(message(0, 4, 4, 2), "");
    EXPECT_NE(message(2, 4, 4, 2, Activation::gelu), "");
    EXPECT_EQ(message(3, 4, 4, 2), "pixel_shuffle: x (2, 2, 8) does not become y (4, 4, 2) by a factor of 3");
}

TYPED_TEST(PixelShuffleFloat, OpsBasicGolden) {
    const test::Golden golden("ops_basic");
    auto backend = test::make_backend<TypeParam>();
    auto y = test::place<3>(backend, {6, 10, 4});
    pixel_shuffle<float>(backend, test::place(backend, test::channels_last(golden("pixel_shuffle.x"))), 2, y);
    test::Errors("ops_basic pixel_shuffle").compare_image<float>("y", y.on_host(), golden("pixel_shuffle.y"), 0);
}

}  // namespace
}  // namespace mia
