#include "mia/ops/layer_norm/layer_norm.hpp"

#include "reference/layer_norm.hpp"
#include "support/backends.hpp"
#include "support/golden.hpp"

namespace mia {
namespace {

template <class B>
class LayerNormOp : public testing::Test {};
TYPED_TEST_SUITE(LayerNormOp, test::Backends);
template <class B>
class LayerNormGolden : public testing::Test {};
TYPED_TEST_SUITE(LayerNormGolden, test::FloatBackends);

/// Division by a deviation of about 0.6 makes the rounding of a row's mean larger.
template <class T>
constexpr double norm_rounding = 10 * test::step_rounding<T>;

TYPED_TEST(LayerNormOp, AnyWidth) {
    using T = typename TypeParam::Scalar;
    auto backend = test::make_backend<TypeParam>();
    test::Random random(1);
    for (int C = 2; C <= 70; ++C) {
        const int R = 1 + C % 5;
        const auto x = random.numbers(R * C, -3, 3), weight = random.numbers(C), bias = random.numbers(C);
        const auto in = test::place<2>(backend, x, {R, C});
        const auto w = test::place<1>(backend, weight, {C}), b = test::place<1>(backend, bias, {C});
        auto y = test::place<2>(backend, {R, C});
        layer_norm<T>(backend, in, w, b, y);
        // Two close channels: the deviation is small, the errors of x - mean grow by its inverse.
        test::expect_near(y.values(), reference::layer_norm(x, weight, bias, R, C),
                          (C < 4 ? 100 : 1) * norm_rounding<T>, text("C = ", C));
    }
}

TYPED_TEST(LayerNormOp, WideRowsAndNone) {
    using T = typename TypeParam::Scalar;
    auto backend = test::make_backend<TypeParam>();
    test::Random random(2);
    for (const int R : {0, 3})
        for (const int C : {128, 129, 301}) {
            const auto x = random.numbers(R * C, -3, 3), weight = random.numbers(C), bias = random.numbers(C);
            auto y = test::place<2>(backend, x, {R, C});
            layer_norm<T>(backend, y, test::place<1>(backend, weight, {C}), test::place<1>(backend, bias, {C}), y);
            test::expect_near(y.values(), reference::layer_norm(x, weight, bias, R, C), norm_rounding<T>,
                              text("C = ", C));
        }
}

TYPED_TEST(LayerNormOp, OneChannelAndConstantRowsAreTheBias) {
    using T = typename TypeParam::Scalar;
    auto backend = test::make_backend<TypeParam>();
    for (const int C : {1, 7, 24, 33}) {
        const auto fill = [&](double value) { return test::Numbers(std::size_t(C), value); };
        auto y = test::place<2>(backend, {1, C});
        layer_norm<T>(backend, test::place<2>(backend, fill(0.75), {1, C}), test::place<1>(backend, fill(3), {C}),
                      test::place<1>(backend, fill(-2), {C}), y);
        for (const T v : y.values()) EXPECT_NEAR(v, -2, 1e-4) << C;  // x - mean may be an ulp, times 1 / sqrt(1e-5)
    }
}

TYPED_TEST(LayerNormOp, InPlaceByThreadsAndByRowCount) {
    using T = typename TypeParam::Scalar;
    constexpr int R = 517, C = 19;
    test::Random random(5);
    const auto x = random.numbers(R * C), weight = random.numbers(C), bias = random.numbers(C);
    const auto run = [&](int threads, bool in_place, const std::vector<int>& count) {
        auto backend = test::make_backend<TypeParam>(threads);
        const auto in = test::place<2>(backend, x, {R, C});
        auto y = in_place ? test::place<2>(backend, x, {R, C}) : test::place<2>(backend, {R, C});
        const auto w = test::place<1>(backend, weight, {C}), b = test::place<1>(backend, bias, {C});
        test::Placed<TypeParam, int, 1> rows(backend, count, {int(count.size())});
        layer_norm<T>(backend, in_place ? View<const T, 2>(y.view()) : in, w, b, y,
                      count.empty() ? RowCount{} : RowCount{rows.view().data, 5});
        return y.values();
    };
    const auto apart = run(1, false, {});
    for (const int threads : test::thread_counts<TypeParam>())
        EXPECT_TRUE(test::same_bytes(run(threads, true, {}), apart)) << threads;
    const auto some = run(2, true, {3}), before = test::cast<T>(x);
    EXPECT_TRUE(std::equal(some.begin(), some.begin() + 15 * C, apart.begin()));
    EXPECT_TRUE(std::equal(some.begin() + 15 * C, some.end(), before.begin() + 15 * C));
}

TYPED_TEST(LayerNormGolden, OpsBasic) {
    constexpr double bound = 1.4e-4;  // ten times; row 5's mean is 500 times its deviation
    const test::Golden golden("ops_basic");
    auto backend = test::make_backend<TypeParam>();
    auto y = test::place<2>(backend, {37, 30});
    layer_norm<float>(backend, test::place<2>(backend, golden("layer_norm.x").data, {37, 30}),
                      test::place<1>(backend, golden("layer_norm.weight").data, {30}),
                      test::place<1>(backend, golden("layer_norm.bias").data, {30}), y);
    test::Errors("ops_basic layer_norm").compare("y", y.values().data(), golden("layer_norm.y").data, bound);
}

}  // namespace
}  // namespace mia
