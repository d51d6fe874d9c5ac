// The ops in bf16: against sums in double of the same rounded numbers, whose result is rounded once. (Attention:
// ops/window_attention/window_attention_test.cpp; the block: nn/bf16_block_test.cpp.)
#include "mia/ops/avg_pool2d/avg_pool2d.hpp"
#include "mia/ops/block_match/block_match.hpp"
#include "mia/ops/channels/channels.hpp"
#include "mia/ops/conv2d/conv2d.hpp"
#include "mia/ops/conv2d/conv2d_shuffle.hpp"
#include "mia/ops/elementwise/elementwise.hpp"
#include "mia/ops/flow_warp/flow_warp.hpp"
#include "mia/ops/layer_norm/layer_norm.hpp"
#include "mia/ops/linear/linear.hpp"
#include "mia/ops/mask/mask.hpp"
#include "mia/ops/pad/pad.hpp"
#include "mia/ops/patch_align/patch_align.hpp"
#include "mia/ops/resize/resize.hpp"
#include "mia/ops/subpixel_align/subpixel_align.hpp"
#include "mia/ops/window/windows.hpp"
#include "reference/activation.hpp"
#include "reference/conv2d.hpp"
#include "reference/layer_norm.hpp"
#include "reference/linear.hpp"
#include "reference/pixel_shuffle.hpp"
#include "support/backends.hpp"

