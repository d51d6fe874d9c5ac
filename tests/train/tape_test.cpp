#include "mia/train/tape.hpp"

#include <gtest/gtest.h>

#include "mia/train/adam.hpp"
#include "mia/train/losses.hpp"
#include "support/first_small.hpp"
#include "support/random_model.hpp"

namespace mia {
namespace {

using Model = test::FirstSmall<Tape<Cpu>>;  // four blocks a branch

/// A model with everything that a step needs.
struct Training {
    Cpu cpu;
    Network<Model, Cpu> model{cpu};
    Tape<Cpu> tape;
    Tensor<float, 4> clip = test::random_clip(3, 12, 17), target = test::random_clip(3, 48, 68);

    explicit Training(int threads, TapeConfig config = {.fill = ScratchFill::nan})
        : cpu(threads, ScratchFill::nan), tape(cpu, model.flat(), config) {
        test::randomize(*model);
    }
    double step() {
        tape.restart();
        tape.zero_gradients();
        prepare(tape, *model);
        const auto out = tape.scratch(3, 48, 68, 3);
        model->forward(tape, clip.view(), out);
        const double loss = charbonnier_loss(tape, out, target.view());
        tape.backward();
        return loss;
    }
    std::vector<float> gradients() {
        const auto g = tape.parameter_gradients();
        return {g.data, g.data + g.size()};
    }
};

TEST(Tape, ComputesWhatItsBackendComputes) {
    Training training(2);
    auto& tape = training.tape;
    prepare(tape, *training.model);
    const auto out = tape.scratch(3, 48, 68, 3);
    training.model->forward(tape, training.clip.view(), out);
    Network<test::FirstSmall<>> plain(training.cpu);
    std::copy(training.model.flat().data, training.model.flat().data + plain.flat().size(), plain.flat().data);
    prepare(training.cpu, *plain);
    Tensor<float, 4> expected(3, 48, 68, 3);
    plain->forward(training.cpu, training.clip.view(), expected.view());
    for (int i = 0; i < out.size(); ++i) ASSERT_NEAR(out.data[i], expected.data()[i], 2e-5f) << i;  // fused, composed
}

TEST(Tape, TheNextStepRepeatsTheFirstByteForByte) {
    Training training(2);
    const double loss = training.step();
    const auto gradients = training.gradients();
    const std::size_t bytes = training.tape.activation_bytes();
    EXPECT_EQ(training.step(), loss);
    EXPECT_EQ(training.gradients(), gradients);
    EXPECT_EQ(training.tape.activation_bytes(), bytes) << "no more memory than the first";
}

TEST(Tape, GradientsOfSeveralClipsAddUp) {
    Training training(1);
    training.step();
    const auto once = training.gradients();
    auto& tape = training.tape;
    tape.restart();
    const auto out = tape.scratch(3, 48, 68, 3);
    training.model->forward(tape, training.clip.view(), out);
    charbonnier_loss(tape, out, training.target.view());
    tape.backward();
    const auto twice = training.gradients();
    for (std::size_t i = 0; i < once.size(); ++i)
        ASSERT_NEAR(twice[i], 2 * once[i], 1e-6f + 1e-5f * std::abs(once[i])) << i;
}

TEST(Tape, CheckpointsGiveTheSameBytesInLessMemory) {
    Training all(2), some(2, {.checkpoint = true, .fill = ScratchFill::nan});
    EXPECT_EQ(all.step(), some.step());
    EXPECT_EQ(all.gradients(), some.gradients());
    EXPECT_LT(3 * some.tape.activation_bytes(), all.tape.activation_bytes());
}

TEST(Tape, AdamLowersTheLoss) {
    Training training(2);
    Adam<float> adam(training.model.flat().size());
    const double first = training.step();
    for (int i = 0; i < 8; ++i) {
        adam.step(training.cpu, training.model.flat(), training.tape.parameter_gradients(), 1e-3);
        training.step();
    }
    EXPECT_LT(training.step(), 0.8 * first);
}

TEST(Tape, WhatHasNoGradientIsAnError) {
    Training training(1);
    training.step();
    const View<float, 1> all = training.model.flat();
    EXPECT_EQ(training.tape.gradient_of(all.slice(5, 3)).data, training.tape.parameter_gradients().data + 5);
    try {
        training.tape.gradient_of(training.clip.view());
        FAIL() << "no error";
    } catch (const Error& error) {
        EXPECT_STREQ(error.what(),
                     "Tape: the view of shape (3, 12, 17, 3) has no gradient; give a parameter, or a variable() made "
                     "since restart()");
    }
}

TEST(Tape, ParametersMustBePackedAgain) {
    Training training(1);
    const auto out = training.tape.scratch(3, 48, 68, 3);
    EXPECT_THROW(training.model->forward(training.tape, training.clip.view(), out), Error);
}

}  // namespace
}  // namespace mia
