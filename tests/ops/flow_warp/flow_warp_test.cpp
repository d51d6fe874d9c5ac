#include "mia/ops/flow_warp/flow_warp.hpp"

#include "reference/flow_warp.hpp"
#include "support/backends.hpp"
#include "support/golden.hpp"

namespace mia {
namespace {

template <class B>
class FlowWarpOp : public testing::Test {};
TYPED_TEST_SUITE(FlowWarpOp, test::Backends);
template <class B>
class FlowWarpFloat : public testing::Test {};
TYPED_TEST_SUITE(FlowWarpFloat, test::FloatBackends);

/// Coordinates up to 60 are floats, whatever the element type, and take the way through [-1, 1].
constexpr double warp_rounding = 4e-5;

template <class B, class T = typename B::Scalar>
std::vector<T> warp(int threads, const std::vector<T>& x, const std::vector<float>& flow, int H, int W, int C,
                    Padding padding) {
    auto backend = test::make_backend<B>(threads);
    const auto in = test::place<3>(backend, x, {H, W, C});
    const test::Placed<B, float, 3> f(backend, flow, {H, W, 2});
    auto y = test::place<3>(backend, {H, W, C});
    flow_warp(backend, in.view(), f.view(), padding, y.view());
    return y.values();
}

TYPED_TEST(FlowWarpOp, OddSizes) {
    using T = typename TypeParam::Scalar;
    const int sizes[][3] = {{1, 1, 1}, {1, 6, 2}, {7, 1, 3}, {2, 3, 5}, {9, 13, 4}, {5, 31, 17}};
    for (const auto& [H, W, C] : sizes)
        for (const double reach : {0.4, 4.0, 30.0}) {
            test::Random random(H * W);
            const auto x = random.numbers(H * W * C), flow = random.numbers(H * W * 2, -reach, reach);
            const auto in = test::cast<T>(x);
            const auto f = test::cast<float>(flow);
            for (const Padding padding : {Padding::zeros, Padding::border}) {
                const auto y = warp<TypeParam>(1, in, f, H, W, C, padding);
                test::expect_near(y, reference::flow_warp(x, flow, H, W, C, padding == Padding::border), warp_rounding,
                                  text(H, " x ", W, " by ", reach));
                for (const int threads : test::thread_counts<TypeParam>())
                    EXPECT_TRUE(test::same_bytes(warp<TypeParam>(threads, in, f, H, W, C, padding), y)) << threads;
            }
        }
}

TYPED_TEST(FlowWarpOp, ZeroFlowGivesTheInput) {
    using T = typename TypeParam::Scalar;
    // Powers of two plus one: the coordinates' way through [-1, 1] is exact there.
    constexpr int H = 5, W = 9, C = 3;
    const auto x = test::cast<T>(test::Random(1).numbers(H * W * C));
    for (const Padding padding : {Padding::zeros, Padding::border})
        EXPECT_EQ(warp<TypeParam>(2, x, std::vector<float>(H * W * 2), H, W, C, padding), x);
}

TYPED_TEST(FlowWarpFloat, WhatLiesOutsideReadsNothing) {
    constexpr int H = 3, W = 4;
    std::vector<float> x(H * W, 1.0f), flow(H * W * 2, 100.0f);
    x[0] = std::numeric_limits<float>::quiet_NaN();
    EXPECT_EQ(warp<TypeParam>(1, x, flow, H, W, 1, Padding::zeros), std::vector<float>(H * W, 0.0f));
}

TYPED_TEST(FlowWarpOp, FarAwayIsZeroOrTheBorder) {
    using T = typename TypeParam::Scalar;
    constexpr int H = 3, W = 5;
    const auto x = test::cast<T>(test::Random(1).numbers(H * W));
    for (const float far : {1e4f, 1e12f, 3e38f, std::numeric_limits<float>::infinity()}) {
        std::vector<float> flow(H * W * 2, -far);
        EXPECT_EQ(warp<TypeParam>(1, x, flow, H, W, 1, Padding::zeros), std::vector<T>(H * W)) << far;
        EXPECT_EQ(warp<TypeParam>(1, x, flow, H, W, 1, Padding::border), std::vector<T>(H * W, x[0])) << far;
        for (float& f : flow) f = far;
        EXPECT_EQ(warp<TypeParam>(1, x, flow, H, W, 1, Padding::border), std::vector<T>(H * W, x.back())) << far;
    }
    const std::vector<float> nan(H * W * 2, std::numeric_limits<float>::quiet_NaN());  // no pixel is near
    EXPECT_EQ(warp<TypeParam>(1, x, nan, H, W, 1, Padding::zeros), std::vector<T>(H * W));
    EXPECT_EQ(warp<TypeParam>(1, x, nan, H, W, 1, Padding::border), std::vector<T>(H * W));
}

TYPED_TEST(FlowWarpFloat, RefusesWhatDoesNotFit) {
    auto backend = test::make_backend<TypeParam>();
    const auto x = test::place<3>(backend, test::Numbers(60), {4, 5, 3});
    auto y = test::place<3>(backend, {4, 5, 3});
    const auto run = [&](int H, int W, int C, View<float, 3> to) {
        const auto flow = test::place<3>(backend, test::Numbers(std::size_t(H * W * C)), {H, W, C});
        flow_warp(backend, x.view(), flow.view(), Padding::zeros, to);
        synchronize(backend);
    };
    EXPECT_NO_THROW(run(4, 5, 2, y));
    EXPECT_THROW(run(5, 4, 2, y), Error);
    EXPECT_THROW(run(4, 5, 3, y), Error);
    EXPECT_THROW(run(4, 5, 2, {y.view().data, {4, 5, 2}}), Error);
}

TYPED_TEST(FlowWarpFloat, OpsWarpGolden) {
    constexpr double bound = 4e-6;  // ten times what an independent float implementation reaches
    const test::Golden golden("ops_warp");
    auto backend = test::make_backend<TypeParam>();
    const auto x = test::place(backend, test::channels_last(golden("warp.x"))),
               flow = test::place(backend, test::channels_last(golden("warp.flow")));
    test::Errors errors("ops_warp bilinear");
    for (const Padding padding : {Padding::zeros, Padding::border}) {
        auto y = test::place<3>(backend, {10, 14, 5});
        flow_warp(backend, x.view(), flow.view(), padding, y.view());
        const std::string name = padding == Padding::zeros ? "warp_zeros.y" : "warp_border.y";
        errors.compare_image<float>(name, y.on_host(), golden(name), bound);
    }
}

TYPED_TEST(FlowWarpFloat, OpsTiesGoldenOnePixelWideOrHigh) {
    constexpr double bound = 2e-6;
    const test::Golden golden("ops_ties");
    auto backend = test::make_backend<TypeParam>();
    test::Errors errors("ops_ties bilinear");
    for (const std::string name : {"one_1x6", "one_6x1", "one_1x1"}) {
        const auto image = test::channels_last(golden(name + ".x"));
        const auto x = test::place(backend, image),
                   flow = test::place(backend, test::channels_last(golden(name + ".flow")));
        for (const Padding padding : {Padding::zeros, Padding::border}) {
            auto y = test::place<3>(backend, {image.extent(0), image.extent(1), 2});
            flow_warp(backend, x.view(), flow.view(), padding, y.view());
            const auto result = name + (padding == Padding::zeros ? ".zeros" : ".border");
            errors.compare_image<float>(result, y.on_host(), golden(result), bound);
        }
    }
}

}  // namespace
}  // namespace mia
