#include "mia/ops/linear/linear.hpp"

#include "reference/activation.hpp"
#include "reference/linear.hpp"
#include "support/golden.hpp"

namespace mia {
namespace {

using test::Numbers;

template <class T>
class LinearOp : public testing::Test {};
using Scalars = testing::Types<float, double>;
TYPED_TEST_SUITE(LinearOp, Scalars);

template <class T>
struct Case {
    int R, I, O;
    Numbers x, weight, bias;
    PackedLinear<BasicCpu<T>> packed;

    Case(BasicCpu<T>& cpu, int rows, int in, int out, int seed = 1) : R(rows), I(in), O(out) {
        test::Random random(seed);
        x = random.numbers(R * I);
        weight = random.numbers(O * I);
        bias = random.numbers(O);
        const auto w = test::cast<T>(weight), b = test::cast<T>(bias);
        pack_linear<T>(cpu, {w.data(), {O, I}}, {b.data(), {O}}, T(1), packed);
    }
    std::vector<T> run(BasicCpu<T>& cpu, Activation activation = Activation::none, const std::vector<T>& residual = {},
                       RowCount rows = {}) const {
        const auto in = test::cast<T>(x);
        auto y = test::unwritten<T>(R * O);
        linear<T>(cpu, {in.data(), {R, I}}, packed, {y.data(), {R, O}}, activation,
                  {residual.empty() ? nullptr : residual.data(), {R, O}}, rows);
        return y;
    }
    Numbers expected() const { return reference::linear(x, weight, bias, R, I, O); }
};

TYPED_TEST(LinearOp, AnySize) {
    using T = TypeParam;
    BasicCpu<T> cpu(1, ScratchFill::nan);
    for (int O = 1; O <= 40; ++O)
        for (int I = 1; I <= 40; I += O % 4 + 1) {
            const Case<T> c(cpu, 1 + (7 * O + 3 * I) % 30, I, O, 100 * O + I);
            test::expect_near(c.run(cpu), c.expected(), test::sum_rounding<T>, text(c.R, " x ", I, " -> ", O));
            if (this->HasFailure()) return;
        }
}

TYPED_TEST(LinearOp, AnyNumberOfRows) {
    using T = TypeParam;
    BasicCpu<T> cpu(1, ScratchFill::nan);
    for (int R = 1; R <= 60; ++R) {
        const Case<T> c(cpu, R, 13, 37, R);
        test::expect_near(c.run(cpu), c.expected(), test::sum_rounding<T>, text(R, " rows"));
    }
}

TYPED_TEST(LinearOp, SameBytesForAnyNumberOfThreads) {
    using T = TypeParam;
    BasicCpu<T> one(1, ScratchFill::nan);
    const Case<T> c(one, 259, 30, 41);
    const auto expected = c.run(one, Activation::gelu);
    for (const int threads : {2, 3}) {
        BasicCpu<T> more(threads, ScratchFill::nan);
        EXPECT_TRUE(test::same_bytes(c.run(more, Activation::gelu), expected)) << threads;
    }
}

TYPED_TEST(LinearOp, ActivationComesBeforeTheResidual) {
    using T = TypeParam;
    BasicCpu<T> cpu(2, ScratchFill::nan);
    const Case<T> c(cpu, 17, 11, 21);
    const auto residual = test::Random(9).numbers(17 * 21);
    struct Kind {
        Activation activation;
        double (*f)(double);
    };
    const Kind kinds[] = {{Activation::none, [](double v) { return v; }},
                          {Activation::relu, reference::relu},
                          {Activation::leaky_relu, reference::leaky_relu}};
    for (const auto& [activation, f] : kinds) {
        Numbers expected = c.expected();
        for (std::size_t i = 0; i < expected.size(); ++i) expected[i] = f(expected[i]) + residual[i];
        const double bound = activation == Activation::leaky_relu ? 1e-5 : test::sum_rounding<T>;  // 0.1 is a float
        test::expect_near(c.run(cpu, activation, test::cast<T>(residual)), expected, bound,
                          text("activation ", int(activation)));
    }
}

TYPED_TEST(LinearOp, GeluHasNoResidual) {
    using T = TypeParam;
    BasicCpu<T> cpu(2, ScratchFill::nan);
    const Case<T> c(cpu, 17, 11, 21);
    auto expected = c.expected();
    for (double& v : expected) v = reference::gelu(v);
    test::expect_near(c.run(cpu, Activation::gelu), expected, test::sum_rounding<T>, "gelu");
    EXPECT_THROW(c.run(cpu, Activation::gelu, std::vector<T>(17 * 21)), Error);
}

TYPED_TEST(LinearOp, ResidualMayBeTheResult) {
    using T = TypeParam;
    BasicCpu<T> cpu(2, ScratchFill::nan);
    const Case<T> c(cpu, 29, 8, 19);
    const auto residual = test::cast<T>(test::Random(3).numbers(29 * 19));
    auto y = residual;
    const auto x = test::cast<T>(c.x);
    linear<T>(cpu, {x.data(), {29, 8}}, c.packed, {y.data(), {29, 19}}, Activation::none, {y.data(), {29, 19}});
    EXPECT_TRUE(test::same_bytes(y, c.run(cpu, Activation::none, residual)));
}

TYPED_TEST(LinearOp, RowCountLeavesTheRestAsItIs) {
    using T = TypeParam;
    BasicCpu<T> cpu(2, ScratchFill::nan);
    const Case<T> c(cpu, 40, 9, 18);
    const auto all = c.run(cpu);
    cpu.reset_work();
    const int rows = 7;
    const auto some = c.run(cpu, Activation::none, {}, {&rows, 3});
    for (std::size_t i = 0; i < some.size(); ++i) {
        if (i < 21 * 18) {
            EXPECT_EQ(some[i], all[i]) << i;
        } else {
            EXPECT_TRUE(std::isnan(some[i])) << i;
        }
    }
    EXPECT_EQ(cpu.work().macs, 21 * 9 * 18);
    EXPECT_EQ(cpu.work().dense_macs, 40 * 9 * 18);
}

TYPED_TEST(LinearOp, ScaleAndAbsentBias) {
    using T = TypeParam;
    BasicCpu<T> cpu(1, ScratchFill::nan);
    Case<T> c(cpu, 5, 6, 7);
    const auto w = test::cast<T>(c.weight), b = test::cast<T>(c.bias);
    pack_linear<T>(cpu, {w.data(), {7, 6}}, {b.data(), {7}}, T(0.5), c.packed);
    Numbers expected = c.expected();
    for (double& v : expected) v /= 2;
    test::expect_near(c.run(cpu), expected, test::sum_rounding<T>, "scaled");
    pack_linear<T>(cpu, {w.data(), {7, 6}}, {}, T(1), c.packed);
    test::expect_near(c.run(cpu), reference::linear(c.x, c.weight, {}, 5, 6, 7), test::sum_rounding<T>, "no bias");
}

TEST(Linear, RefusesWhatDoesNotFit) {
    Cpu cpu;
    Case<float> c(cpu, 3, 4, 5);
    std::vector<float> x(20), y(20);
    const auto message = [&](int rows, int in, int out) {
        try {
            linear<float>(cpu, {x.data(), {3, in}}, c.packed, {y.data(), {rows, out}});
        } catch (const Error& error) {
            return std::string(error.what());
        }
        return std::string();
    };
    EXPECT_EQ(message(3, 4, 5), "");
    EXPECT_EQ(message(3, 5, 5), "linear: x (3, 5) and y (3, 5) do not fit a map of 4 to 5 features");
    EXPECT_NE(message(3, 4, 4), "");
    EXPECT_NE(message(2, 4, 5), "");
    c.packed.ready = false;
    EXPECT_EQ(message(3, 4, 5),
              "linear: the parameters are not packed; call prepare(backend, model) after loading or changing them");
}

TEST(LinearGolden, OpsBasic) {
    constexpr double bound = 1.4e-5;  // ten times what an independent float implementation reaches
    const test::Golden golden("ops_basic");
    Cpu cpu(2, ScratchFill::nan);
    const auto x = golden("linear.x"), weight = golden("linear.weight"), bias = golden("linear.bias");
    PackedLinear<Cpu> packed;
    pack_linear<float>(cpu, {weight.data.data(), {72, 24}}, {bias.data.data(), {72}}, 1.0f, packed);
    auto y = test::unwritten<float>(29 * 72);
    linear<float>(cpu, {x.data.data(), {29, 24}}, packed, {y.data(), {29, 72}});
    test::Errors("ops_basic linear").compare("y", y.data(), golden("linear.y").data, bound);
}

}  // namespace
}  // namespace mia
