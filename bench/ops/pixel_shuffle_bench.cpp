#include "mia/ops/pixel_shuffle/pixel_shuffle.hpp"
#include "support/fixture.hpp"
#include "support/measure.hpp"

// The two shuffles by 2 of the published tail, with its activation, and the small model's shuffle by 4 onto the frame.
namespace {
using namespace mia;
using namespace mia::bench;

void add_pixel_shuffle(const std::string& name, int H, int W, int factor, int channels, Activation activation,
                       bool residual) {
    const double bytes = (residual ? 3.0 : 2.0) * H * W * factor * factor * channels * sizeof(float);
    add_case(name, 1, [=](benchmark::State& state, Device& device) {
        const auto x = on(device, random_tensor({H, W, factor * factor * channels}));
        const auto rest = on(device, random_tensor({factor * H, factor * W, channels}, 0, 1));
        auto y = room(device, factor * H, factor * W, channels);
        const auto added = residual ? rest.view() : View<const float, 3>{};
        measure(state, device, {.bytes = bytes},
                [&] { pixel_shuffle(device, x.view(), factor, y.view(), activation, added); });
    });
    add_copy_baseline(name, bytes);
}
[[maybe_unused]] const bool pixel_shuffle_added =
    (add_pixel_shuffle("pixel_shuffle/base_first", height, width, 2, 64, Activation::leaky_relu, false),
     add_pixel_shuffle("pixel_shuffle/base_second", 2 * height, 2 * width, 2, 64, Activation::leaky_relu, false),
     add_pixel_shuffle("pixel_shuffle/lite", height, width, 4, 3, Activation::none, true), true);

}  // namespace
