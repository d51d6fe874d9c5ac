#include "mia/ops/block_match/block_match.hpp"
#include "support/fixture.hpp"
#include "support/measure.hpp"

// Arithmetic on bytes: the counter differences/s is absolute differences summed in the search, 17 x 17 places of 16 x
// 16 pixels a patch.
namespace {
using namespace mia;
using namespace mia::bench;

constexpr double bytes = double(pixels) * (2 * 3 + 2) * sizeof(float);

void run(benchmark::State& state, Cpu& cpu, MatchPrecision precision) {
    const auto ref = random_tensor({height, width, 3}, 0, 1), supp = random_tensor({height, width, 3}, 0, 1, 8);
    Tensor<float, 3> flow(height, width, 2);
    measure(state, cpu, {.bytes = bytes}, [&] { block_match(cpu, ref.view(), supp.view(), flow.view(), precision); });
    constexpr double differences = double((height + 7) / 8) * ((width + 7) / 8) * 17 * 17 * 16 * 16;
    state.counters["differences/s"] = differences / double(state.counters["s"]);
}
void add(const std::string& name, MatchPrecision precision) {
    add_case(name, {1, 2}, [=](benchmark::State& state, Cpu& cpu) { run(state, cpu, precision); });
}
[[maybe_unused]] const bool added =
    (add("block_match/pixel", MatchPrecision::pixel), add("block_match/quarter", MatchPrecision::quarter),
     add_copy_baseline("block_match", bytes), true);

}  // namespace
