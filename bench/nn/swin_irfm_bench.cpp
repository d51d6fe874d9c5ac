#include "mia/nn/swin_irfm.hpp"
#include "support/fixture.hpp"
#include "support/measure.hpp"
#include "support/required_macs.hpp"

// One frame through a branch, every token computed.
namespace {
using namespace mia;
using namespace mia::bench;

template <MiaVsrConfig M>
void run(benchmark::State& state, Cpu& cpu) {
    constexpr SwinIrfmConfig config = M.branch();
    constexpr int C = M.embed_dim;
    using Branch = SwinIrfm<config, Cpu, InterFrameAttention>;
    const auto branch = random_network<Branch>(cpu, MaskRule::keep_all);
    const auto stack = random_tensor({3, height, width, C});
    Tensor<float, 3> out(height, width, C);
    typename Branch::State kept;
    int step = 0;
    measure(state, cpu, {.macs = double(branch_macs(config, height, width))},
            [&] { branch->forward(cpu, stack, step++, kept, out); });
}
[[maybe_unused]] const bool added =
    (add_case("swin_irfm/base", 2, run<mia_vsr_base>), add_case("swin_irfm/lite", {1, 2}, run<mia_vsr_lite>), true);

}  // namespace
