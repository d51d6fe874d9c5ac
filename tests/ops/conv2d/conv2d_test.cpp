#include "mia/ops/conv2d/conv2d.hpp"

#include "reference/activation.hpp"
#include "reference/conv2d.hpp"
#include "support/golden.hpp"

namespace mia {
namespace {

using test::Numbers;

template <class T>
class Conv2dOp : public testing::Test {};
using Scalars = testing::Types<float, double>;
TYPED_TEST_SUITE(Conv2dOp, Scalars);

template <class T>
struct Case {
    int H, W, I, O, k;
    Numbers x, weight, bias;
    PackedConv2d<BasicCpu<T>> packed;

    Case(BasicCpu<T>& cpu, int height, int width, int in, int out, int kernel)
        : H(height), W(width), I(in), O(out), k(kernel) {
        test::Random random(1000 * H + 100 * W + 10 * I + O + k);
        x = random.numbers(H * W * I);
        weight = random.numbers(O * I * k * k);
        bias = random.numbers(O);
        const auto w = test::cast<T>(weight), b = test::cast<T>(bias);
        pack_conv2d<T>(cpu, {w.data(), {O, I, k, k}}, {b.data(), {O}}, packed);
    }
    std::vector<T> run(BasicCpu<T>& cpu, Activation activation = Activation::none,
                       const std::vector<T>& residual = {}) const {
        const auto in = test::cast<T>(x);
        auto y = test::unwritten<T>(H * W * O);
        conv2d<T>(cpu, {in.data(), {H, W, I}}, packed, {y.data(), {H, W, O}}, activation,
                  {residual.empty() ? nullptr : residual.data(), {H, W, O}});
        return y;
    }
    Numbers expected() const { return reference::conv2d(x, weight, bias, H, W, I, O, k); }
};

TYPED_TEST(Conv2dOp, OddSizes) {
    using T = TypeParam;
    BasicCpu<T> cpu(2, ScratchFill::nan);
    const int sizes[][5] = {{1, 1, 1, 1, 1}, {1, 1, 3, 5, 3},   {1, 9, 2, 3, 7},    {7, 1, 3, 16, 3}, {2, 3, 5, 17, 7},
                            {5, 6, 8, 2, 7}, {9, 13, 3, 33, 3}, {4, 31, 10, 40, 3}, {3, 5, 7, 9, 1},  {6, 7, 4, 3, 5}};
    for (const auto& [H, W, I, O, k] : sizes) {
        const Case<T> c(cpu, H, W, I, O, k);
        cpu.reset_work();
        test::expect_near(c.run(cpu), c.expected(), test::sum_rounding<T>,
                          text(H, " x ", W, ", ", I, " -> ", O, ", kernel ", k));
        EXPECT_EQ(cpu.work().macs, std::int64_t(H) * W * I * O * k * k);
    }
}

TYPED_TEST(Conv2dOp, SameBytesForAnyNumberOfThreads) {
    using T = TypeParam;
    BasicCpu<T> one(1, ScratchFill::nan);
    const Case<T> c(one, 11, 13, 6, 10, 3);
    const auto expected = c.run(one);
    for (const int threads : {2, 3}) {
        BasicCpu<T> more(threads, ScratchFill::nan);
        EXPECT_TRUE(test::same_bytes(c.run(more), expected)) << threads;
    }
}

TYPED_TEST(Conv2dOp, ActivationThenResidual) {
    using T = TypeParam;
    BasicCpu<T> cpu(3, ScratchFill::nan);
    const Case<T> c(cpu, 5, 7, 3, 6, 3);
    const auto residual = test::Random(4).numbers(5 * 7 * 6);
    auto expected = c.expected();
    for (std::size_t i = 0; i < expected.size(); ++i) expected[i] = reference::relu(expected[i]) + residual[i];
    test::expect_near(c.run(cpu, Activation::relu, test::cast<T>(residual)), expected, test::sum_rounding<T>, "relu");
}

TEST(Conv2d, RefusesWhatDoesNotFit) {
    Cpu cpu;
    Case<float> c(cpu, 4, 5, 3, 2, 3);
    std::vector<float> x(80), y(80);
    const auto message = [&](int in, int height, int out) {
        try {
            conv2d<float>(cpu, {x.data(), {4, 5, in}}, c.packed, {y.data(), {height, 5, out}});
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

TEST(Conv2dGolden, OpsBasic) {
    constexpr double bound = 1.4e-5;  // ten times what an independent float implementation reaches
    const test::Golden golden("ops_basic");
    Cpu cpu(2, ScratchFill::nan);
    test::Errors errors("ops_basic conv");
    for (const std::string name : {"conv3x3", "conv7x7"}) {
        const auto weight = golden(name + ".weight"), bias = golden(name + ".bias");
        const auto x = test::channels_last(golden(name + ".x"));
        const int O = weight.extent(0), I = weight.extent(1), k = weight.extent(2);
        PackedConv2d<Cpu> packed;
        pack_conv2d<float>(cpu, {weight.data.data(), {O, I, k, k}}, {bias.data.data(), {O}}, packed);
        Tensor<float, 3> y(x.extent(0), x.extent(1), O);
        conv2d<float>(cpu, x.view(), packed, y.view());
        errors.compare_image<float>(name, y.view(), golden(name + ".y"), bound);
    }
}

}  // namespace
}  // namespace mia
