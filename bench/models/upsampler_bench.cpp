#include "mia/models/upsampler.hpp"
#include "support/fixture.hpp"
#include "support/measure.hpp"
#include "support/required_macs.hpp"

namespace {
using namespace mia;
using namespace mia::bench;

template <template <UpsamplerConfig, class> class Upsampler, MiaVsrConfig M>
void run(benchmark::State& state, Cpu& cpu) {
    const auto upsampler = random_network<Upsampler<M.upsampler(), Cpu>>(cpu);
    const auto features = random_tensor({height, width, M.embed_dim}), frame = random_tensor({height, width, 3}, 0, 1);
    Tensor<float, 3> out(M.scale * height, M.scale * width, 3);
    using OnCount = Upsampler<M.upsampler(), Count>;
    const std::int64_t macs = counted_macs<OnCount>([](const OnCount& counted, Count& count) {
        counted.forward(count, count.scratch(height, width, M.embed_dim), count.scratch(height, width, 3),
                        count.scratch(M.scale * height, M.scale * width, 3));
    });
    measure(state, cpu, {.macs = double(macs)}, [&] { upsampler->forward(cpu, features, frame, out); });
}
[[maybe_unused]] const bool added = (add_case("upsampler/base", {1, 2}, run<TwoStepUpsampler, mia_vsr_base>),
                                     add_case("upsampler/lite", {1, 2}, run<OneStepUpsampler, mia_vsr_lite>), true);

}  // namespace
