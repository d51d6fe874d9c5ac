#include "mia/ops/elementwise/elementwise.hpp"

#include "reference/activation.hpp"
#include "reference/numbers.hpp"
#include "support/golden.hpp"

namespace mia {
namespace {

template <class T>
class ElementwiseOp : public testing::Test {};
using Scalars = testing::Types<float, double>;
TYPED_TEST_SUITE(ElementwiseOp, Scalars);

constexpr int sizes[] = {1, 2, 3, 15, 16, 17, 100, 16384, 16391, 70000};

TYPED_TEST(ElementwiseOp, AddCopyAndFill) {
    using T = TypeParam;
    for (const int threads : {1, 2, 3}) {
        BasicCpu<T> cpu(threads, ScratchFill::nan);
        test::Random random(2);
        for (const int n : sizes) {
            const auto a = test::cast<T>(random.numbers(n)), b = test::cast<T>(random.numbers(n));
            auto y = test::unwritten<T>(n);
            add<T>(cpu, {a.data(), {n, 1}}, {b.data(), {n, 1}}, {y.data(), {n, 1}});
            for (int i = 0; i < n; ++i) ASSERT_EQ(y[i], a[i] + b[i]) << i << " of " << n;
            copy<T>(cpu, {a.data(), {1, n}}, {y.data(), {1, n}});
            EXPECT_EQ(y, a);
            add<T>(cpu, {y.data(), {n, 1}}, {y.data(), {n, 1}}, {y.data(), {n, 1}});  // y may be any input
            for (int i = 0; i < n; ++i) ASSERT_EQ(y[i], a[i] + a[i]);
            fill_zero(cpu, View<T, 1>{y.data(), {n}});
            EXPECT_EQ(y, std::vector<T>(std::size_t(n)));
        }
        std::vector<float> flow(2 * 3 * 2, 1.5f), sum = test::unwritten<float>(12);
        add_flows(cpu, {flow.data(), {2, 3, 2}}, {flow.data(), {2, 3, 2}}, {sum.data(), {2, 3, 2}});
        EXPECT_EQ(sum, std::vector<float>(12, 3.0f));
    }
}

TYPED_TEST(ElementwiseOp, Activations) {
    using T = TypeParam;
    BasicCpu<T> cpu(2, ScratchFill::nan);
    for (const int n : {1, 7, 64, 1001}) {
        const auto x = test::Random(n).numbers(n, -8, 8);
        const auto in = test::cast<T>(x);
        const auto check = [&](Activation activation, double (*f)(double), double bound) {
            auto y = test::unwritten<T>(n);
            activate<T>(cpu, {in.data(), {n, 1}}, activation, {y.data(), {n, 1}});
            auto expected = x;
            for (double& v : expected) v = f(v);
            test::expect_near(y, expected, bound, text("activation ", int(activation)));
        };
        check(
            Activation::none, [](double v) { return v; }, 0);
        check(Activation::relu, reference::relu, 0);
        check(Activation::leaky_relu, reference::leaky_relu, 2e-8);  // 0.1 is a float, whatever the element type
        check(Activation::gelu, reference::gelu, test::step_rounding<T>);
    }
}

TEST(ActivationGolden, OpsBasic) {
    constexpr double bound = 1.4e-5;  // ten times what an independent float implementation reaches
    const test::Golden golden("ops_basic");
    Cpu cpu(2, ScratchFill::nan);
    test::Errors errors("ops_basic activations");
    const auto check = [&](const std::string& name, Activation activation) {
        const auto x = golden(name + ".x");
        const int n = int(x.data.size());
        auto y = test::unwritten<float>(n);
        activate<float>(cpu, {x.data.data(), {n, 1}}, activation, {y.data(), {n, 1}});
        errors.compare(name, y.data(), golden(name + ".y").data, bound);
    };
    check("gelu", Activation::gelu);
    check("leaky_relu", Activation::leaky_relu);
}

}  // namespace
}  // namespace mia
