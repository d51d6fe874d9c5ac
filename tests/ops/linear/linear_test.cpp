#include "mia/ops/linear/linear.hpp"

#include "reference/activation.hpp"
#include "reference/linear.hpp"
#include "support/backends.hpp"
#include "support/golden.hpp"

namespace mia {
namespace {

using test::Numbers;

template <class B>
class LinearOp : public testing::Test {};
TYPED_TEST_SUITE(LinearOp, test::Backends);
template <class B>
class LinearFloat : public testing::Test {};
TYPED_TEST_SUITE(LinearFloat, test::FloatBackends);

template <class B>
struct LinearCase {
    using T = typename B::Scalar;
    int R, I, O;
    Numbers x, weight, bias;
    PackedLinear<B> packed;

    LinearCase(B& backend, int rows, int in, int out, int seed = 1) : R(rows), I(in), O(out) {
        test::Random random(seed);
        x = random.numbers(R * I);
        weight = random.numbers(O * I);
        bias = random.numbers(O);
        pack(backend, T(1));
    }
    void pack(B& backend, T scale) {
        pack_linear<T>(backend, test::place<2>(backend, weight, {O, I}), test::place<1>(backend, bias, {O}), scale,
                       packed);
    }
    std::vector<T> run(B& backend, Activation activation = Activation::none, const Numbers& residual = {}) const {
        const auto rest = test::place<2>(backend, residual, {residual.empty() ? 0 : R, O});
        auto y = test::place<2>(backend, {R, O});
        linear<T>(backend, test::place<2>(backend, x, {R, I}), packed, y, activation,
                  residual.empty() ? View<const T, 2>{} : rest);
        return y.values();
    }
    Numbers expected() const { return reference::linear(x, weight, bias, R, I, O); }
};

TYPED_TEST(LinearOp, AnySize) {
    auto backend = test::make_backend<TypeParam>(1);
    for (int O = 1; O <= 40; ++O)
        for (int I = 1; I <= 40; I += O % 4 + 1) {
            const LinearCase<TypeParam> c(backend, 1 + (7 * O + 3 * I) % 30, I, O, 100 * O + I);
            test::expect_near(c.run(backend), c.expected(), test::sum_rounding<typename TypeParam::Scalar>,
                              text(c.R, " x ", I, " -> ", O));
            if (this->HasFailure()) return;
        }
}

TYPED_TEST(LinearOp, AnyNumberOfRows) {
    auto backend = test::make_backend<TypeParam>(1);
    for (int R = 0; R <= 70; ++R) {
        const LinearCase<TypeParam> c(backend, R, 13, 37, R);
        test::expect_near(c.run(backend), c.expected(), test::sum_rounding<typename TypeParam::Scalar>,
                          text(R, " rows"));
    }
}

TYPED_TEST(LinearOp, SeveralTilesEachWay) {
    auto backend = test::make_backend<TypeParam>(1);
    const LinearCase<TypeParam> c(backend, 131, 37, 139);
    test::expect_near(c.run(backend), c.expected(), test::sum_rounding<typename TypeParam::Scalar>, "tiles");
}

TYPED_TEST(LinearOp, SameBytesForAnyNumberOfThreads) {
    auto one = test::make_backend<TypeParam>(1);
    const LinearCase<TypeParam> c(one, 259, 30, 41);
    const auto expected = c.run(one, Activation::gelu);
    for (const int threads : test::thread_counts<TypeParam>()) {
        auto more = test::make_backend<TypeParam>(threads);
        EXPECT_TRUE(test::same_bytes(c.run(more, Activation::gelu), expected)) << threads;
    }
}

TYPED_TEST(LinearOp, ActivationComesBeforeTheResidual) {
    using T = typename TypeParam::Scalar;
    auto backend = test::make_backend<TypeParam>();
    const LinearCase<TypeParam> c(backend, 17, 11, 21);
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
        test::expect_near(c.run(backend, activation, residual), expected, bound, text("activation ", int(activation)));
    }
}

TYPED_TEST(LinearOp, GeluHasNoResidual) {
    auto backend = test::make_backend<TypeParam>();
    const LinearCase<TypeParam> c(backend, 17, 11, 21);
    auto expected = c.expected();
    for (double& v : expected) v = reference::gelu(v);
    test::expect_near(c.run(backend, Activation::gelu), expected, test::sum_rounding<typename TypeParam::Scalar>,
                      "gelu");
    EXPECT_THROW(c.run(backend, Activation::gelu, Numbers(17 * 21)), Error);
}

TYPED_TEST(LinearOp, ResidualMayBeTheResult) {
    using T = typename TypeParam::Scalar;
    auto backend = test::make_backend<TypeParam>();
    const LinearCase<TypeParam> c(backend, 29, 8, 19);
    const auto residual = test::Random(3).numbers(29 * 19);
    auto y = test::place<2>(backend, residual, {29, 19});
    linear<T>(backend, test::place<2>(backend, c.x, {29, 8}), c.packed, y, Activation::none, y);
    EXPECT_TRUE(test::same_bytes(y.values(), c.run(backend, Activation::none, residual)));
}

TYPED_TEST(LinearOp, RowCountLeavesTheRestAsItIs) {
    using T = typename TypeParam::Scalar;
    auto backend = test::make_backend<TypeParam>();
    const LinearCase<TypeParam> c(backend, 140, 9, 18);
    const auto all = c.run(backend);
    backend.reset_work();
    const auto x = test::place<2>(backend, c.x, {140, 9});
    for (const int rows : {0, 7, 23}) {
        test::Placed<TypeParam, int, 1> count(backend, {rows}, {1});
        auto y = test::place<2>(backend, Numbers(140 * 18, -77), {140, 18});
        linear<T>(backend, x, c.packed, y, Activation::none, {}, {count.view().data, 3});
        const auto some = y.values();
        for (std::size_t i = 0; i < some.size(); ++i)
            ASSERT_EQ(some[i], i < std::size_t(rows) * 3 * 18 ? all[i] : T(-77)) << i;
    }
    EXPECT_EQ(backend.work().macs, (TypeParam::memory_is_host ? 90 : 3 * 140) * 9 * 18);  // a GPU's host knows no count
    EXPECT_EQ(backend.work().dense_macs, 3 * 140 * 9 * 18);
}

TYPED_TEST(LinearOp, ScaleAndAbsentBias) {
    using T = typename TypeParam::Scalar;
    auto backend = test::make_backend<TypeParam>(1);
    LinearCase<TypeParam> c(backend, 5, 6, 7);
    c.pack(backend, T(0.5));
    Numbers expected = c.expected();
    for (double& v : expected) v /= 2;
    test::expect_near(c.run(backend), expected, test::sum_rounding<T>, "scaled");
    pack_linear<T>(backend, test::place<2>(backend, c.weight, {7, 6}), {}, T(1), c.packed);
    test::expect_near(c.run(backend), reference::linear(c.x, c.weight, {}, 5, 6, 7), test::sum_rounding<T>, "no bias");
}

TYPED_TEST(LinearFloat, RefusesWhatDoesNotFit) {
    auto backend = test::make_backend<TypeParam>();
    LinearCase<TypeParam> c(backend, 3, 4, 5);
    auto x = test::place<1>(backend, Numbers(20), {20}), y = test::place<1>(backend, Numbers(20), {20});
    const auto message = [&](int rows, int in, int out) {
        try {
            linear<float>(backend, x.view().reshape(3, in), c.packed, y.view().reshape(rows, out));
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

TYPED_TEST(LinearFloat, OpsBasicGolden) {
    constexpr double bound = 1.4e-5;  // ten times what an independent float implementation reaches
    const test::Golden golden("ops_basic");
    auto backend = test::make_backend<TypeParam>();
    PackedLinear<TypeParam> packed;
    pack_linear<float>(backend, test::place<2>(backend, golden("linear.weight").data, {72, 24}),
                       test::place<1>(backend, golden("linear.bias").data, {72}), 1.0f, packed);
    auto y = test::place<2>(backend, {29, 72});
    linear<float>(backend, test::place<2>(backend, golden("linear.x").data, {29, 24}), packed, y);
    test::Errors("ops_basic linear").compare("y", y.values().data(), golden("linear.y").data, bound);
}

}  // namespace
}  // namespace mia
