#include "mia/train/adam.hpp"
#include "mia/train/initialize.hpp"
#include "mia/train/losses.hpp"
#include "support/first_small.hpp"
#include "support/fixture.hpp"
#include "support/measure.hpp"
#include "support/required_macs.hpp"

// One step of training on one sample, 5 frames of 40 x 40: weights packed, forward, loss, backward, Adam. first_small
// is what bench/peers computes in PyTorch (there with the flows given). Required: three times the forward pass.
namespace {
using namespace mia;
using namespace mia::bench;

template <class Model>
void run(benchmark::State& state, Cpu& cpu) {
    constexpr int frames = 5, size = 40;
    using Taped = Tape<Cpu>;
    Network<typename Model::template On<Taped>, Cpu> model(cpu);
    initialize(*model, 1);
    set_mask_use(*model, MaskUse::off, 0);
    Taped tape(cpu, model.flat());
    const auto clip = random_tensor({frames, size, size, 3}, 0, 1),
               target = random_tensor({frames, Model::scale * size, Model::scale * size, 3}, 0, 1);
    Adam<float> adam(model.flat().size());
    measure(state, cpu, {.macs = 3.0 * double(clip_macs<Model>(frames, size, size))}, [&] {
        tape.restart();
        tape.zero_gradients();
        prepare(tape, *model);
        const auto out = tape.scratch(frames, Model::scale * size, Model::scale * size, 3);
        model->forward(tape, clip, out);
        charbonnier_loss(tape, out, target.view());
        tape.backward();
        adam.step(cpu, model.flat(), tape.parameter_gradients(), 1e-6);
    });
}
[[maybe_unused]] const bool added = [] {
    add_case("training_step/lite", {1, 2}, run<MiaVsrLite<>>);
    add_case("training_step/first_small", {1, 2}, run<test::FirstSmall<>>);
    return true;
}();

}  // namespace