namespace mia {
namespace {

using test::Numbers;

/// Numbers that Bf16 holds.
Numbers rounded(Numbers x) {
    for (double& v : x) v = Bf16(float(v));
    return x;
}

/// Half a step of a result of 8 bits, and what sums in float lose before; relative to each number and to the largest.
/// before: what may be rounded too, before the result follows with a slope of 1.13 at most, GELU's.
void expect_rounded(const std::vector<Bf16>& actual, const Numbers& expected, const std::string& what,
                    const Numbers& before = {}) {
    double largest = 1;
    for (const double v : expected) largest = std::max(largest, std::abs(v));
    ASSERT_EQ(actual.size(), expected.size());
    for (std::size_t i = 0; i < expected.size(); ++i)
        ASSERT_LE(
            std::abs(double(float(actual[i])) - expected[i]),
            std::abs(expected[i]) / 256 + 1e-5 * largest + (before.empty() ? 0 : 1.13 * std::abs(before[i]) / 256))
            << what << ": element " << i << " is " << float(actual[i]) << ", expected " << expected[i];
}

template <class B>
class OpBf16 : public testing::Test {};
TYPED_TEST_SUITE(OpBf16, test::NarrowBackends);

/// A map of R rows; `first_row` of x and y is left out, so that both may begin anywhere.
template <class B>
void linear_is_rounded_once(B& backend, int R, int I, int O, Activation activation, bool has_residual,
                            int first_row = 0) {
    test::Random random(100 * O + I + R);
    const int all = R + first_row;
    const auto x = rounded(random.numbers(all * I)), weight = rounded(random.numbers(O * I)),
               bias = rounded(random.numbers(O)), rest = rounded(random.numbers(all * O));
    PackedLinear<B> packed;
    pack_linear<Bf16>(backend, test::place<2>(backend, weight, {O, I}), test::place<1>(backend, bias, {O}), Bf16(1.0f),
                      packed);
    const auto in = test::place<2>(backend, x, {all, I}), residual = test::place<2>(backend, rest, {all, O});
    auto y = test::place<2>(backend, {all, O});
    const auto from = [&](auto view) { return view.slice(first_row, R); };
    linear<Bf16>(backend, from(in.view()), packed, from(y.view()), activation,
                 has_residual ? from(residual.view()) : View<const Bf16, 2>{});
    auto expected = reference::linear({x.begin() + first_row * I, x.end()}, weight, bias, R, I, O);
    const Numbers sums = activation == Activation::gelu ? expected : Numbers{};
    for (std::size_t i = 0; i < expected.size(); ++i) {
        double& v = expected[i];
        v = activation == Activation::leaky_relu ? std::max(v, 0.1 * v)
            : activation == Activation::gelu     ? reference::gelu(v)
                                                 : v;
        if (has_residual) v += rest[i + std::size_t(first_row * O)];
    }
    expect_rounded(test::values_of(backend, from(y.view())), expected, text(R, " x ", I, " -> ", O), sums);
}

TYPED_TEST(OpBf16, LinearOfAnySize) {
    auto backend = test::make_backend<TypeParam>();
    for (int O = 1; O <= 40; O += 3)
        for (int I = 1; I <= 35; I += O % 4 + 1) {
            linear_is_rounded_once(backend, 1 + (7 * O + 3 * I) % 30, I, O, Activation::leaky_relu, true);
            if (this->HasFailure()) return;
        }
}
TYPED_TEST(OpBf16, LinearOfSeveralTiles) {
    auto backend = test::make_backend<TypeParam>();
    linear_is_rounded_once(backend, 131, 40, 139, Activation::none, true);
    linear_is_rounded_once(backend, 70, 120, 60, Activation::gelu, false);
    linear_is_rounded_once(backend, 64, 96, 64, Activation::none, true);
    linear_is_rounded_once(backend, 17, 33, 65, Activation::gelu, false);
}
TYPED_TEST(OpBf16, LinearThatBeginsAnywhere) {
    auto backend = test::make_backend<TypeParam>();
    linear_is_rounded_once(backend, 5, 8, 12, Activation::none, true, 1);   // rows of 16 and 24 bytes
    linear_is_rounded_once(backend, 5, 12, 6, Activation::none, true, 1);   // of 24 and 12
    linear_is_rounded_once(backend, 5, 24, 4, Activation::none, false, 3);  // of 48 and 8
}
TYPED_TEST(OpBf16, LinearOfTheFirstRows) {
    auto backend = test::make_backend<TypeParam>();
    constexpr int R = 150, I = 16, O = 20;
    const auto x = rounded(test::Random(1).numbers(R * I)), weight = rounded(test::Random(2).numbers(O * I));
    PackedLinear<TypeParam> packed;
    pack_linear<Bf16>(backend, test::place<2>(backend, weight, {O, I}), {}, Bf16(0.5f), packed);
    auto halves = weight;
    for (double& w : halves) w /= 2;
    const auto all = reference::linear(x, halves, {}, R, I, O);
    const auto in = test::place<2>(backend, x, {R, I});
    for (const int rows : {0, 7, 70}) {
        const test::Placed<TypeParam, int, 1> count(backend, {rows}, {1});
        auto y = test::place<2>(backend, Numbers(R * O, -77), {R, O});
        linear<Bf16>(backend, in, packed, y, Activation::none, {}, {count.view().data, 2});
        auto expected = all;
        std::fill(expected.begin() + rows * 2 * O, expected.end(), -77);
        expect_rounded(y.values(), expected, text(rows, " rows"));
    }
}

template <class B>
struct ConvolutionBf16 {
    int H, W, I, O, k;
    Numbers x, weight, bias;
    PackedConv2d<B> packed;
    ConvolutionBf16(B& backend, int height, int width, int in, int out, int kernel)
        : H(height), W(width), I(in), O(out), k(kernel) {
        test::Random random(H + W + I + O + k);
        x = rounded(random.numbers(H * W * I));
        weight = rounded(random.numbers(O * I * k * k));
        bias = rounded(random.numbers(O));
        pack_conv2d<Bf16>(backend, test::place<4>(backend, weight, {O, I, k, k}), test::place<1>(backend, bias, {O}),
                          packed);
    }
    std::vector<Bf16> run(B& backend) const {
        auto y = test::place<3>(backend, {H, W, O});
        conv2d<Bf16>(backend, image(backend), packed, y.view());
        return y.values();
    }
    auto image(B& backend) const { return test::place<3>(backend, x, {H, W, I}); }
    Numbers expected() const { return reference::conv2d(x, weight, bias, H, W, I, O, k); }
};

TYPED_TEST(OpBf16, Conv2dOfOddSizesAndTheSameBytesForAnyNumberOfThreads) {
    const int sizes[][5] = {{1, 1, 1, 1, 1},   {1, 1, 3, 5, 3},    {1, 9, 2, 3, 7},   {7, 1, 3, 16, 3},
                            {9, 13, 3, 33, 3}, {4, 31, 10, 40, 3}, {3, 5, 7, 9, 1},   {6, 7, 5, 3, 5},
                            {9, 15, 8, 7, 3},  {5, 6, 24, 68, 3},  {3, 4, 16, 12, 5}, {6, 23, 16, 16, 1}};
    for (const auto& [H, W, I, O, k] : sizes) {
        std::vector<Bf16> first;
        for (const int threads : test::thread_counts<TypeParam>()) {
            auto backend = test::make_backend<TypeParam>(threads);
            const ConvolutionBf16<TypeParam> c(backend, H, W, I, O, k);
            const auto y = c.run(backend);
            if (first.empty()) {
                first = y;
                expect_rounded(y, c.expected(), text(H, " x ", W, ", ", I, " -> ", O, ", kernel ", k));
            }
            EXPECT_TRUE(test::same_bytes(y, first));
        }
    }
}

TYPED_TEST(OpBf16, Conv2dShuffleIsConvolutionAndShuffle) {
    constexpr int H = 5, W = 7, I = 6, r = 2, K = 3, O = r * r * K;
    auto backend = test::make_backend<TypeParam>();
    const ConvolutionBf16<TypeParam> c(backend, H, W, I, O, 3);
    const auto residual = test::place<3>(backend, rounded(test::Random(3).numbers(H * W * O)), {r * H, r * W, K});
    auto wide = test::place<3>(backend, {H, W, O}), expected = test::place<3>(backend, {r * H, r * W, K}),
         y = test::place<3>(backend, {r * H, r * W, K});
    const auto x = c.image(backend);
    conv2d<Bf16>(backend, x, c.packed, wide.view());
    pixel_shuffle<Bf16>(backend, wide, r, expected, Activation::leaky_relu, residual);
    conv2d_shuffle<Bf16>(backend, x, c.packed, r, y.view(), Activation::leaky_relu, residual.view());
    expect_rounded(wide.values(), c.expected(), "wide");
    EXPECT_TRUE(test::same_bytes(y.values(), expected.values()));
}

TYPED_TEST(OpBf16, LayerNormHasFloatStatistics) {
    auto backend = test::make_backend<TypeParam>(1);
    for (const int C : {1, 7, 16, 32, 120, 150}) {
        constexpr int R = 5;
        test::Random random(C);
        Numbers far = random.numbers(R * C);
        for (double& v : far) v += 10;  // squares' sums in bf16 would leave nothing of the variance
        const auto x = rounded(far), weight = rounded(random.numbers(C)), bias = rounded(random.numbers(C));
        auto y = test::place<2>(backend, {R, C});
        layer_norm<Bf16>(backend, test::place<2>(backend, x, {R, C}), test::place<1>(backend, weight, {C}),
                         test::place<1>(backend, bias, {C}), y);
        const auto expected = reference::layer_norm(x, weight, bias, R, C);
        const auto actual = y.values();
        for (std::size_t i = 0; i < actual.size(); ++i)
            ASSERT_NEAR(float(actual[i]), expected[i], std::abs(expected[i]) / 256 + 2e-4) << C;
    }
}

TYPED_TEST(OpBf16, AddRoundsOnce) {
    auto backend = test::make_backend<TypeParam>();
    const auto a = rounded(test::Random(1).numbers(300)), b = rounded(test::Random(2).numbers(300));
    auto y = test::place<2>(backend, {1, 300});
    add<Bf16>(backend, test::place<2>(backend, a, {1, 300}), test::place<2>(backend, b, {1, 300}), y);
    const auto sum = y.values();
    for (std::size_t i = 0; i < 300; ++i) EXPECT_EQ(float(sum[i]), float(Bf16(float(a[i] + b[i]))));
}

/// f(backend, x, flow, y) on x, y: (H, W, C): the results of the backend of float on the same numbers, rounded.
template <class B, class F>
void rounds_what_float_gives(const std::array<int, 3>& from, const std::array<int, 3>& to, const char* what, F f) {
    const auto x = rounded(test::Random(from[2]).numbers(from[0] * from[1] * from[2]));
    const auto flow = test::cast<float>(test::Random(8).numbers(from[0] * from[1] * 2, -3, 3));
    const auto result = [&](auto backend) {
        const auto in = test::place<3>(backend, x, from);
        const test::Placed<decltype(backend), float, 3> moves(backend, flow, {from[0], from[1], 2});
        auto y = test::place<3>(backend, to);
        f(backend, in.view(), moves.view(), y.view());
        return y.values();
    };
    const auto wide = result(test::make_backend<test::FloatBackend>(1));
    expect_rounded(result(test::make_backend<B>(1)), {wide.begin(), wide.end()}, what);
}
TYPED_TEST(OpBf16, RoundsWhatFloatGives) {
    const auto same = [](const std::array<int, 3>& from, const std::array<int, 3>& to, const char* what, auto f) {
        rounds_what_float_gives<TypeParam>(from, to, what, f);
    };
    same({9, 10, 3}, {9, 10, 3}, "flow_warp",
         [](auto& on, auto x, auto flow, auto y) { flow_warp(on, x, flow, Padding::zeros, y); });
    same({9, 10, 3}, {9, 10, 3}, "patch_align",
         [](auto& on, auto x, auto flow, auto y) { patch_align(on, x, flow, y); });
    same({5, 6, 32}, {5, 6, 32}, "subpixel_align",
         [](auto& on, auto x, auto flow, auto y) { subpixel_align(on, x, flow, 4, y); });
    same({4, 3, 12}, {8, 6, 3}, "pixel_shuffle",
         [](auto& on, auto x, auto, auto y) { pixel_shuffle(on, x, 2, y, Activation::relu); });
    same({7, 8, 5}, {7, 8, 5}, "activate",
         [](auto& on, auto x, auto, auto y) { activate(on, rows_of(x), Activation::gelu, rows_of(y)); });
    same({4, 3, 5}, {4, 3, 5}, "copy", [](auto& on, auto x, auto, auto y) { copy(on, rows_of(x), rows_of(y)); });
    same({7, 6, 5}, {7, 6, 5}, "rows of a mask", [](auto& on, auto x, auto flow, auto y) {
        const auto scope = on.scope();
        const auto keep = on.template scratch<std::uint8_t>(1, 7, 6);
        const View<const float, 2> changes{flow.data, {42, 2}};  // of two channels, against zeros
        const auto q = on.scratch(42, 2), zeros = on.scratch(42, 2);
        convert(on, changes, q);
        fill_zero(on, zeros);
        threshold_mask(on, q, zeros, 1.5f, keep.reshape(42));
        const WindowGrid grid{7, 6, {1, 4, 4}};
        auto rows = make_active_rows(on, grid, 1);
        select_rows(on, grid, 1, View<const std::uint8_t, 3>(keep), rows);
        const auto picked = on.scratch(42, 5);
        gather_rows(on, rows_of(x), rows, picked);
        fill_zero(on, y);
        scatter_rows(on, picked, rows, rows_of(y));
    });
    same({7, 6, 5}, {4 * 16, 1, 5}, "gather_windows", [](auto& on, auto x, auto, auto y) {
        const auto scope = on.scope();
        const WindowGrid grid{7, 6, {1, 4, 4}};
        auto rows = make_active_rows(on, grid, 1);
        select_rows(on, grid, 1, {}, rows);
        gather_windows(on, grid, rows, {}, x.reshape(1, 7, 6, 5), y.reshape(4, 1, 16, 5));
    });
    same({6, 7, 3}, {6, 7, 8}, "concat_channels", [](auto& on, auto x, auto flow, auto y) {
        const auto scope = on.scope();
        const auto frame = on.template scratch<float>(42, 3);
        convert(on, rows_of(x), frame);
        concat_channels(on, frame, frame, rows_of(flow), rows_of(y));
    });
    same({9, 10, 3}, {9, 10, 3}, "normalize_channels", [](auto& on, auto x, auto, auto y) {
        const auto scope = on.scope();
        const auto frame = on.template scratch<float>(90, 3), normed = on.template scratch<float>(90, 3);
        convert(on, rows_of(x), frame);
        normalize_channels(on, frame, x[0][0], x[1][1], normed);
        convert(on, View<const float, 2>(normed), rows_of(y));
    });
}
TYPED_TEST(OpBf16, PredictsMasks) {
    constexpr int P = 40, C = 35;
    auto backend = test::make_backend<TypeParam>();
    test::Random random(6);
    const auto q = rounded(random.numbers(P * C)), previous = rounded(random.numbers(P * C)),
               weight = rounded(random.numbers(C)), bias = rounded({0.1});
    test::Placed<TypeParam, std::uint8_t, 1> keep(backend, {P});
    predict_mask<Bf16>(backend, {}, test::place<2>(backend, q, {P, C}), test::place<2>(backend, previous, {P, C}),
                       test::place<2>(backend, weight, {1, C}), test::place<1>(backend, bias, {1}), keep);
    const auto kept = keep.values();
    for (int p = 0; p < P; ++p) {
        double logit = bias[0];
        for (int c = 0; c < C; ++c) logit += weight[c] * std::abs(q[p * C + c] - previous[p * C + c]);
        if (std::abs(logit) > 1e-4) {
            EXPECT_EQ(kept[p], logit > 0) << p << ", logit " << logit;
        }
    }
}

/// Frames are float: what is done to them in bf16 is what the backend of float does.
TYPED_TEST(OpBf16, FramesAreFloat) {
    constexpr int H = 9, W = 12, r = 4;
    auto backend = test::make_backend<TypeParam>(1);
    auto wide = test::make_backend<test::FloatBackend>(1);
    const auto a = test::cast<float>(test::Random(1).numbers(H * W * 3, 0, 1)),
               b = test::cast<float>(test::Random(2).numbers(H * W * 3, 0, 1));
    const auto same = [&](int h, int w, int c, auto f) {
        const auto result = [&](auto& on) {
            using Floats = test::Placed<std::remove_reference_t<decltype(on)>, float, 3>;
            const Floats x(on, a, {H, W, 3}), other(on, b, {H, W, 3});
            Floats y(on, {h, w, c});
            f(on, x.view(), other.view(), y.view());
            return y.values();
        };
        return result(backend) == result(wide);
    };
    EXPECT_TRUE(
        same(r * H, r * W, 3, [](auto& on, auto x, auto, auto y) { resize_bilinear(on, x, Corners::apart, y); }));
    EXPECT_TRUE(same(H / 2, W / 2, 3, [](auto& on, auto x, auto, auto y) { avg_pool2d(on, x, 2, y); }));
    EXPECT_TRUE(same(H + 3, W + 2, 3, [](auto& on, auto x, auto, auto y) { pad_replicate(on, x, y); }));
    EXPECT_TRUE(same(
        H, W, 2, [](auto& on, auto x, auto other, auto y) { block_match(on, x, other, y, MatchPrecision::quarter); }));
}

/// A residual of float, of which bf16 holds nothing but zeros, comes out whole beside a convolution's result.
TYPED_TEST(OpBf16, Conv2dToAFrameRoundsNoResult) {
    constexpr int H = 3, W = 5, I = 4, r = 2, K = 3, O = r * r * K;
    constexpr float fine = 0x1p-20f;
    using Floats = test::Placed<TypeParam, float, 3>;
    auto backend = test::make_backend<TypeParam>(1);
    const ConvolutionBf16<TypeParam> c(backend, H, W, I, O, 3);
    const auto x = c.image(backend);
    const Floats residual(backend, std::vector<float>(H * W * O, fine), {H, W, O}),
        fines(backend, std::vector<float>(H * W * O, fine), {r * H, r * W, K});
    Floats y(backend, {H, W, O}), shuffled(backend, {r * H, r * W, K});
    conv2d<Bf16>(backend, x, c.packed, y.view(), Activation::none, residual.view());
    const auto expected = c.expected();
    const auto whole = y.values();
    for (std::size_t i = 0; i < expected.size(); ++i) ASSERT_NEAR(whole[i], expected[i] + fine, 5e-6) << i;

    // Its convolution is rounded once, the residual is not.
    conv2d_shuffle<Bf16>(backend, x, c.packed, r, shuffled.view(), Activation::none, fines.view());
    auto narrow = test::place<3>(backend, {r * H, r * W, K});
    conv2d_shuffle<Bf16>(backend, x, c.packed, r, narrow.view());
    const auto sums = shuffled.values();
    const auto rounded_sums = narrow.values();
    for (std::size_t i = 0; i < sums.size(); ++i) ASSERT_EQ(sums[i], float(rounded_sums[i]) + fine) << i;
}

}  // namespace
}  // namespace mia
