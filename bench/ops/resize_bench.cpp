#include "mia/ops/resize/resize.hpp"
#include "support/fixture.hpp"
#include "support/measure.hpp"

// The frame that every upsampler adds to its result, and SpyNet's flow from one level to the next.
namespace {
using namespace mia;
using namespace mia::bench;

void add_resize(const std::string& name, int H, int W, int factor, int channels, Corners corners) {
    const double bytes = double(H) * W * channels * (1 + factor * factor) * sizeof(float);
    add_case(name, 1, [=](benchmark::State& state, Device& device) {
        const auto x = on(device, random_tensor({H, W, channels}, 0, 1));
        auto y = room(device, factor * H, factor * W, channels);
        measure(state, device, {.bytes = bytes}, [&] { resize_bilinear(device, x.view(), corners, y.view()); });
    });
    add_copy_baseline(name, bytes);
}
[[maybe_unused]] const bool resize_added = (add_resize("resize/frame_x4", height, width, 4, 3, Corners::apart),
                                            add_resize("resize/flow_x2", 96, 160, 2, 2, Corners::aligned), true);

}  // namespace
