#include "mia/ops/block_match/block_match.hpp"
#include "support/fixture.hpp"
#include "support/measure.hpp"

// Arithmetic on bytes: the counter differences/s is absolute differences summed in the search, 17 x 17 places of 16 x
// 16 pixels a patch.
namespace {
using namespace mia;
using namespace mia::bench;

constexpr double block_match_bytes = double(pixels) * (2 * 3 + 2) * sizeof(float);

void run_block_match(benchmark::State& state, Device& device, MatchPrecision precision) {
    const auto ref = on(device, random_tensor({height, width, 3}, 0, 1)),
               supp = on(device, random_tensor({height, width, 3}, 0, 1, 8));
    auto flow = room(device, height, width, 2);
    measure(state, device, {.bytes = block_match_bytes},
            [&] { block_match(device, ref.view(), supp.view(), flow.view(), precision); });
    constexpr double differences = double((height + 7) / 8) * ((width + 7) / 8) * 17 * 17 * 16 * 16;
    state.counters["differences/s"] = differences / double(state.counters["s"]);
}
void add_block_match(const std::string& name, MatchPrecision precision) {
    add_case(name, {1, 2}, [=](benchmark::State& state, Device& device) { run_block_match(state, device, precision); });
}
[[maybe_unused]] const bool block_match_added = (add_block_match("block_match/pixel", MatchPrecision::pixel),
                                                 add_block_match("block_match/quarter", MatchPrecision::quarter),
                                                 add_copy_baseline("block_match", block_match_bytes), true);

}  // namespace
