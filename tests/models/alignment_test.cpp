#include "mia/models/alignment.hpp"

#include "reference/flow_warp.hpp"
#include "reference/patch_align.hpp"

namespace mia {
namespace {

static_assert(FeatureAlignment<PatchAlignment<>, Cpu> && FeatureAlignment<BilinearAlignment<>, Cpu> &&
              FeatureAlignment<NoAlignment<>, Cpu> &&
              FeatureAlignment<PatchAlignment<BasicCpu<double>>, BasicCpu<double>>);

TEST(Alignment, PatchBilinearNone) {
    constexpr int H = 11, W = 13, C = 3;
    test::Random random(1);
    const auto features = random.numbers(H * W * C);
    test::Numbers flow(H * W * 2);
    for (double& f : flow) f = std::round(16 * random.number(-4, 4)) / 16;  // block means are exact
    const auto x = test::cast<float>(features), f = test::cast<float>(flow);
    const auto run = [&](const auto& alignment) {
        Cpu cpu(2, ScratchFill::nan);
        auto y = test::unwritten<float>(H * W * C);
        alignment.forward(cpu, {x.data(), {H, W, C}}, {f.data(), {H, W, 2}}, {y.data(), {H, W, C}});
        return y;
    };
    test::expect_near(run(PatchAlignment<>()), reference::patch_align(features, flow, H, W, C), 0, "patch");
    test::expect_near(run(BilinearAlignment<>()), reference::flow_warp(features, flow, H, W, C, false), 1e-5,
                      "bilinear");  // coordinates are floats
    test::expect_near(run(NoAlignment<>()), features, 0, "none");
}

}  // namespace
}  // namespace mia
