#include "mia/ops/conv2d/conv2d.hpp"

#include "reference/activation.hpp"
#include "reference/conv2d.hpp"
#include "support/backends.hpp"
#include "support/golden.hpp"

namespace mia {
namespace {

using test::Numbers;

template <class B>
class Conv2dOp : public testing::Test {};
TYPED_TEST_SUITE(Conv2dOp, test::Backends);
template <class B>
class Conv2dFloat : public testing::Test {};
TYPED_TEST_SUITE(Conv2dFloat, test::FloatBackends);

template <class B>
struct ConvCase {
    using T = typename B::Scalar;
    int H, W, I, O, k;
    Numbers x, weight, bias;
    PackedConv2d<B> packed;

    ConvCase(B& backend, int height, int width, int in, int out, int kernel)
        : H(height), W(width), I(in), O(out), k(kernel) {
        test::Random random(1000 * H + 100 * W + 10 * I + O + k);
        x = random.numbers(H * W * I);
        weight = random.numbers(O * I * k * k);
        bias = random.numbers(O);
        pack_conv2d<T>(backend, test::place<4>(backend, weight, {O, I, k, k}), test::place<1>(backend, bias, {O}),
                       packed);
    }
    std::vector<T> run(B& backend, Activation activation = Activation::none, const Numbers& residual = {}) const {
        const auto rest = test::place<3>(backend, residual, {residual.empty() ? 0 : H, W, O});
        auto y = test::place<3>(backend, {H, W, O});
        conv2d<T>(backend, test::place<3>(backend, x, {H, W, I}), packed, y, activation,
                  residual.empty() ? View<const T, 3>{} : rest);
        return y.values();
    }
    Numbers expected() const { return reference::conv2d(x, weight, bias, H, W, I, O, k); }
};

TYPED_TEST(Conv2dOp, OddSizes) {
    auto backend = test::make_backend<TypeParam>();
    const int sizes[][5] = {{1, 1, 1, 1, 1},  {1, 1, 3, 5, 3}, {1, 9, 2, 3, 7},   {7, 1, 3, 16, 3},
                            {2, 3, 5, 17, 7}, {5, 6, 8, 2, 7}, {9, 13, 3, 33, 3}, {4, 31, 10, 70, 3},
                            {3, 5, 7, 9, 1},  {6, 7, 4, 3, 5}, {3, 250, 4, 3, 3}, {2, 401, 2, 2, 7},
                            {2, 397, 1, 1, 3}};
    for (const auto& [H, W, I, O, k] : sizes) {
        const ConvCase<TypeParam> c(backend, H, W, I, O, k);
        backend.reset_work();
        test::expect_near(c.run(backend), c.expected(), test::sum_rounding<typename TypeParam::Scalar>,
                          text(H, " x ", W, ", ", I, " -> ", O, ", kernel ", k));
        EXPECT_EQ(backend.work().macs, std::int64_t(H) * W * I * O * k * k);
    }
}

TYPED_TEST(Conv2dOp, SameBytesForAnyNumberOfThreads) {
    auto one = test::make_backend<TypeParam>(1);
    const ConvCase<TypeParam> c(one, 11, 13, 6, 10, 3);
    const auto expected = c.run(one);
    for (const int threads : test::thread_counts<TypeParam>()) {
        auto more = test::make_backend<TypeParam>(threads);
        EXPECT_TRUE(test::same_bytes(c.run(more), expected)) << threads;
    }
}

TYPED_TEST(Conv2dOp, ActivationThenResidual) {
    auto backend = test::make_backend<TypeParam>(3);
    for (const auto& [W, O] : {std::pair(7, 6), {41, 3}, {38, 2}}) {
        const ConvCase<TypeParam> c(backend, 5, W, 3, O, 3);
        const auto residual = test::Random(4).numbers(5 * W * O);
        auto expected = c.expected();
        for (std::size_t i = 0; i < expected.size(); ++i) expected[i] = reference::relu(expected[i]) + residual[i];
        test::expect_near(c.run(backend, Activation::relu, residual), expected,
                          test::sum_rounding<typename TypeParam::Scalar>, text("relu, ", W, " x ", O));
    }
}

TYPED_TEST(Conv2dFloat, RefusesWhatDoesNotFit) {
    auto backend = test::make_backend<TypeParam>();
    ConvCase<TypeParam> c(backend, 4, 5, 3, 2, 3);
    auto x = test::place<1>(backend, Numbers(80), {80}), y = test::place<1>(backend, Numbers(80), {80});
    const auto message = [&](int in, int height, int out) {
        try {
            conv2d<float>(backend, x.view().reshape(4, 5, in), c.packed, y.view().reshape(height, 5, out));
        } catch (const Error& error) {
            return std::string(error.what());
        }
        return std::string();
    };
    EXPECT_EQ(message(3, 4, 2), "");
    EXPECT_EQ(message(4, 4, 2), "conv2d: x (4, 5, 4) and y (4, 5, 2) do not fit a convolution of 3 to 2 channels");
    EXPECT_NE(message(3, 3, 2), "");
    EXPECT_NE(message(3, 4, 3), "");
    c.packed.ready = false;
    EXPECT_EQ(message(3, 4, 2),
              "conv2d: the parameters are not packed; call prepare(backend, model) after loading or changing them");
}

TYPED_TEST(Conv2dFloat, OpsBasicGolden) {
    constexpr double bound = 1.4e-5;  // ten times what an independent float implementation reaches
    const test::Golden golden("ops_basic");
    auto backend = test::make_backend<TypeParam>();
    test::Errors errors("ops_basic conv");
    for (const std::string name : {"conv3x3", "conv7x7"}) {
        const auto weight = golden(name + ".weight");
        const int O = weight.extent(0), I = weight.extent(1), k = weight.extent(2);
        PackedConv2d<TypeParam> packed;
        pack_conv2d<float>(backend, test::place<4>(backend, weight.data, {O, I, k, k}),
                           test::place<1>(backend, golden(name + ".bias").data, {O}), packed);
        const auto x = test::place(backend, test::channels_last(golden(name + ".x")));
        auto y = test::place<3>(backend, {x.view().extent(0), x.view().extent(1), O});
        conv2d<float>(backend, x, packed, y);
        errors.compare_image<float>(name, y.on_host(), golden(name + ".y"), bound);
    }
}

}  // namespace
}  // namespace mia
