// The ops in bf16: against sums in double of the same rounded numbers, whose result is rounded once. (The fused block:
// nn/bf16_block_test.cpp.)
#include <gtest/gtest.h>

#include "mia/ops/avg_pool2d/avg_pool2d.hpp"
#include "mia/ops/block_match/block_match.hpp"
#include "mia/ops/conv2d/conv2d.hpp"
#include "mia/ops/conv2d/conv2d_shuffle.hpp"
#include "mia/ops/elementwise/elementwise.hpp"
#include "mia/ops/layer_norm/layer_norm.hpp"
#include "mia/ops/linear/linear.hpp"
#include "mia/ops/pad/pad.hpp"
#include "mia/ops/resize/resize.hpp"
#include "reference/conv2d.hpp"
#include "reference/layer_norm.hpp"
#include "reference/linear.hpp"
#include "reference/numbers.hpp"
#include "reference/pixel_shuffle.hpp"

namespace mia {
namespace {

using test::Numbers;

/// Numbers that Bf16 holds, and as Bf16.
struct Rounded {
    Numbers numbers;
    std::vector<Bf16> elements;
    Rounded(const Numbers& x) : numbers(x), elements(test::cast<Bf16>(x)) {
        for (std::size_t i = 0; i < x.size(); ++i) numbers[i] = float(elements[i]);
    }
    const Bf16* data() const { return elements.data(); }
};

/// Half a step of a result of 8 bits, and what sums in float lose before; relative to each number and to the largest.
void expect_rounded(const std::vector<Bf16>& actual, const Numbers& expected, const std::string& what) {
    double largest = 1;
    for (const double v : expected) largest = std::max(largest, std::abs(v));
    ASSERT_EQ(actual.size(), expected.size());
    for (std::size_t i = 0; i < expected.size(); ++i)
        ASSERT_LE(std::abs(double(float(actual[i])) - expected[i]), std::abs(expected[i]) / 256 + 1e-5 * largest)
            << what << ": element " << i << " is " << float(actual[i]) << ", expected " << expected[i];
}

TEST(LinearBf16, AnySize) {
    CpuBf16 cpu(2, ScratchFill::nan);
    test::Random random(1);
    for (int O = 1; O <= 40; O += 3)
        for (int I = 1; I <= 35; I += O % 4 + 1) {
            const int R = 1 + (7 * O + 3 * I) % 30;
            const Rounded x(random.numbers(R * I)), weight(random.numbers(O * I)), bias(random.numbers(O)),
                residual(random.numbers(R * O));
            PackedLinear<CpuBf16> packed;
            pack_linear<Bf16>(cpu, {weight.data(), {O, I}}, {bias.data(), {O}}, Bf16(1.0f), packed);
            auto y = test::unwritten<Bf16>(R * O);
            linear<Bf16>(cpu, {x.data(), {R, I}}, packed, {y.data(), {R, O}}, Activation::leaky_relu,
                         {residual.data(), {R, O}});
            auto expected = reference::linear(x.numbers, weight.numbers, bias.numbers, R, I, O);
            for (std::size_t i = 0; i < expected.size(); ++i)
                expected[i] = std::max(expected[i], 0.1 * expected[i]) + residual.numbers[i];
            expect_rounded(y, expected, text(R, " x ", I, " -> ", O));
            if (HasFailure()) return;
        }
}

TEST(Conv2dBf16, OddSizesAndTheSameBytesForAnyNumberOfThreads) {
    const int sizes[][5] = {{1, 1, 1, 1, 1},   {1, 1, 3, 5, 3},    {1, 9, 2, 3, 7}, {7, 1, 3, 16, 3},
                            {9, 13, 3, 33, 3}, {4, 31, 10, 40, 3}, {3, 5, 7, 9, 1}, {6, 7, 5, 3, 5}};
    for (const auto& [H, W, I, O, k] : sizes) {
        test::Random random(H + W + I + O + k);
        const Rounded x(random.numbers(H * W * I)), weight(random.numbers(O * I * k * k)), bias(random.numbers(O));
        std::vector<Bf16> results[2];
        for (const int threads : {1, 3}) {
            CpuBf16 cpu(threads, ScratchFill::nan);
            PackedConv2d<CpuBf16> packed;
            pack_conv2d<Bf16>(cpu, {weight.data(), {O, I, k, k}}, {bias.data(), {O}}, packed);
            auto y = test::unwritten<Bf16>(H * W * O);
            conv2d<Bf16>(cpu, {x.data(), {H, W, I}}, packed, {y.data(), {H, W, O}});
            results[threads / 2] = y;
        }
        expect_rounded(results[0], reference::conv2d(x.numbers, weight.numbers, bias.numbers, H, W, I, O, k),
                       text(H, " x ", W, ", ", I, " -> ", O, ", kernel ", k));
        EXPECT_TRUE(test::same_bytes(results[0], results[1]));
    }
}

TEST(Conv2dShuffleBf16, IsConvolutionAndShuffle) {
    constexpr int H = 5, W = 7, I = 6, r = 2, K = 3, O = r * r * K;
    test::Random random(3);
    CpuBf16 cpu(1, ScratchFill::nan);
    const Rounded x(random.numbers(H * W * I)), weight(random.numbers(O * I * 9)), bias(random.numbers(O)),
        residual(random.numbers(H * W * O));
    PackedConv2d<CpuBf16> packed;
    pack_conv2d<Bf16>(cpu, {weight.data(), {O, I, 3, 3}}, {bias.data(), {O}}, packed);
    std::vector<Bf16> wide(H * W * O), expected(H * W * O), y = test::unwritten<Bf16>(H * W * O);
    conv2d<Bf16>(cpu, {x.data(), {H, W, I}}, packed, {wide.data(), {H, W, O}});
    pixel_shuffle<Bf16>(cpu, {wide.data(), {H, W, O}}, r, {expected.data(), {r * H, r * W, K}}, Activation::none,
                        {residual.data(), {r * H, r * W, K}});
    conv2d_shuffle<Bf16>(cpu, {x.data(), {H, W, I}}, packed, r, {y.data(), {r * H, r * W, K}}, Activation::none,
                         {residual.data(), {r * H, r * W, K}});
    EXPECT_TRUE(test::same_bytes(y, expected));
}

TEST(LayerNormBf16, StatisticsAreFloat) {
    CpuBf16 cpu(1);
    for (const int C : {1, 7, 16, 32, 120}) {
        constexpr int R = 5;
        test::Random random(C);
        Numbers far = random.numbers(R * C);
        for (double& v : far) v += 10;  // squares' sums in bf16 would leave nothing of the variance
        const Rounded x(far), weight(random.numbers(C)), bias(random.numbers(C));
        auto y = test::unwritten<Bf16>(R * C);
        layer_norm<Bf16>(cpu, {x.data(), {R, C}}, {weight.data(), {C}}, {bias.data(), {C}}, {y.data(), {R, C}});
        const auto expected = reference::layer_norm(x.numbers, weight.numbers, bias.numbers, R, C);
        for (std::size_t i = 0; i < y.size(); ++i)
            ASSERT_NEAR(float(y[i]), expected[i], std::abs(expected[i]) / 256 + 2e-4) << C;
    }
}

TEST(ElementwiseBf16, RoundsOnce) {
    CpuBf16 cpu(1);
    const Rounded a(test::Random(1).numbers(37)), b(test::Random(2).numbers(37));
    auto y = test::unwritten<Bf16>(37);
    add<Bf16>(cpu, {a.data(), {1, 37}}, {b.data(), {1, 37}}, {y.data(), {1, 37}});
    for (std::size_t i = 0; i < 37; ++i) EXPECT_EQ(float(y[i]), float(Bf16(float(a.numbers[i] + b.numbers[i]))));
}

/// Frames are float: what is done to them in bf16 is what Cpu does.
TEST(FramesBf16, AreFloat) {
    constexpr int H = 9, W = 12, r = 4;
    CpuBf16 cpu(1);
    Cpu wide(1);
    const auto a = test::cast<float>(test::Random(1).numbers(H * W * 3, 0, 1)),
               b = test::cast<float>(test::Random(2).numbers(H * W * 3, 0, 1));
    const View<const float, 3> x{a.data(), {H, W, 3}}, other{b.data(), {H, W, 3}};
    const auto same = [](int h, int w, int c, auto f) {
        Tensor<float, 3> y(h, w, c), expected(h, w, c);
        f(y.view(), expected.view());
        return std::equal(y.data(), y.data() + y.size(), expected.data());
    };
    EXPECT_TRUE(same(r * H, r * W, 3, [&](auto y, auto expected) {
        resize_bilinear(cpu, x, Corners::apart, y);
        resize_bilinear(wide, x, Corners::apart, expected);
    }));
    EXPECT_TRUE(same(H / 2, W / 2, 3, [&](auto y, auto expected) {
        avg_pool2d(cpu, x, 2, y);
        avg_pool2d(wide, x, 2, expected);
    }));
    EXPECT_TRUE(same(H + 3, W + 2, 3, [&](auto y, auto expected) {
        pad_replicate(cpu, x, y);
        pad_replicate(wide, x, expected);
    }));
    EXPECT_TRUE(same(H, W, 2, [&](auto y, auto expected) {
        block_match(cpu, x, other, y, MatchPrecision::quarter);
        block_match(wide, x, other, expected, MatchPrecision::quarter);
    }));
}

/// A residual of float, of which bf16 holds nothing but zeros, comes out whole beside a convolution's result.
TEST(Conv2dBf16, ToAFrameRoundsNoResult) {
    constexpr int H = 3, W = 5, I = 4, r = 2, K = 3, O = r * r * K;
    constexpr float fine = 0x1p-20f;
    test::Random random(4);
    CpuBf16 cpu(1);
    const Rounded x(random.numbers(H * W * I)), weight(random.numbers(O * I * 9)), bias(random.numbers(O));
    PackedConv2d<CpuBf16> packed;
    pack_conv2d<Bf16>(cpu, {weight.data(), {O, I, 3, 3}}, {bias.data(), {O}}, packed);
    Tensor<float, 3> y(H, W, O), residual(H, W, O), shuffled(r * H, r * W, K), fines(r * H, r * W, K);
    std::fill_n(residual.data(), residual.size(), fine);
    conv2d<Bf16>(cpu, {x.data(), {H, W, I}}, packed, y.view(), Activation::none, residual.view());
    const auto expected = reference::conv2d(x.numbers, weight.numbers, bias.numbers, H, W, I, O, 3);
    for (std::size_t i = 0; i < expected.size(); ++i) ASSERT_NEAR(y.data()[i], expected[i] + fine, 5e-6) << i;

    // Its convolution is rounded once, the residual is not.
    std::fill_n(fines.data(), fines.size(), fine);
    conv2d_shuffle<Bf16>(cpu, {x.data(), {H, W, I}}, packed, r, shuffled.view(), Activation::none, fines.view());
    std::vector<Bf16> rounded(H * W * O);
    conv2d_shuffle<Bf16>(cpu, {x.data(), {H, W, I}}, packed, r, {rounded.data(), {r * H, r * W, K}});
    for (std::size_t i = 0; i < rounded.size(); ++i) ASSERT_EQ(shuffled.data()[i], float(rounded[i]) + fine) << i;
}

}  // namespace
}  // namespace mia
