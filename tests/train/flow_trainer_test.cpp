#include "mia/train/flow_trainer.hpp"

#include <gmock/gmock.h>

#include <filesystem>
#include <limits>

#include "mia/models/spynet.hpp"
#include "support/folder_test.hpp"
#include "train/data/pictures.hpp"
#include "train/gradient_check.hpp"

namespace mia {
namespace {

using testing::AllOf;
using testing::HasSubstr;
using testing::ThrowsMessage;

constexpr SpyNetConfig toy{.levels = 3, .kernel_size = 3, .channels = {{16, 16}}};
using Toy = SpyNet<toy>;
using ToyTrainer = FlowTrainer<Toy>;

std::vector<TrainingClip> photo(int height, int width) {
    std::vector<TrainingClip> clips(1);
    clips[0] = {test::smooth_clip(height, width), 1, true};
    return clips;
}

FlowTrainerConfig config() {
    FlowTrainerConfig c;
    c.samples = {.scale = 2,
                 .frames = 2,
                 .height = 16,
                 .width = 16,
                 .motion = {.max_speed = 6, .min_zoom = 0.3, .max_zoom = 0.6, .object_probability = 0}};
    c.iterations = 8;
    c.batch = 2;
    c.learning_rate = 5e-3;
    c.average_decay = 0.5;
    return c;
}
FlowTrainerConfig with(auto change) {
    FlowTrainerConfig c = config();
    change(c);
    return c;
}
void photometric(FlowTrainerConfig& c) { c.stage = FlowStage::photometric; }

/// Cameras' ways over a photo, whose flow the trainer is not told.
std::vector<TrainingClip> videos(int count, int frames) {
    const Clip still = test::smooth_clip(160, 160);
    std::vector<TrainingClip> clips;
    for (int i = 0; i < count; ++i) {
        SampleRandom random(5, std::uint64_t(i));
        const auto scene = random_scene(still.view()[0], frames, 48, 56, config().samples.motion, random);
        clips.push_back({drawn_clip(scene, "video"), 1, false});
    }
    return clips;
}

std::vector<float> numbers(View<const float, 1> x) { return {x.data, x.data + x.size()}; }

/// Parameters and average after so many iterations.
struct Result {
    std::vector<float> parameters, average;
    bool operator==(const Result&) const = default;
};
Result run(ToyTrainer& trainer, int steps) {
    for (int i = 0; i < steps; ++i) trainer.step();
    return {numbers(trainer.parameters()), numbers(trainer.average())};
}
Result run(const FlowTrainerConfig& c, int steps) {
    ToyTrainer trainer(photo(60, 64), c);
    return run(trainer, steps);
}

class FlowTrainerTest : public test::FolderTest {
protected:
    std::filesystem::path state = folder / "state.safetensors", weights = folder / "weights.safetensors";
};

TEST_F(FlowTrainerTest, TheFirstStageFindsKnownMotionAndTheSecondGoesOnWithoutIt) {
    const auto held_out = photo(150, 140);
    ToyTrainer synthetic(photo(160, 160), with([](auto& c) {
                             c.iterations = 300;
                             c.batch = 4;
                             c.optimizer = Optimizer::muon;
                             c.average_decay = 0.9;
                         }));
    double first = 0, last = 0;
    for (int i = 0; i < 300; ++i) {
        const TrainingStep step = synthetic.step();
        (i < 20 ? first : last) += i < 20 || i >= 280 ? step.loss / 20 : 0;
    }
    EXPECT_TRUE(synthetic.is_done());
    EXPECT_LT(last, 0.5 * first);
    const FlowQuality known = synthetic.validate(held_out, 32);
    EXPECT_GT(known.end_point_error_at_rest, 0.8);
    EXPECT_LT(known.end_point_error, 0.4 * known.end_point_error_at_rest);
    EXPECT_LT(known.warping_error, 0.4 * known.warping_error_at_rest);
    synthetic.save_weights(weights, {{"data", "waves"}});

    ToyTrainer second(videos(40, 2), with([](auto& c) {
                          photometric(c);
                          c.iterations = 400;
                          c.batch = 4;
                          c.learning_rate = 1e-3;
                          c.average_decay = 0.9;
                      }));
    second.start_from(read_safetensors(weights));
    const FlowQuality before = second.validate(held_out, 32);
    EXPECT_EQ(before.warping_error, known.warping_error);
    EXPECT_EQ(before.end_point_error, known.end_point_error);
    run(second, 400);
    const FlowQuality after = second.validate(held_out, 32);
    EXPECT_LT(after.warping_error, 0.85 * before.warping_error);
    EXPECT_LT(after.end_point_error, 0.85 * before.end_point_error);
}

/// All of the network at once, its warps by its own flow among it. Flows are float, so steps are wide and the bound is
/// loose; what lacks a path of the gradient is off by more.
TEST(FlowTrainer, GradientsOfAllParametersAreDifferences) {
    using Tiny = SpyNet<SpyNetConfig{.levels = 2, .kernel_size = 3, .channels = {{4}}}, test::DoubleTape>;
    const int H = 5, W = 7;
    test::Random random(4);
    const auto ref = random.numbers(H * W * 3, 0, 1), supp = random.numbers(H * W * 3, 0, 1);
    const auto target = test::cast<float>(random.numbers(H * W * 2));
    test::DoubleCpu cpu(2, ScratchFill::nan);
    Network<Tiny, test::DoubleCpu> network(cpu);
    for_each_parameter(*network, [&](const std::string&, const auto& p) {
        for (std::ptrdiff_t i = 0; i < p.size && p.is_trained; ++i) p.data[i] = random.number(-0.3, 0.3);
    });
    test::DoubleTape tape(cpu, network.flat(), {.check_writes = true, .fill = ScratchFill::nan});
    const auto loss = [&] {
        tape.restart();
        prepare(tape, *network);
        const auto flow = tape.scratch<float>(H, W, 2);
        std::as_const(*network).forward(tape, {ref.data(), {H, W, 3}}, {supp.data(), {H, W, 3}}, flow);
        return end_point_error(tape, flow, {target.data(), {H, W, 2}}, 1, 0.1);
    };
    loss();
    tape.backward();
    const auto gradient = tape.parameter_gradients();
    const std::ptrdiff_t trained = gradient.size() - 6;  // mean and deviation are last
    test::Numbers expected;
    for (std::ptrdiff_t i = 0; i < trained; ++i) {
        double& x = network.flat()[i];
        const double at = x, step = 1e-4;
        x = at + step;
        const double above = loss();
        x = at - step;
        expected.push_back((above - loss()) / (2 * step));
        x = at;
    }
    test::expect_near(std::vector<double>(gradient.data, gradient.data + trained), expected, 5e-3, "gradient");
    for (int i = 0; i < 6; ++i) EXPECT_EQ(gradient[trained + i], 0);
}

TEST_F(FlowTrainerTest, AResumedRunHasTheBytesOfOneThatNobodyDisturbed) {
    for (const Optimizer optimizer : {Optimizer::adam, Optimizer::muon}) {
        const FlowTrainerConfig c = with([=](auto& c) { c.optimizer = optimizer; });
        const Result whole = run(c, 5);
        {
            ToyTrainer first(photo(60, 64), c);
            run(first, 2);
            first.save(state);
            run(first, 1);  // lost
        }
        ToyTrainer second(photo(60, 64), c);
        second.resume(state);
        EXPECT_EQ(second.iterations_done(), 2);
        EXPECT_EQ(run(second, 3), whole);
    }
}

TEST_F(FlowTrainerTest, ThreadsChangeNoByte) {
    for (const FlowStage stage : {FlowStage::synthetic, FlowStage::photometric}) {
        const auto with_threads = [=](int threads) {
            return with([=](auto& c) {
                c.stage = stage;
                c.batch = 3, c.threads = threads;
            });
        };
        const Result one = run(with_threads(1), 3);
        for (const int threads : {2, 7}) EXPECT_EQ(run(with_threads(threads), 3), one) << threads;
    }
}

TEST_F(FlowTrainerTest, WhatDecidesTheResultDoes) {
    const Result one = run(config(), 2);
    EXPECT_NE(run(with([](auto& c) { c.seed = 2; }), 2), one);
    EXPECT_NE(run(with(photometric), 2), one);
    EXPECT_NE(run(with([](auto& c) { c.largest_gradient = 1e-3; }), 2), one);
    EXPECT_NE(run(with([](auto& c) { c.samples.motion.max_speed = 5; }), 2), one);
}

TEST_F(FlowTrainerTest, BuffersStayAndWeightsSayWhatTheyAre) {
    ToyTrainer trainer(photo(60, 64), config());
    const Result done = run(trainer, 2);
    EXPECT_EQ(std::vector<float>(done.parameters.end() - 6, done.parameters.end()),
              (std::vector<float>{0.485f, 0.456f, 0.406f, 0.229f, 0.224f, 0.225f}));
    trainer.save_weights(weights, {{"data", "waves"}});
    const StateDict file = read_safetensors(weights);
    EXPECT_EQ(file.metadata().at("flow"), "spynet");
    EXPECT_EQ(file.metadata().at("levels"), "3");
    EXPECT_EQ(file.metadata().at("kernel_size"), "3");
    EXPECT_EQ(file.metadata().at("channels"), "16,16");
    EXPECT_EQ(file.metadata().at("data"), "waves");
    Cpu cpu;
    Network<Toy> network(cpu);
    load_parameters(*network, file);
    EXPECT_EQ(numbers(network.flat()), done.average);
    EXPECT_THAT([&] { trainer.start_from(file); }, ThrowsMessage<Error>(HasSubstr("2 iterations are done")));
}

TEST_F(FlowTrainerTest, NaNStopsWithTheLastGoodState) {
    ToyTrainer trainer(photo(60, 64), config());
    run(trainer, 1);
    trainer.save(state);
    trainer.parameters()[0] = std::numeric_limits<float>::quiet_NaN();
    EXPECT_THAT([&] { trainer.step(); },
                ThrowsMessage<Error>(AllOf(HasSubstr("iteration 2 has a loss of nan"),
                                           HasSubstr("The last good state is " + state.string()))));
    EXPECT_EQ(trainer.iterations_done(), 1);
}

TEST_F(FlowTrainerTest, AStateOfAnotherRunIsRefused) {
    ToyTrainer(photo(60, 64), config()).save(state);
    const auto refusal = [&](const FlowTrainerConfig& c) {
        return [&, c] { ToyTrainer(photo(60, 64), c).resume(state); };
    };
    EXPECT_NO_THROW(refusal(config())());
    EXPECT_THAT(refusal(with(photometric)),
                ThrowsMessage<Error>(HasSubstr("begun with 'stage synthetic', and this one has 'stage photometric'")));
    EXPECT_THAT(refusal(with([](auto& c) { c.samples.motion.max_rotation = 0; })),
                ThrowsMessage<Error>(HasSubstr("begun with 'motion 6 ")));
    using Other = FlowTrainer<SpyNet<SpyNetConfig{.levels = 2, .kernel_size = 3, .channels = {{16, 16}}}>>;
    EXPECT_THAT([&] { Other(photo(60, 64), config()).resume(state); },
                ThrowsMessage<Error>(HasSubstr("of a model with levels 3; this one has 2")));
}

TEST_F(FlowTrainerTest, ConfigurationsThatMakeNoSenseAreErrors) {
    const auto expect = [](auto change, std::vector<TrainingClip> clips, const char* words) {
        EXPECT_THAT([&] { ToyTrainer(std::move(clips), with(change)); }, ThrowsMessage<Error>(HasSubstr(words)))
            << words;
    };
    expect([](auto& c) { c.samples.frames = 3; }, photo(60, 64), "samples of 3 frames");
    expect([](auto& c) { c.samples.height = 7; }, photo(60, 64),
           "samples of 16 x 7 LR pixels, the network needs 8 x 8");
    expect([](auto&) {}, videos(1, 3), "video is a clip whose flow nobody knows");
    expect(photometric, videos(1, 1), "video has 1 frames, 2 are needed");
    expect([](auto& c) { c.batch = 0; }, photo(60, 64), "a batch of 0");
}

}  // namespace
}  // namespace mia
