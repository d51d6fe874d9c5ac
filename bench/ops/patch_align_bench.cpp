#include "mia/ops/patch_align/patch_align.hpp"
#include "support/fixture.hpp"
#include "support/measure.hpp"

namespace {
using namespace mia;
using namespace mia::bench;

void add_patch_align(const std::string& model, int C) {
    const double bytes = double(pixels) * (2 * C + 2) * sizeof(float);
    add_case("patch_align/" + model, {1, 2}, [=](benchmark::State& state, Device& device) {
        const auto x = on(device, random_tensor({height, width, C}));
        const auto flow = on(device, smooth_flow());
        auto y = room(device, height, width, C);
        measure(state, device, {.bytes = bytes}, [&] { patch_align(device, x.view(), flow.view(), y.view()); });
    });
    add_copy_baseline("patch_align/" + model, bytes);
}
[[maybe_unused]] const bool patch_align_added = (add_patch_align("base", base.embed_dim), true);

}  // namespace
