#include "mia/ops/flow_warp/flow_warp.hpp"

#include "reference/flow_warp.hpp"
#include "support/golden.hpp"

namespace mia {
namespace {

template <class T>
class FlowWarpOp : public testing::Test {};
using Scalars = testing::Types<float, double>;
TYPED_TEST_SUITE(FlowWarpOp, Scalars);

/// Coordinates up to 60 are floats, whatever the element type, and take the way through [-1, 1].
constexpr double coordinate_rounding = 4e-5;

template <class T>
std::vector<T> warp(int threads, const std::vector<T>& x, const std::vector<float>& flow, int H, int W, int C,
                    Padding padding) {
    BasicCpu<T> cpu(threads, ScratchFill::nan);
    auto y = test::unwritten<T>(H * W * C);
    flow_warp(cpu, View<const T, 3>{x.data(), {H, W, C}}, View<const float, 3>{flow.data(), {H, W, 2}}, padding,
              View<T, 3>{y.data(), {H, W, C}});
    return y;
}

TYPED_TEST(FlowWarpOp, OddSizes) {
    using T = TypeParam;
    const int sizes[][3] = {{1, 1, 1}, {1, 6, 2}, {7, 1, 3}, {2, 3, 5}, {9, 13, 4}, {5, 31, 17}};
    for (const auto& [H, W, C] : sizes)
        for (const double reach : {0.4, 4.0, 30.0}) {
            test::Random random(H * W);
            const auto x = random.numbers(H * W * C), flow = random.numbers(H * W * 2, -reach, reach);
            const auto in = test::cast<T>(x);
            const auto f = test::cast<float>(flow);
            for (const Padding padding : {Padding::zeros, Padding::border}) {
                const auto y = warp<T>(1, in, f, H, W, C, padding);
                test::expect_near(y, reference::flow_warp(x, flow, H, W, C, padding == Padding::border),
                                  coordinate_rounding, text(H, " x ", W, " by ", reach));
                for (const int threads : {2, 3})
                    EXPECT_TRUE(test::same_bytes(warp<T>(threads, in, f, H, W, C, padding), y)) << threads;
            }
        }
}

TYPED_TEST(FlowWarpOp, ZeroFlowGivesTheInput) {
    using T = TypeParam;
    // Powers of two plus one: the coordinates' way through [-1, 1] is exact there.
    constexpr int H = 5, W = 9, C = 3;
    const auto x = test::cast<T>(test::Random(1).numbers(H * W * C));
    for (const Padding padding : {Padding::zeros, Padding::border})
        EXPECT_EQ(warp<T>(2, x, std::vector<float>(H * W * 2), H, W, C, padding), x);
}

TYPED_TEST(FlowWarpOp, FarAwayIsZeroOrTheBorder) {
    using T = TypeParam;
    constexpr int H = 3, W = 5;
    const auto x = test::cast<T>(test::Random(1).numbers(H * W));
    for (const float far : {1e4f, 1e12f, 3e38f, std::numeric_limits<float>::infinity()}) {
        std::vector<float> flow(H * W * 2, -far);
        EXPECT_EQ(warp<T>(1, x, flow, H, W, 1, Padding::zeros), std::vector<T>(H * W)) << far;
        EXPECT_EQ(warp<T>(1, x, flow, H, W, 1, Padding::border), std::vector<T>(H * W, x[0])) << far;
        for (float& f : flow) f = far;
        EXPECT_EQ(warp<T>(1, x, flow, H, W, 1, Padding::border), std::vector<T>(H * W, x.back())) << far;
    }
    const std::vector<float> nan(H * W * 2, std::numeric_limits<float>::quiet_NaN());  // no pixel is near
    EXPECT_EQ(warp<T>(1, x, nan, H, W, 1, Padding::zeros), std::vector<T>(H * W));
    EXPECT_EQ(warp<T>(1, x, nan, H, W, 1, Padding::border), std::vector<T>(H * W));
}

TEST(FlowWarp, RefusesWhatDoesNotFit) {
    Cpu cpu;
    Tensor<float, 3> x(4, 5, 3), y(4, 5, 3), flow(4, 5, 2), other(5, 4, 2), three(4, 5, 3);
    std::fill(flow.data(), flow.data() + flow.size(), 0.0f);
    const auto run = [&](Tensor<float, 3>& f, Tensor<float, 3>& to) {
        flow_warp(cpu, View<const float, 3>(x), View<const float, 3>(f), Padding::zeros, View<float, 3>(to));
    };
    std::fill(x.data(), x.data() + x.size(), 0.0f);
    EXPECT_NO_THROW(run(flow, y));
    EXPECT_THROW(run(other, y), Error);
    EXPECT_THROW(run(three, y), Error);
    EXPECT_THROW(run(flow, flow), Error);
}

TEST(FlowWarpGolden, OpsWarp) {
    constexpr double bound = 4e-6;  // ten times what an independent float implementation reaches
    const test::Golden golden("ops_warp");
    Cpu cpu(2, ScratchFill::nan);
    const auto x = test::channels_last(golden("warp.x")), flow = test::channels_last(golden("warp.flow"));
    test::Errors errors("ops_warp bilinear");
    Tensor<float, 3> y(10, 14, 5);
    for (const Padding padding : {Padding::zeros, Padding::border}) {
        flow_warp(cpu, x.view(), flow.view(), padding, y.view());
        const std::string name = padding == Padding::zeros ? "warp_zeros.y" : "warp_border.y";
        errors.compare_image<float>(name, y.view(), golden(name), bound);
    }
}

TEST(FlowWarpGolden, OpsTiesOnePixelWideOrHigh) {
    constexpr double bound = 2e-6;
    const test::Golden golden("ops_ties");
    Cpu cpu(2, ScratchFill::nan);
    test::Errors errors("ops_ties bilinear");
    for (const std::string name : {"one_1x6", "one_6x1", "one_1x1"}) {
        const auto x = test::channels_last(golden(name + ".x")), flow = test::channels_last(golden(name + ".flow"));
        Tensor<float, 3> y(x.extent(0), x.extent(1), 2);
        flow_warp(cpu, x.view(), flow.view(), Padding::zeros, y.view());
        errors.compare_image<float>(name + ".zeros", y.view(), golden(name + ".zeros"), bound);
        flow_warp(cpu, x.view(), flow.view(), Padding::border, y.view());
        errors.compare_image<float>(name + ".border", y.view(), golden(name + ".border"), bound);
    }
}

}  // namespace
}  // namespace mia
