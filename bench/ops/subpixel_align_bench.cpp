#include "mia/ops/subpixel_align/subpixel_align.hpp"
#include "support/fixture.hpp"
#include "support/measure.hpp"

namespace {
using namespace mia;
using namespace mia::bench;

constexpr double subpixel_align_bytes = double(pixels) * (2 * lite.embed_dim + 2) * sizeof(float);

void run_subpixel_align(benchmark::State& state, Device& device) {
    constexpr int C = lite.embed_dim;
    const auto x = on(device, random_tensor({height, width, C}));
    const auto flow = on(device, smooth_flow());
    auto y = room(device, height, width, C);
    measure(state, device, {.bytes = subpixel_align_bytes},
            [&] { subpixel_align(device, x.view(), flow.view(), mia_vsr_lite.scale, y.view()); });
}
[[maybe_unused]] const bool subpixel_align_added =
    (add_case("subpixel_align/lite", {1, 2}, run_subpixel_align),
     add_copy_baseline("subpixel_align/lite", subpixel_align_bytes), true);

}  // namespace
