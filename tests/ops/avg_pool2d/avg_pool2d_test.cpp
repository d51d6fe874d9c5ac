#include "mia/ops/avg_pool2d/avg_pool2d.hpp"

#include "reference/avg_pool2d.hpp"
#include "support/backends.hpp"
#include "support/golden.hpp"

namespace mia {
namespace {

template <class B>
class AvgPool2dOp : public testing::Test {};
TYPED_TEST_SUITE(AvgPool2dOp, test::Backends);
template <class B>
class AvgPool2dFloat : public testing::Test {};
TYPED_TEST_SUITE(AvgPool2dFloat, test::FloatBackends);

TYPED_TEST(AvgPool2dOp, OddSizes) {
    using T = typename TypeParam::Scalar;
    const int sizes[][4] = {{1, 1, 1, 1}, {2, 2, 1, 2}, {7, 9, 3, 2}, {8, 17, 5, 3}, {40, 6, 2, 2}, {3, 3, 4, 3}};
    for (const auto& [H, W, C, k] : sizes)
        for (const int threads : test::thread_counts<TypeParam>()) {
            auto backend = test::make_backend<TypeParam>(threads);
            const auto x = test::Random(H + W).numbers(H * W * C);
            auto y = test::place<3>(backend, {H / k, W / k, C});
            avg_pool2d<T>(backend, test::place<3>(backend, x, {H, W, C}), k, y);
            test::expect_near(y.values(), reference::avg_pool2d(x, H, W, C, k), 2 * test::step_rounding<T>,
                              text(H, " x ", W));
        }
}

TYPED_TEST(AvgPool2dFloat, RefusesWhatDoesNotFit) {
    auto backend = test::make_backend<TypeParam>();
    auto x = test::place<3>(backend, {4, 4, 3}), y = test::place<3>(backend, {4, 4, 4});
    const auto pool = [&](int k, int W, int C) { avg_pool2d<float>(backend, x, k, {y.view().data, {2, W, C}}); };
    EXPECT_THROW(pool(2, 3, 3), Error);
    EXPECT_THROW(pool(2, 2, 2), Error);
    EXPECT_THROW(pool(0, 2, 3), Error);
}

TYPED_TEST(AvgPool2dFloat, OpsBasicGolden) {
    constexpr double bound = 2e-6;  // four numbers
    const test::Golden golden("ops_basic");
    auto backend = test::make_backend<TypeParam>();
    auto y = test::place<3>(backend, {3, 5, 3});
    avg_pool2d<float>(backend, test::place(backend, test::channels_last(golden("avg_pool2.x"))), 2, y);
    test::Errors("ops_basic avg_pool2").compare_image<float>("y", y.on_host(), golden("avg_pool2.y"), bound);
}

}  // namespace
}  // namespace mia
