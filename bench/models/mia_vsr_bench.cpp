#include "mia/models/mia_vsr.hpp"
#include "support/first_small.hpp"
#include "support/fixture.hpp"
#include "support/measure.hpp"
#include "support/required_macs.hpp"

// Whole models on a short clip of 180 x 320, masks asked and every token kept; first_small is what bench/peers computes
// in PyTorch. A clip of T frames has T - 1 pairs for the flow: the count of multiply-adds follows that. Times are of
// the clip; the counter s/frame is of a frame.
namespace {
using namespace mia;
using namespace mia::bench;

template <class Model, class B>
void run(benchmark::State& state, B& cpu, int frames, int warm_up) {
    const auto model = random_network<Model>(cpu, MaskRule::keep_all);
    const auto clip = random_tensor({frames, height, width, 3}, 0, 1);
    Tensor<float, 4> out(frames, Model::scale * height, Model::scale * width, 3);
    typename Model::State kept;
    measure(
        state, cpu, {.macs = double(clip_macs<Model>(frames, height, width))},
        [&] { model->forward(cpu, clip, out, kept); }, warm_up);
    state.counters["s/frame"] = double(state.counters["s"]) / frames;
}

template <class Model>
void add(const std::string& name, int frames, int warm_up, std::vector<int> thread_counts = {1, 2}) {
    for (const int threads : thread_counts)
        add_case("mia_vsr/" + name, threads,
                 [=](benchmark::State& state, Cpu& cpu) { run<Model>(state, cpu, frames, warm_up); });
}
void add_lite_bf16() {
    for (const int threads : {1, 2})
        add_case("mia_vsr/lite_bf16", threads, [](benchmark::State& state, Cpu& cpu) {
            CpuBf16 bf16(cpu.threads());
            run<MiaVsrLite<CpuBf16>>(state, bf16, 3, 2);
        });
}
[[maybe_unused]] const bool added =
    (add<MiaVsrLite<>>("lite", 3, 2), add_lite_bf16(), add<test::FirstSmall<>>("first_small", 3, 2),
     add<MiaVsrTiny<>>("tiny", 2, 0), add<MiaVsrBase<>>("base", 2, 0, {2}), true);

}  // namespace
