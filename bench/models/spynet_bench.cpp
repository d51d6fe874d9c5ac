#include "mia/models/spynet.hpp"
#include "support/fixture.hpp"
#include "support/measure.hpp"
#include "support/required_macs.hpp"

// Flow of one pair of frames.
namespace {
using namespace mia;
using namespace mia::bench;

void run(benchmark::State& state, Cpu& cpu) {
    const auto spynet = random_network<SpyNet<>>(cpu);
    const auto ref = random_tensor({height, width, 3}, 0, 1), supp = random_tensor({height, width, 3}, 0, 1, 8);
    Tensor<float, 3> flow(height, width, 2);
    using OnCount = SpyNet<SpyNetConfig{}, Count>;
    const std::int64_t macs = counted_macs<OnCount>([](const OnCount& counted, Count& count) {
        const auto frame = count.scratch(height, width, 3);
        counted.forward(count, frame, frame, count.scratch<float>(height, width, 2));
    });
    measure(state, cpu, {.macs = double(macs)}, [&] { spynet->forward(cpu, ref, supp, flow); });
}
[[maybe_unused]] const bool added = (add_case("spynet", {1, 2}, run), true);

}  // namespace
