#include "mia/ops/avg_pool2d/avg_pool2d.hpp"

#include "reference/avg_pool2d.hpp"
#include "support/golden.hpp"

namespace mia {
namespace {

template <class T>
class AvgPool2dOp : public testing::Test {};
using Scalars = testing::Types<float, double>;
TYPED_TEST_SUITE(AvgPool2dOp, Scalars);

TYPED_TEST(AvgPool2dOp, OddSizes) {
    using T = TypeParam;
    const int sizes[][4] = {{1, 1, 1, 1}, {2, 2, 1, 2}, {7, 9, 3, 2}, {8, 17, 5, 3}, {40, 6, 2, 2}, {3, 3, 4, 3}};
    for (const auto& [H, W, C, k] : sizes)
        for (const int threads : {1, 2, 3}) {
            BasicCpu<T> cpu(threads, ScratchFill::nan);
            const auto x = test::Random(H + W).numbers(H * W * C);
            const auto in = test::cast<T>(x);
            auto y = test::unwritten<T>(H / k * (W / k) * C);
            avg_pool2d<T>(cpu, {in.data(), {H, W, C}}, k, {y.data(), {H / k, W / k, C}});
            test::expect_near(y, reference::avg_pool2d(x, H, W, C, k), 2 * test::step_rounding<T>, text(H, " x ", W));
        }
}

TEST(AvgPool2d, RefusesWhatDoesNotFit) {
    Cpu cpu;
    std::vector<float> x(64), y(64);
    EXPECT_THROW(avg_pool2d<float>(cpu, {x.data(), {4, 4, 3}}, 2, {y.data(), {2, 3, 3}}), Error);
    EXPECT_THROW(avg_pool2d<float>(cpu, {x.data(), {4, 4, 3}}, 2, {y.data(), {2, 2, 2}}), Error);
    EXPECT_THROW(avg_pool2d<float>(cpu, {x.data(), {4, 4, 3}}, 0, {y.data(), {2, 2, 3}}), Error);
}

TEST(AvgPool2dGolden, OpsBasic) {
    constexpr double bound = 2e-6;  // four numbers
    const test::Golden golden("ops_basic");
    Cpu cpu(2, ScratchFill::nan);
    const auto x = test::channels_last(golden("avg_pool2.x"));
    Tensor<float, 3> y(3, 5, 3);
    avg_pool2d<float>(cpu, x.view(), 2, y.view());
    test::Errors("ops_basic avg_pool2").compare_image<float>("y", y.view(), golden("avg_pool2.y"), bound);
}

}  // namespace
}  // namespace mia
