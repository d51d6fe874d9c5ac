#include "mia/ops/subpixel_align/subpixel_align.hpp"
#include "support/fixture.hpp"
#include "support/measure.hpp"

namespace {
using namespace mia;
using namespace mia::bench;

constexpr int C = lite.embed_dim;
constexpr double bytes = double(pixels) * (2 * C + 2) * sizeof(float);

void run(benchmark::State& state, Cpu& cpu) {
    const auto x = random_tensor({height, width, C});
    const auto flow = smooth_flow();
    Tensor<float, 3> y(height, width, C);
    measure(state, cpu, {.bytes = bytes},
            [&] { subpixel_align(cpu, x.view(), flow.view(), mia_vsr_lite.scale, y.view()); });
}
[[maybe_unused]] const bool added =
    (add_case("subpixel_align/lite", {1, 2}, run), add_copy_baseline("subpixel_align/lite", bytes), true);

}  // namespace
