#include "mia/ops/elementwise/elementwise.hpp"

#include "reference/activation.hpp"
#include "support/backends.hpp"
#include "support/golden.hpp"

namespace mia {
namespace {

template <class B>
class ElementwiseOp : public testing::Test {};
TYPED_TEST_SUITE(ElementwiseOp, test::Backends);
template <class B>
class ActivationGolden : public testing::Test {};
TYPED_TEST_SUITE(ActivationGolden, test::FloatBackends);

constexpr int sizes[] = {1, 2, 3, 15, 16, 17, 100, 16384, 16391, 70000};

TYPED_TEST(ElementwiseOp, AddCopyAndFill) {
    using T = typename TypeParam::Scalar;
    for (const int threads : test::thread_counts<TypeParam>()) {
        auto backend = test::make_backend<TypeParam>(threads);
        test::Random random(2);
        for (const int n : sizes) {
            const auto in_a = test::place<2>(backend, random.numbers(n), {n, 1});
            const auto in_b = test::place<2>(backend, random.numbers(n), {n, 1});
            const auto a = in_a.values(), b = in_b.values();
            auto out = test::place<2>(backend, {n, 1});
            add<T>(backend, in_a, in_b, out);
            auto y = out.values();
            for (int i = 0; i < n; ++i) ASSERT_EQ(y[i], a[i] + b[i]) << i << " of " << n;
            copy<T>(backend, in_a.view().reshape(1, n), out.view().reshape(1, n));
            EXPECT_EQ(out.values(), a);
            add<T>(backend, out, out, out);  // y may be any input
            y = out.values();
            for (int i = 0; i < n; ++i) ASSERT_EQ(y[i], a[i] + a[i]);
            fill_zero(backend, out.view().reshape(n));
            EXPECT_EQ(out.values(), std::vector<T>(std::size_t(n)));
        }
        const test::Placed<TypeParam, float, 3> flow(backend, std::vector<float>(12, 1.5f), {2, 3, 2});
        test::Placed<TypeParam, float, 3> sum(backend, {2, 3, 2});
        add_flows(backend, flow, flow, sum);
        EXPECT_EQ(sum.values(), std::vector<float>(12, 3.0f));
    }
}

TYPED_TEST(ElementwiseOp, Activations) {
    using T = typename TypeParam::Scalar;
    auto backend = test::make_backend<TypeParam>();
    for (const int n : {1, 7, 64, 1001}) {
        const auto x = test::Random(n).numbers(n, -8, 8);
        const auto in = test::place<2>(backend, x, {n, 1});
        const auto check = [&](Activation activation, double (*f)(double), double bound) {
            auto y = test::place<2>(backend, {n, 1});
            activate<T>(backend, in, activation, y);
            auto expected = x;
            for (double& v : expected) v = f(v);
            test::expect_near(y.values(), expected, bound, text("activation ", int(activation)));
        };
        check(
            Activation::none, [](double v) { return v; }, 0);
        check(Activation::relu, reference::relu, 0);
        check(Activation::leaky_relu, reference::leaky_relu, 2e-8);  // 0.1 is a float, whatever the element type
        check(Activation::gelu, reference::gelu, test::step_rounding<T>);
    }
}

TYPED_TEST(ActivationGolden, OpsBasic) {
    constexpr double bound = 1.4e-5;  // ten times what an independent float implementation reaches
    const test::Golden golden("ops_basic");
    auto backend = test::make_backend<TypeParam>();
    test::Errors errors("ops_basic activations");
    const auto check = [&](const std::string& name, Activation activation) {
        const auto x = golden(name + ".x");
        const int n = int(x.data.size());
        auto y = test::place<2>(backend, {n, 1});
        activate<float>(backend, test::place<2>(backend, x.data, {n, 1}), activation, y);
        errors.compare(name, y.values().data(), golden(name + ".y").data, bound);
    };
    check("gelu", Activation::gelu);
    check("leaky_relu", Activation::leaky_relu);
}

}  // namespace
}  // namespace mia
