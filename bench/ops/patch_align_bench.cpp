#include "mia/ops/patch_align/patch_align.hpp"
#include "support/fixture.hpp"
#include "support/measure.hpp"

namespace {
using namespace mia;
using namespace mia::bench;

void add(const std::string& model, int C) {
    const double bytes = double(pixels) * (2 * C + 2) * sizeof(float);
    add_case("patch_align/" + model, {1, 2}, [=](benchmark::State& state, Cpu& cpu) {
        const auto x = random_tensor({height, width, C});
        const auto flow = smooth_flow();
        Tensor<float, 3> y(height, width, C);
        measure(state, cpu, {.bytes = bytes}, [&] { patch_align(cpu, x.view(), flow.view(), y.view()); });
    });
    add_copy_baseline("patch_align/" + model, bytes);
}
[[maybe_unused]] const bool added = (add("base", base.embed_dim), true);

}  // namespace
