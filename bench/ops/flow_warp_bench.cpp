#include "mia/ops/flow_warp/flow_warp.hpp"
#include "support/fixture.hpp"
#include "support/measure.hpp"

// Frames (SpyNet), flows (second order), and features (bilinear alignment).
namespace {
using namespace mia;
using namespace mia::bench;

void add(const std::string& name, int channels, Padding padding) {
    const double bytes = double(pixels) * (2 * channels + 2) * sizeof(float);
    add_case(name, 1, [=](benchmark::State& state, Cpu& cpu) {
        const auto x = random_tensor({height, width, channels}, 0, 1);
        const auto flow = smooth_flow();
        Tensor<float, 3> y(height, width, channels);
        measure(state, cpu, {.bytes = bytes}, [&] { flow_warp(cpu, x.view(), flow.view(), padding, y.view()); });
    });
    add_copy_baseline(name, bytes);
}
[[maybe_unused]] const bool added =
    (add("flow_warp/frame", 3, Padding::border), add("flow_warp/flow", 2, Padding::zeros),
     add("flow_warp/base", base.embed_dim, Padding::zeros), add("flow_warp/lite", lite.embed_dim, Padding::zeros),
     true);

}  // namespace
