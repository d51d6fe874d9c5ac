#include "mia/ops/flow_warp/flow_warp.hpp"
#include "support/fixture.hpp"
#include "support/measure.hpp"

// Frames (SpyNet), flows (second order), and features (bilinear alignment).
namespace {
using namespace mia;
using namespace mia::bench;

void add_flow_warp(const std::string& name, int channels, Padding padding) {
    const double bytes = double(pixels) * (2 * channels + 2) * sizeof(float);
    add_case(name, 1, [=](benchmark::State& state, Device& device) {
        const auto x = on(device, random_tensor({height, width, channels}, 0, 1));
        const auto flow = on(device, smooth_flow());
        auto y = room(device, height, width, channels);
        measure(state, device, {.bytes = bytes}, [&] { flow_warp(device, x.view(), flow.view(), padding, y.view()); });
    });
    add_copy_baseline(name, bytes);
}
[[maybe_unused]] const bool flow_warp_added =
    (add_flow_warp("flow_warp/frame", 3, Padding::border), add_flow_warp("flow_warp/flow", 2, Padding::zeros),
     add_flow_warp("flow_warp/base", base.embed_dim, Padding::zeros),
     add_flow_warp("flow_warp/lite", lite.embed_dim, Padding::zeros), true);

}  // namespace
