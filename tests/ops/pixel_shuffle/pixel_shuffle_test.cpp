#include "mia/ops/pixel_shuffle/pixel_shuffle.hpp"

#include <numeric>

#include "reference/activation.hpp"
#include "reference/pixel_shuffle.hpp"
#include "support/golden.hpp"

namespace mia {
namespace {

template <class T>
class PixelShuffleOp : public testing::Test {};
using Scalars = testing::Types<float, double>;
TYPED_TEST_SUITE(PixelShuffleOp, Scalars);

constexpr int sizes[][4] = {{1, 1, 1, 1}, {1, 1, 1, 2}, {3, 5, 4, 2}, {2, 7, 3, 3}, {5, 1, 3, 4}, {1, 6, 16, 2}};

TYPED_TEST(PixelShuffleOp, IsAPermutationThatUnshuffleUndoes) {
    using T = TypeParam;
    for (const int threads : {1, 2, 3}) {
        BasicCpu<T> cpu(threads, ScratchFill::nan);
        for (const auto& [H, W, K, r] : sizes) {
            test::Numbers x(std::size_t(H * W * K * r * r));
            std::iota(x.begin(), x.end(), 1.0);
            const auto in = test::cast<T>(x);
            auto y = test::unwritten<T>(H * W * K * r * r);
            pixel_shuffle<T>(cpu, {in.data(), {H, W, r * r * K}}, r, {y.data(), {r * H, r * W, K}});
            const test::Numbers out(y.begin(), y.end());
            EXPECT_EQ(out, reference::pixel_shuffle(x, H, W, K, r));
            EXPECT_EQ(reference::pixel_unshuffle(out, H, W, K, r), x);
        }
    }
}

TYPED_TEST(PixelShuffleOp, ActivationThenResidualWhichMayBeTheResult) {
    using T = TypeParam;
    BasicCpu<T> cpu(2, ScratchFill::nan);
    constexpr int H = 3, W = 4, K = 5, r = 2, n = H * W * K * r * r;
    const auto x = test::Random(1).numbers(n), residual = test::Random(2).numbers(n);
    auto expected = reference::pixel_shuffle(x, H, W, K, r);
    for (int i = 0; i < n; ++i) expected[i] = reference::leaky_relu(expected[i]) + residual[i];
    const auto in = test::cast<T>(x);
    auto y = test::cast<T>(residual);
    pixel_shuffle<T>(cpu, {in.data(), {H, W, r * r * K}}, r, {y.data(), {r * H, r * W, K}}, Activation::leaky_relu,
                     {y.data(), {r * H, r * W, K}});
    test::expect_near(y, expected, 2e-7, "leaky ReLU and residual");  // 0.1 is a float, whatever the element type
}

TEST(PixelShuffle, RefusesWhatDoesNotFit) {
    Cpu cpu;
    std::vector<float> x(64), y(64);
    EXPECT_THROW(pixel_shuffle<float>(cpu, {x.data(), {2, 2, 8}}, 2, {y.data(), {4, 4, 3}}), Error);
    EXPECT_THROW(pixel_shuffle<float>(cpu, {x.data(), {2, 2, 8}}, 2, {y.data(), {4, 2, 2}}), Error);
    EXPECT_THROW(pixel_shuffle<float>(cpu, {x.data(), {2, 2, 8}}, 0, {y.data(), {4, 4, 2}}), Error);
    EXPECT_THROW(pixel_shuffle<float>(cpu, {x.data(), {2, 2, 8}}, 2, {y.data(), {4, 4, 2}}, Activation::gelu), Error);
    try {
        pixel_shuffle<float>(cpu, {x.data(), {2, 2, 8}}, 3, {y.data(), {4, 4, 2}});
        FAIL();
    } catch (const Error& error) {
        EXPECT_STREQ(error.what(), "pixel_shuffle: x (2, 2, 8) does not become y (4, 4, 2) by a factor of 3");
    }
}

TEST(PixelShuffleGolden, OpsBasic) {
    const test::Golden golden("ops_basic");
    Cpu cpu(2, ScratchFill::nan);
    const auto x = test::channels_last(golden("pixel_shuffle.x"));
    Tensor<float, 3> y(6, 10, 4);
    pixel_shuffle<float>(cpu, x.view(), 2, y.view());
    test::Errors("ops_basic pixel_shuffle").compare_image<float>("y", y.view(), golden("pixel_shuffle.y"), 0);
}

}  // namespace
}  // namespace mia
