#include "mia/train/trainer.hpp"

#include <gmock/gmock.h>

#include <cmath>
#include <filesystem>
#include <limits>
#include <memory>

#include "mia/models/mia_vsr.hpp"
#include "support/folder_test.hpp"
#include "support/toy_parts.hpp"
#include "train/data/pictures.hpp"

namespace mia {
namespace {

using testing::AllOf;
using testing::HasSubstr;
using testing::ThrowsMessage;

/// With a trained mask, so that noise matters, and two branches.
constexpr MiaVsrConfig toy{.embed_dim = 8,
                           .num_heads = 2,
                           .window = {3, 4, 4},
                           .depths = {{2}},
                           .directions = directions(Direction::backward, Direction::forward),
                           .mid_channels = 4,
                           .scale = 2};
using Toy = MiaVsr<toy, Cpu, test::ToyParts>;
using ToyTrainer = Trainer<Toy>;

std::vector<TrainingClip> clips() {
    std::vector<TrainingClip> all(2);
    all[0].clip = test::noise_clip(4, 40, 48);
    all[1] = {test::smooth_clip(96, 96), 3, true};
    return all;
}

TrainerConfig config() {
    TrainerConfig c;
    c.samples = {.scale = 2, .frames = 3, .height = 10, .width = 8, .motion = {.max_speed = 2, .max_zoom = 1}};
    c.iterations = 8;
    c.batch = 2;
    c.learning_rate = 1e-3;
    c.warm_up = 2;
    c.average_decay = 0.5;
    return c;
}
TrainerConfig with(auto change) {
    TrainerConfig c = config();
    change(c);
    return c;
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
Result run(const TrainerConfig& c, int steps) {
    ToyTrainer trainer(clips(), c);
    return run(trainer, steps);
}

class TrainerTest : public test::FolderTest {
protected:
    std::filesystem::path state = folder / "state.safetensors";
};

TEST_F(TrainerTest, AResumedRunHasTheBytesOfOneThatNobodyDisturbed) {
    for (const Optimizer optimizer : {Optimizer::adam, Optimizer::muon}) {
        const TrainerConfig c = with([=](auto& c) { c.optimizer = optimizer; });
        const Result whole = run(c, 5);
        {
            ToyTrainer first(clips(), c);
            run(first, 2);
            first.save(state);
            run(first, 1);  // lost
        }
        ToyTrainer second(clips(), c);
        second.resume(state);
        EXPECT_EQ(second.iterations_done(), 2);
        EXPECT_EQ(run(second, 3), whole);
    }
}

TEST_F(TrainerTest, ThreadsAndCheckpointsChangeNoByte) {
    const auto with_threads = [](int threads) {
        return with([=](auto& c) {
            c.optimizer = Optimizer::muon;
            c.batch = 3, c.threads = threads;
        });
    };
    const Result one = run(with_threads(1), 3);
    for (const int threads : {2, 3, 7})  // some samples at once, all of them, several threads for each
        EXPECT_EQ(run(with_threads(threads), 3), one) << threads;
    const auto with_checkpoints = with([](auto& c) {
        c.optimizer = Optimizer::muon;
        c.batch = 3, c.checkpoint = true;
    });
    EXPECT_EQ(run(with_checkpoints, 3), one);
}

TEST_F(TrainerTest, WithItsMaskOffAModelIsTrainedAndSavedAsOneWithoutAMask) {
    const TrainerConfig c = with([](auto& c) { c.mask = MaskUse::off; });
    ToyTrainer trainer(clips(), c);
    const auto start = numbers(trainer.parameters());
    run(trainer, 3);
    const auto end = numbers(trainer.parameters());
    const auto path = folder / "weights.safetensors";
    trainer.save_weights(path);
    const StateDict file = read_safetensors(path);
    EXPECT_EQ(file.metadata().at("mask"), "none");

    std::size_t at = 0, masks = 0;
    Cpu cpu;
    Network<Toy> network(cpu);
    for_each_parameter(std::as_const(*network), [&](const std::string& name, const auto& p) {
        const bool is_of_mask = name.find("predmask") != std::string::npos;
        masks += is_of_mask;
        EXPECT_EQ(std::equal(start.begin() + std::ptrdiff_t(at), start.begin() + std::ptrdiff_t(at) + p.size,
                             end.begin() + std::ptrdiff_t(at)),
                  is_of_mask)
            << name;
        EXPECT_EQ(file.find(name) == nullptr, is_of_mask) << name;
        at += std::size_t(p.size);
    });
    EXPECT_EQ(masks, 8u);  // weight and bias, two blocks, two branches

    // The paper's second stage: the mask is trained from these.
    ToyTrainer second(clips(), config());
    second.start_from(file);
    second.step();
    second.save_weights(folder / "masked.safetensors");
    EXPECT_EQ(read_safetensors(folder / "masked.safetensors").metadata().at("mask"), "learned");
}

TEST_F(TrainerTest, ABatchIsTheMeanOfItsSamples) {
    // So large an eps, and no momentum, make a step of Adam the gradient.
    const auto set = [](int batch) {
        return [=](auto& c) {
            c.batch = batch;
            c.threads = 2;
            c.warm_up = 0;
            c.adam = {.beta1 = 0, .eps = 1e3};
            c.learning_rate = c.least_learning_rate = 1e3;
        };
    };
    ToyTrainer whole(clips(), with(set(3))), single(clips(), with(set(1)));
    const auto start = numbers(single.parameters());
    const double loss = whole.step().loss;
    double mean_loss = 0;
    std::vector<double> mean_change(start.size());
    for (int i = 0; i < 3; ++i) {  // sample i of the batch, from the same parameters
        mean_loss += single.step().loss / 3;
        for (std::size_t k = 0; k < start.size(); ++k) {
            float& parameter = single.parameters().data[k];
            mean_change[k] += double(parameter - start[k]) / 3;
            parameter = start[k];
        }
    }
    EXPECT_NEAR(loss, mean_loss, 1e-9);
    double largest = 0;
    for (std::size_t k = 0; k < start.size(); ++k) {
        largest = std::max(largest, std::abs(mean_change[k]));
        ASSERT_NEAR(whole.parameters()[std::ptrdiff_t(k)] - start[k], mean_change[k], 1e-5) << k;
    }
    EXPECT_GT(largest, 1e-2);
}

TEST_F(TrainerTest, WhatDecidesTheResultDoes) {
    const Result one = run(config(), 3);
    EXPECT_NE(run(with([](auto& c) { c.seed = 2; }), 3), one);
    EXPECT_NE(run(with([](auto& c) { c.drop_path = 0.5f; }), 3), one);
    EXPECT_NE(run(with([](auto& c) { c.sparsity = 1; }), 3), one);
    EXPECT_NE(run(with([](auto& c) { c.loss = PixelLoss::mse; }), 3), one);
    EXPECT_NE(run(with([](auto& c) { c.largest_gradient = 1e-6; }), 3), one);
}

TEST_F(TrainerTest, TheLossFallsAndTheAverageFollows) {
    std::vector<TrainingClip> photo(1);
    photo[0] = {test::smooth_clip(96, 96), 1, true};
    Clip truth = test::smooth_clip(36, 40);
    ToyTrainer trainer(photo, with([](auto& c) {
                           c.iterations = 60;
                           c.learning_rate = 5e-3;
                           c.average_decay = 0.9;
                       }));
    const double quality_before = trainer.validate(truth).psnr_y;
    double first = 0, last = 0;
    for (int i = 0; i < 60; ++i) {
        const TrainingStep step = trainer.step();
        EXPECT_EQ(step.iteration, i + 1);
        EXPECT_GT(step.gradient_norm, 0);
        (i < 5 ? first : last) += i < 5 || i >= 55 ? step.loss / 5 : 0;
    }
    EXPECT_TRUE(trainer.is_done());
    EXPECT_LT(last, 0.7 * first);
    EXPECT_GT(trainer.validate(truth).psnr_y, quality_before + 3);
    EXPECT_THAT([&] { trainer.step(); }, ThrowsMessage<Error>(HasSubstr("all 60 iterations are done")));
}

TEST_F(TrainerTest, TheAverageBeginsWithTheParameters) {
    for (const double mask_start : {0., 0.1}) {
        const Result r = run(with([&](TrainerConfig& c) { c.mask_start = mask_start; }), 0);
        EXPECT_EQ(r.average, r.parameters) << mask_start;
    }
}

TEST_F(TrainerTest, TheLearningRateFollowsTheSchedule) {
    ToyTrainer trainer(clips(), config());
    const CosineSchedule schedule{1e-3, 1e-7, 8, 2};
    for (int i = 1; i <= 3; ++i) EXPECT_EQ(trainer.step().learning_rate, schedule.at(i)) << i;
}

TEST_F(TrainerTest, ValidationIsOfTheAverageOnRoundedFrames) {
    ToyTrainer trainer(clips(), config());
    const Clip truth = test::noise_clip(2, 21, 23);  // odd: cropped to 20 x 22
    const double before = trainer.validate(truth).psnr_y;
    trainer.parameters()[0] += 1;
    EXPECT_EQ(trainer.validate(truth).psnr_y, before);

    Cpu cpu;
    Network<Toy> model(cpu);
    std::copy_n(trainer.average().data, trainer.average().size(), model.flat().data);
    prepare(cpu, *model);
    Tensor<float, 4> hr(2, 20, 22, 3), lr(2, 10, 11, 3), out(2, 20, 22, 3);
    double expected = 0;
    for (int t = 0; t < 2; ++t) {
        copy_region(truth.view()[t], {0, 0, 20, 22}, hr.view()[t]);
        imresize_8_bit(hr.view()[t], lr.view()[t]);
    }
    model->forward(cpu, lr, out);
    for (int t = 0; t < 2; ++t) {
        for (std::ptrdiff_t i = 0; i < out.view()[t].size(); ++i) {
            float& x = out.view()[t].data[i];
            x = std::nearbyint(std::clamp(x, 0.f, 1.f) * 255) / 255;
        }
        expected += psnr(out.view()[t], hr.view()[t], Channels::y) / 2;
    }
    EXPECT_NEAR(before, expected, 1e-9);
}

TEST_F(TrainerTest, NaNIsReportedWithWhereAndTheLastGoodState) {
    ToyTrainer trainer(clips(), config());
    run(trainer, 1);
    trainer.parameters()[0] = std::numeric_limits<float>::quiet_NaN();
    EXPECT_THAT([&] { trainer.step(); }, ThrowsMessage<Error>(AllOf(HasSubstr("iteration 2 has a loss of nan"),
                                                                    HasSubstr("Nothing was saved before"))));
}

TEST_F(TrainerTest, AnInfiniteGradientNamesItsModuleAndChangesNothing) {
    ToyTrainer trainer(clips(), with([](auto& c) { c.loss = PixelLoss::mse; }));
    run(trainer, 1);
    trainer.save(state);
    // The loss is finite, in double, and so is the gradient of the last convolution; what flows back from it is not.
    Cpu cpu;
    const Network<Toy> shapes(cpu);
    float* next = trainer.parameters().data;
    for_each_parameter(*shapes, [&](const std::string& name, const auto& p) {
        if (name == "upconv1.weight") std::fill_n(next, p.size, 1e22f);
        next += p.size;
    });
    const auto before = numbers(trainer.parameters()), average = numbers(trainer.average());
    EXPECT_THAT([&] { trainer.step(); },
                ThrowsMessage<Error>(AllOf(HasSubstr("iteration 2"),
                                           HasSubstr("nearest to the loss those of "
                                                     "conv_before_upsample"),
                                           HasSubstr("The last good state is " + state.string()))));
    EXPECT_EQ(numbers(trainer.parameters()), before);
    EXPECT_EQ(numbers(trainer.average()), average);
    EXPECT_EQ(trainer.iterations_done(), 1);
}

TEST_F(TrainerTest, AStateOfAnotherRunIsRefused) {
    ToyTrainer(clips(), config()).save(state);
    const auto refusal = [&](const TrainerConfig& c, std::vector<TrainingClip> data) {
        ToyTrainer trainer(std::move(data), c);
        try {
            trainer.resume(state);
        } catch (const Error& error) {
            return std::string(error.what());
        }
        return std::string("no error");
    };
    EXPECT_EQ(refusal(config(), clips()), "no error");
    EXPECT_EQ(refusal(with([](auto& c) { c.threads = 2; }), clips()), "no error");
    EXPECT_THAT(refusal(with([](auto& c) { c.batch = 3; }), clips()),
                HasSubstr("begun with 'batch 2', and this one has 'batch 3'"));
    EXPECT_THAT(refusal(with([](auto& c) { c.seed = 3; }), clips()), HasSubstr("and this one has 'seed 3'"));
    auto fewer = clips();
    fewer.pop_back();
    EXPECT_THAT(refusal(config(), fewer), HasSubstr("and this one has nothing more"));
}

TEST_F(TrainerTest, SavedWeightsRunAndStartAnotherRun) {
    ToyTrainer trainer(clips(), config());
    const Result done = run(trainer, 2);
    const auto path = folder / "weights.safetensors";
    trainer.save_weights(path, {{"data", "noise"}});
    const StateDict file = read_safetensors(path);
    EXPECT_EQ(file.metadata().at("data"), "noise");
    EXPECT_EQ(file.metadata().at("embed_dim"), "8");

    ToyTrainer next(clips(), config());
    next.start_from(file);
    EXPECT_EQ(numbers(next.parameters()), done.average);
    EXPECT_EQ(numbers(next.average()), done.average);
    next.step();
    EXPECT_THAT([&] { next.start_from(file); }, ThrowsMessage<Error>(HasSubstr("1 iterations are done")));
}

TEST_F(TrainerTest, ConfigurationsThatMakeNoSenseAreErrors) {
    const auto expect = [](auto change, const char* words) {
        EXPECT_THAT([&] { ToyTrainer(clips(), with(change)); }, ThrowsMessage<Error>(HasSubstr(words))) << words;
    };
    expect([](auto& c) { c.batch = 0; }, "a batch of 0");
    expect([](auto& c) { c.warm_up = 8; }, "8 of them for warm-up");
    expect([](auto& c) { c.learning_rate = 0; }, "a learning rate from 0");
    expect([](auto& c) { c.adam.weight_decay = 0.1; }, "a weight decay of 0.1");
    expect([](auto& c) { c.adam.beta1 = 1; }, "betas 1,");
    expect([](auto& c) { c.drop_path = 1; }, "drop path 1");
    expect([](auto& c) { c.samples.scale = 4; }, "samples of scale 4 for a model of scale 2");
    expect([](auto& c) { c.average_decay = 1; }, "a decay of 1");
    expect([](auto& c) { c.samples.frames = 9; }, "9 are needed");
}

}  // namespace
}  // namespace mia
