#include "mia/ops/layer_norm/layer_norm.hpp"

#include "reference/layer_norm.hpp"
#include "support/golden.hpp"

namespace mia {
namespace {

template <class T>
class LayerNormOp : public testing::Test {};
using Scalars = testing::Types<float, double>;
TYPED_TEST_SUITE(LayerNormOp, Scalars);

/// Division by a deviation of about 0.6 makes the rounding of a row's mean larger.
template <class T>
constexpr double norm_rounding = 10 * test::step_rounding<T>;

TYPED_TEST(LayerNormOp, AnyWidth) {
    using T = TypeParam;
    BasicCpu<T> cpu(2, ScratchFill::nan);
    test::Random random(1);
    for (int C = 2; C <= 70; ++C) {
        const int R = 1 + C % 5;
        const auto x = random.numbers(R * C, -3, 3), weight = random.numbers(C), bias = random.numbers(C);
        const auto in = test::cast<T>(x), w = test::cast<T>(weight), b = test::cast<T>(bias);
        auto y = test::unwritten<T>(R * C);
        layer_norm<T>(cpu, {in.data(), {R, C}}, {w.data(), {C}}, {b.data(), {C}}, {y.data(), {R, C}});
        // Two close channels: the deviation is small, the errors of x - mean grow by its inverse.
        test::expect_near(y, reference::layer_norm(x, weight, bias, R, C), (C < 4 ? 100 : 1) * norm_rounding<T>,
                          text("C = ", C));
    }
}

TYPED_TEST(LayerNormOp, OneChannelAndConstantRowsAreTheBias) {
    using T = TypeParam;
    BasicCpu<T> cpu(1, ScratchFill::nan);
    for (const int C : {1, 7, 24, 33}) {
        const std::vector<T> x(std::size_t(C), T(0.75)), w(std::size_t(C), T(3)), b(std::size_t(C), T(-2));
        auto y = test::unwritten<T>(C);
        layer_norm<T>(cpu, {x.data(), {1, C}}, {w.data(), {C}}, {b.data(), {C}}, {y.data(), {1, C}});
        for (const T v : y) EXPECT_NEAR(v, -2, 1e-4) << C;  // x - mean may be an ulp, times 1 / sqrt(1e-5)
    }
}

TYPED_TEST(LayerNormOp, InPlaceByThreadsAndByRowCount) {
    using T = TypeParam;
    constexpr int R = 517, C = 19;
    test::Random random(5);
    const auto x = test::cast<T>(random.numbers(R * C)), w = test::cast<T>(random.numbers(C)),
               b = test::cast<T>(random.numbers(C));
    const auto run = [&](int threads, RowCount rows) {
        BasicCpu<T> cpu(threads, ScratchFill::nan);
        auto y = x;
        layer_norm<T>(cpu, {y.data(), {R, C}}, {w.data(), {C}}, {b.data(), {C}}, {y.data(), {R, C}}, rows);
        return y;
    };
    BasicCpu<T> cpu(1);
    auto apart = test::unwritten<T>(R * C);
    layer_norm<T>(cpu, {x.data(), {R, C}}, {w.data(), {C}}, {b.data(), {C}}, {apart.data(), {R, C}});
    for (const int threads : {1, 2, 3}) EXPECT_TRUE(test::same_bytes(run(threads, {}), apart)) << threads;
    const int rows = 3;
    const auto some = run(2, {&rows, 5});
    EXPECT_TRUE(std::equal(some.begin(), some.begin() + 15 * C, apart.begin()));
    EXPECT_TRUE(std::equal(some.begin() + 15 * C, some.end(), x.begin() + 15 * C));
}

TEST(LayerNormGolden, OpsBasic) {
    constexpr double bound = 1.4e-4;  // ten times; row 5's mean is 500 times its deviation
    const test::Golden golden("ops_basic");
    Cpu cpu(2, ScratchFill::nan);
    const auto x = golden("layer_norm.x"), w = golden("layer_norm.weight"), b = golden("layer_norm.bias");
    auto y = test::unwritten<float>(37 * 30);
    layer_norm<float>(cpu, {x.data.data(), {37, 30}}, {w.data.data(), {30}}, {b.data.data(), {30}},
                      {y.data(), {37, 30}});
    test::Errors("ops_basic layer_norm").compare("y", y.data(), golden("layer_norm.y").data, bound);
}

}  // namespace
}  // namespace mia
