// Training on Cuda against the same on Cpu, whose gradients are held against central differences (vjp/).
#include <gmock/gmock.h>

#include "mia/models/mia_vsr.hpp"
#include "mia/train/cuda.cuh"
#include "mia/train/trainer.hpp"
#include "support/backends.hpp"
#include "support/folder_test.hpp"
#include "support/random_model.hpp"
#include "train/data/pictures.hpp"
#ifdef MIA_TEST_CUDA_EMULATED
#include "kernel_test.hpp"
#endif

namespace mia {
namespace {

using test::Numbers;

constexpr double rounding = 2e-5;  // of sums of up to some hundred terms of size 1

/// What an op's vjp finds again: it outlives the backward pass.
template <class B>
struct Weights {
    PackedLinear<Tape<B>> linear, second_linear;
    PackedConv2d<Tape<B>> conv2d;
    PackedPositionBias<Tape<B>> bias;
};

/// The inputs of an op under test, in the tape's memory.
struct Inputs {
    std::vector<View<float, 1>> variables;
    template <class... I>
    View<const float, int(sizeof...(I))> operator()(std::size_t i, I... extents) const {
        return View<const float, 1>(variables[i]).reshape(extents...);
    }
};

/// The result of run(tape, in, weights) and the inputs' gradients of sum(numbers * result).
template <class B, class Run>
std::vector<std::vector<float>> play(const std::vector<Numbers>& inputs, Run& run) {
    B backend = test::make_backend<B>();
    Weights<B> weights;
    Tape<B> tape(backend, {}, {.drop_path = 0.3f, .check_writes = true});
    Inputs in;
    for (const Numbers& numbers : inputs) {
        const auto values = test::cast<float>(numbers);
        in.variables.push_back(tape.variable(View<const float, 1>{values.data(), {int(values.size())}}));
    }
    std::vector<std::vector<float>> found(1);
    for (int pass = 0; pass < 2; ++pass) {  // the second time a vjp adds to what the first has left
        const auto y = run(tape, in, weights);
        const int size = int(y.size());
        auto target = test::values_of(backend, y);
        found[0].insert(found[0].end(), target.begin(), target.end());
        const auto numbers = test::Random(99).numbers(size);
        for (std::size_t i = 0; i < target.size(); ++i) target[i] -= float(numbers[i]);
        // The gradient of mse_loss is 2 / size * numbers.
        mse_loss(tape, y.reshape(size), tape.variable(View<const float, 1>{target.data(), {size}}), size / 2.0);
    }
    tape.backward();
    for (const auto& variable : in.variables) found.push_back(test::values_of(backend, tape.gradient_of(variable)));
    return found;
}

template <class Run>
void check_on_cuda(const std::vector<Numbers>& inputs, Run run) {
    const auto actual = play<Cuda>(inputs, run), expected = play<Cpu>(inputs, run);
    for (std::size_t i = 0; i < expected.size(); ++i)
        test::expect_near(actual[i], Numbers(expected[i].begin(), expected[i].end()), rounding,
                          i == 0 ? "result" : "gradient of input " + std::to_string(i - 1));
}

struct LinearCase {
    int rows, in, out;
    Activation activation;
    bool residual;
    float scale;
};
TEST(TapeOnCuda, Linear) {
    test::Random random(1);
    for (const auto& c : {LinearCase{7, 3, 5, Activation::none, true, 1},
                          {261, 3, 2, Activation::none, false, 0.5f},  // more than one piece of rows
                          {5, 67, 66, Activation::gelu, false, 1},     // more than one tile
                          {6, 5, 9, Activation::leaky_relu, false, 1},
                          {4, 3, 6, Activation::relu, true, 1}})
        check_on_cuda({random.numbers(c.rows * c.in), random.numbers(c.out * c.in), random.numbers(c.out),
                       random.numbers(c.rows * c.out)},
                      [&](auto& tape, const Inputs& in, auto& weights) {
                          pack_linear(tape, in(1, c.out, c.in), in(2, c.out), c.scale, weights.linear);
                          const auto y = tape.scratch(c.rows, c.out);
                          linear(tape, in(0, c.rows, c.in), weights.linear, y, c.activation,
                                 c.residual ? in(3, c.rows, c.out) : View<const float, 2>{});
                          return y;
                      });
}

struct ConvolutionCase {
    int height, width, in, out, kernel;
    Activation activation;
    bool residual;
};
TEST(TapeOnCuda, Conv2d) {
    test::Random random(2);
    for (const auto& c : {ConvolutionCase{5, 7, 3, 4, 3, Activation::none, true},
                          {4, 3, 8, 3, 3, Activation::leaky_relu, false},
                          {9, 31, 2, 2, 1, Activation::none, false}})
        check_on_cuda({random.numbers(c.height * c.width * c.in), random.numbers(c.out * c.in * c.kernel * c.kernel),
                       random.numbers(c.out), random.numbers(c.height * c.width * c.out)},
                      [&](auto& tape, const Inputs& in, auto& weights) {
                          pack_conv2d(tape, in(1, c.out, c.in, c.kernel, c.kernel), in(2, c.out), weights.conv2d);
                          const auto y = tape.scratch(c.height, c.width, c.out);
                          conv2d(tape, in(0, c.height, c.width, c.in), weights.conv2d, y, c.activation,
                                 c.residual ? in(3, c.height, c.width, c.out) : View<const float, 3>{});
                          return y;
                      });
}

TEST(TapeOnCuda, LayerNorm) {
    test::Random random(3);
    for (const auto& [rows, C] : {std::pair(1, 3), {5, 45}, {67, 6}})
        check_on_cuda({random.numbers(rows * C), random.numbers(C), random.numbers(C)},
                      [rows = rows, C = C](auto& tape, const Inputs& in, auto&) {
                          const auto y = tape.scratch(rows, C);
                          layer_norm(tape, in(0, rows, C), in(1, C), in(2, C), y);
                          return y;
                      });
}

TEST(TapeOnCuda, Elementwise) {
    test::Random random(4);
    const float constants[] = {0.25f, 0.5f, 2};
    check_on_cuda({random.numbers(5 * 3), random.numbers(5 * 3), random.numbers(5 * 2)},
                  [&](auto& tape, const Inputs& in, auto&) {
                      const auto a = in(0, 5, 3), b = in(1, 5, 3);
                      const auto active = tape.scratch(5, 3), sum = tape.scratch(5, 3), copied = tape.scratch(5, 3);
                      activate(tape, a, Activation::gelu, active);
                      add(tape, active, drop_path(tape, b, 1), sum);
                      copy(tape, sum, copied);
                      const auto normal = tape.scratch(5, 3), other = tape.scratch(5, 3);
                      const auto mean = tape.scratch(3), deviation = tape.scratch(3);
                      for (const auto& constant : {mean, deviation})
                          upload(tape.backend(), View<const float, 1>{constants, {3}}, constant);
                      synchronize(tape.backend());
                      normalize_channels(tape, copied, mean, deviation, normal);
                      convert(tape, View<const float, 2>(normal), other);
                      const auto y = tape.scratch(5, 8);
                      concat_channels(tape, other, in(2, 5, 2), b, y);
                      return y;
                  });
}

TEST(TapeOnCuda, Images) {
    test::Random random(5);
    check_on_cuda({random.numbers(3 * 5 * 8), random.numbers(6 * 10 * 2), random.numbers(2 * 3 * 3)},
                  [&](auto& tape, const Inputs& in, auto&) {
                      const auto up = tape.scratch(6, 10, 2), padded = tape.scratch(9, 12, 2);
                      pixel_shuffle(tape, in(0, 3, 5, 8), 2, up, Activation::leaky_relu, in(1, 6, 10, 2));
                      pad_replicate(tape, up, padded);
                      const auto cropped = tape.scratch(8, 6, 2), pooled = tape.scratch(4, 3, 2);
                      crop_image(tape, padded, cropped);
                      avg_pool2d(tape, cropped, 2, pooled);
                      const auto y = tape.scratch(7, 11, 2), half = tape.scratch(7, 11, 2);
                      resize_bilinear(tape, pooled, Corners::apart, y, {2, -3});
                      resize_bilinear(tape, up, Corners::aligned, half);
                      const auto sum = tape.scratch(7, 11, 2);
                      add(tape, rows_of(y), rows_of(half), rows_of(sum));
                      return sum;
                  });
}

const WindowGrid grids[] = {{5, 7, {3, 4, 4}, Shift::half_window}, {3, 5, {3, 2, 3}, Shift::none}};

TEST(TapeOnCuda, RowsAndWindows) {
    test::Random random(6);
    for (const auto& grid : grids) {
        const int P = grid.pixels(), H = grid.height, W = grid.width;
        check_on_cuda({random.numbers(2 * P * 3), random.numbers(P * 3)}, [&](auto& tape, const Inputs& in, auto&) {
            auto rows = make_active_rows(tape, grid, 2);
            select_rows(tape, grid, 2, {}, rows);
            const auto gathered = tape.scratch(2 * P, 3), twice = tape.scratch(2 * P, 3);
            gather_rows(tape, in(0, 2 * P, 3), rows, gathered);
            gather_rows(tape, gathered, rows, twice);  // a permutation that is not its own inverse
            const auto scattered = tape.scratch(2 * P, 3);
            scatter_rows(tape, twice, rows, scattered);
            const auto y = tape.scratch(grid.windows(), 3, grid.window.tokens(), 3);
            gather_windows(tape, grid, rows, scattered.reshape(2, H, W, 3), in(1, 1, H, W, 3), y);
            return y;
        });
    }
}

struct AttentionCase {
    WindowGrid grid;
    WindowFrames frames;
    int heads, head_width;
};
/// With both maps, so that the composition is held against the Cpu's own op.
TEST(TapeOnCuda, ProjectedAttention) {
    test::Random random(7);
    for (const auto& c : {AttentionCase{grids[0], {3, 1}, 2, 5},
                          {grids[1], {3, 2}, 1, 20},
                          {{2, 2, {1, 2, 2}}, {1, 1}, 1, 40},
                          {{6, 6, {2, 6, 6}}, {2, 2}, 1, 2}}) {  // more queries than a tile has
        const int C = c.heads * c.head_width, H = c.grid.height, W = c.grid.width, tokens = c.frames.queries * H * W;
        const int before = c.frames.keys - c.frames.queries;
        const int offsets = bias_rows_in_time(c.frames) * c.grid.window.offsets();
        check_on_cuda(
            {random.numbers(before * H * W * C), random.numbers(tokens * C), random.numbers(C * C), random.numbers(C),
             random.numbers(2 * C * C), random.numbers(2 * C), random.numbers(offsets * c.heads)},
            [&](auto& tape, const Inputs& in, auto& weights) {
                auto rows = make_active_rows(tape, c.grid, c.frames.queries);
                select_rows(tape, c.grid, c.frames.queries, {}, rows);
                pack_linear(tape, in(2, C, C), in(3, C), 0.3f, weights.linear);
                pack_linear(tape, in(4, 2 * C, C), in(5, 2 * C), 1.0f, weights.second_linear);
                pack_position_bias(tape, in(6, offsets, c.heads), c.grid.window, c.frames, weights.bias);
                const auto y = tape.scratch(tokens, C);
                projected_attention(
                    tape, c.grid, rows, c.frames, c.heads, before > 0 ? in(0, before, H, W, C) : View<const float, 4>{},
                    in(1, c.frames.queries, H, W, C), weights.linear, weights.second_linear, weights.bias, y);
                return y;
            });
    }
}

/// Some pixels are read often, some never, some reads lie outside.
TEST(TapeOnCuda, Warps) {
    test::Random random(8);
    for (const auto& [H, W] : {std::pair(8, 6), {1, 3}})
        for (const int factor : {1, 2, 4}) {
            const int C = 2 * factor * factor;
            check_on_cuda({random.numbers(H * W * C), random.numbers(H * W * 2, -3, 3)},
                          [&, H = H, W = W](auto& tape, const Inputs& in, auto&) {
                              const auto y = tape.scratch(H, W, C);
                              subpixel_align(tape, in(0, H, W, C), in(1, H, W, 2), factor, y);
                              return y;
                          });
        }
    const int H = 9, W = 7;
    for (const auto padding : {Padding::zeros, Padding::border})
        check_on_cuda({random.numbers(H * W * 3), random.numbers(H * W * 2, -4, 4)},
                      [&](auto& tape, const Inputs& in, auto&) {
                          const auto y = tape.scratch(H, W, 3);
                          flow_warp(tape, in(0, H, W, 3), in(1, H, W, 2), padding, y);
                          return y;
                      });
    check_on_cuda({random.numbers(H * W * 3), random.numbers(H * W * 2, -4, 4)},
                  [&](auto& tape, const Inputs& in, auto&) {
                      const auto y = tape.scratch(H, W, 3), flow = tape.scratch(H, W, 2);
                      add_flows(tape, in(1, H, W, 2), in(1, H, W, 2), flow);
                      patch_align(tape, in(0, H, W, 3), flow, y);
                      return y;
                  });
}

#ifdef MIA_TEST_CUDA_EMULATED
/// Threads find the readers of a pixel in any order, and sum what they get in one.
TEST(TapeOnCuda, GradientsHaveTheSameBytesInAnyOrderOfThreads) {
    test::Random random(10);
    const std::vector<Numbers> inputs = {random.numbers(9 * 8 * 4), random.numbers(9 * 8 * 2, -2, 2)};
    auto run = [](auto& tape, const Inputs& in, auto&) {
        const auto y = tape.scratch(9, 8, 4);
        subpixel_align(tape, in(0, 9, 8, 4), in(1, 9, 8, 2), 2, y);
        return y;
    };
    const auto first = play<Cuda>(inputs, run);
    for (const unsigned seed : {7u, 8u}) {
        cuda_emulation::set_schedule_seed(seed);
        EXPECT_TRUE(test::same_bytes(play<Cuda>(inputs, run)[1], first[1])) << seed;
    }
    cuda_emulation::set_schedule_seed(cuda_emulation::seed_of_this_run());
}
#endif

TEST(TapeOnCuda, LossesAndTheirSlopes) {
    const int H = 5, W = 6;
    test::Random random(9);
    const std::vector<Numbers> inputs = {random.numbers(H * W * 2), random.numbers(H * W * 2),
                                         random.numbers(H * W * 3), random.numbers(H * W * 3)};
    const auto losses = [&]<class B>(B backend) {
        Tape<B> tape(backend);
        Inputs in;
        for (const Numbers& numbers : inputs) {
            const auto values = test::cast<float>(numbers);
            in.variables.push_back(tape.variable(View<const float, 1>{values.data(), {int(values.size())}}));
        }
        const auto a = in(0, H, W, 2), b = in(1, H, W, 2), ref = in(2, H, W, 3), supp = in(3, H, W, 3);
        std::vector<float> found = {float(charbonnier_loss(tape, a, b, 2)), float(l1_loss(tape, a, b)),
                                    float(mse_loss(tape, a, b, 0.5)), float(end_point_error(tape, a, b, 1.5)),
                                    float(photometric_loss(tape, ref, supp, a))};
        tape.backward();
        for (const auto& variable : in.variables)
            for (const float g : test::values_of(backend, tape.gradient_of(variable))) found.push_back(g);
        return found;
    };
    const auto expected = losses(test::make_backend<Cpu>());
    test::expect_near(losses(test::make_backend<Cuda>()), Numbers(expected.begin(), expected.end()), rounding, "");
}

/// Matrices that are wide, tall and all zero, and what lies between them.
TEST(TapeOnCuda, Muon) {
    test::Random random(11);
    const std::vector<WeightMatrix> matrices = {{3, 5, 17}, {90, 19, 4}, {166, 2, 2}};
    auto gradients = test::cast<float>(random.numbers(175));
    std::fill(gradients.begin() + 166, gradients.begin() + 170, 0.0f);
    const auto start = test::cast<float>(random.numbers(175));
    const auto moved = [&]<class B>(B backend) {
        auto parameters = test::place<1>(backend, start, {175});
        const auto g = test::place<1>(backend, gradients, {175});
        Muon<float, B> muon(backend, 175, matrices);
        for (int i = 0; i < 2; ++i) muon.step(backend, parameters, g, 0.1);
        return parameters.values();
    };
    const auto expected = moved(test::make_backend<Cpu>());
    test::expect_near(moved(test::make_backend<Cuda>()), Numbers(expected.begin(), expected.end()), rounding, "");
}

/// A model of the default kind, its parameters after some steps, and the losses.
constexpr MiaVsrConfig toy{.embed_dim = 16,
                           .num_heads = 2,
                           .window = {2, 4, 4},
                           .depths = {{2}},
                           .directions = directions(Direction::backward),
                           .fusion = Fusion::linear,
                           .mid_channels = 4};
template <class B>
std::vector<float> trained() {
    using Model = MiaVsr<toy, Tape<B>, LiteParts>;
    B backend = test::make_backend<B>();
    Network<Model, B> model(backend);
    model.on_host(backend, [](Model& m) { test::randomize(m); });
    Tape<B> tape(backend, model.flat(), {.drop_path = 0.2f, .checkpoint = true});
    Adam<float, B> adam(backend, model.flat().size(), {.eps = 1e-2});  // so that a gradient of nearly 0 has no sign
    MovingAverage<float, B> average(backend, model.flat(), 0.5);
    const auto clip = test::place(backend, test::random_clip(2, 8, 9));
    const auto target = test::place(backend, test::random_clip(2, 32, 36, 11));
    std::vector<float> found;
    for (int step = 0; step < 2; ++step) {
        tape.restart();
        tape.zero_gradients();
        prepare(tape, *model);
        const auto out = tape.scratch(2, 32, 36, 3);
        model->forward(tape, clip.view(), out);
        double loss = charbonnier_loss(tape, out, target.view(), 1, 1e-3);
        loss += sparsity_loss(tape, 0.1);
        tape.backward();
        found.push_back(float(loss));
        found.push_back(float(tape.mask_share().mean()));
        found.push_back(float(clip_norm(backend, tape.parameter_gradients(), 0.5)));
        for (const float g : test::values_of(backend, tape.parameter_gradients())) found.push_back(g);
        adam.step(backend, model.flat(), tape.parameter_gradients(), 1e-2);
        average.update(backend, model.flat());
    }
    for (const auto& parameters : {model.flat(), average.parameters()})
        for (const float p : test::values_of(backend, parameters)) found.push_back(p);
    return found;
}
/// With its mask, drop path, and blocks that are computed again.
TEST(TapeOnCuda, AModelTrains) {
    const auto expected = trained<Cpu>();
    EXPECT_GT(expected[1], 0.2f);  // the mask's share
    EXPECT_LT(expected[1], 0.8f);
    EXPECT_GT(expected[2], 0.5f) << "clipped";
    test::expect_near(trained<Cuda>(), Numbers(expected.begin(), expected.end()), rounding, "");
}

#ifdef MIA_TEST_CUDA_EMULATED
TEST(TapeOnCuda, AFurtherStepAllocatesNothingAndWaitsForItsLossAlone) {
    using Model = MiaVsr<toy, Tape<Cuda>, LiteParts>;
    Cuda cuda;
    Network<Model, Cuda> model(cuda);
    set_mask_use(*model, MaskUse::off);
    Tape<Cuda> tape(cuda, model.flat(), {.drop_path = 0.2f});
    Muon<float, Cuda> muon(cuda, model.flat().size(), weight_matrices(*model));
    const auto clip = test::place(cuda, test::random_clip(1, 8, 8));
    const auto target = test::place(cuda, test::random_clip(1, 32, 32, 11));
    cuda_emulation::Statistics before{}, after = cuda_emulation::statistics();
    for (int step = 0; step < 3; ++step) {
        before = after;
        tape.restart();
        tape.zero_gradients();
        prepare(tape, *model);
        const auto out = tape.scratch(1, 32, 32, 3);
        model->forward(tape, clip.view(), out);
        charbonnier_loss(tape, out, target.view());
        tape.backward();
        muon.step(cuda, model.flat(), tape.parameter_gradients(), 1e-3);
        after = cuda_emulation::statistics();
    }
    EXPECT_EQ(after.allocations, before.allocations);
    EXPECT_EQ(after.synchronisations, before.synchronisations + 1);
    synchronize(cuda);
}
#endif

class TrainerOnCuda : public test::FolderTest {
protected:
#ifdef MIA_TEST_CUDA_EMULATED
    void SetUp() override {
        if (cuda_emulation::seed_of_this_run() != 0) GTEST_SKIP() << "kernels' orders are for the tests above";
    }
#endif
    template <class B>
    using Toy = Trainer<MiaVsr<toy, B, LiteParts>>;

    static TrainerConfig config() {
        TrainerConfig c;
        c.samples = {.scale = 4, .frames = 2, .height = 5, .width = 6, .motion = {.max_speed = 2, .max_zoom = 1}};
        c.iterations = 5;
        c.batch = 1;
        c.learning_rate = 1e-2;
        c.adam.eps = 1e-2;  // so that a gradient of nearly 0 has no sign
        c.average_decay = 0.5;
        c.largest_gradient = 0.5;
        c.sparsity = 0.1;
        return c;
    }
    template <class B>
    static Toy<B> trainer(const TrainerConfig& c = config()) {
        return {{{test::smooth_clip(64, 64), 1, true}}, c};
    }
    /// What some steps leave: parameters, average.
    template <class B>
    static std::vector<float> run(Toy<B>& trainer, int steps, std::vector<double>* losses = nullptr) {
        for (int i = 0; i < steps; ++i) {
            const double loss = trainer.step().loss;
            if (losses) losses->push_back(loss);
        }
        auto found = test::values_of(trainer.backend(), trainer.parameters());
        for (const float x : test::values_of(trainer.backend(), trainer.average())) found.push_back(x);
        return found;
    }
};

TEST_F(TrainerOnCuda, DoesWhatItDoesOnCpu) {
    auto on_cpu = trainer<Cpu>();
    auto on_cuda = trainer<Cuda>();
    std::vector<double> losses, expected_losses;
    const auto expected = run(on_cpu, 5, &expected_losses);
    test::expect_near(run(on_cuda, 5, &losses), Numbers(expected.begin(), expected.end()), rounding, "parameters");
    for (std::size_t i = 0; i < losses.size(); ++i) EXPECT_NEAR(losses[i], expected_losses[i], rounding) << i;
    EXPECT_LT(losses.back(), 0.8 * losses.front());

    const Clip truth = test::smooth_clip(22, 33);
    const double quality = on_cuda.validate(truth).psnr_y;
    EXPECT_NEAR(quality, on_cpu.validate(truth).psnr_y, 1e-2);  // a sample rounded otherwise
    on_cuda.save_weights(folder / "weights.safetensors");
    auto next = trainer<Cpu>();
    next.start_from(read_safetensors(folder / "weights.safetensors"));
    EXPECT_NEAR(quality, next.validate(truth).psnr_y, 1e-2);
}

TEST_F(TrainerOnCuda, AResumedRunHasTheBytesOfOneThatNobodyDisturbed) {
    TrainerConfig c = config();
    c.optimizer = Optimizer::muon;
    const auto state = folder / "state.safetensors";
    auto whole = trainer<Cuda>(c);
    run(whole, 1);
    whole.save(state);
    const auto expected = run(whole, 1);
    auto second = trainer<Cuda>(c);
    second.resume(state);
    EXPECT_TRUE(test::same_bytes(run(second, 1), expected));
    EXPECT_THAT([&] { trainer<Cpu>(c).resume(state); },
                testing::ThrowsMessage<Error>(testing::HasSubstr("begun with 'device cuda'")));
}

TEST_F(TrainerOnCuda, NaNIsReported) {
    auto spoilt = trainer<Cuda>();
    const float nan = std::numeric_limits<float>::quiet_NaN();
    upload(spoilt.backend(), View<const float, 1>{&nan, {1}}, spoilt.parameters().slice(0, 1));
    EXPECT_THAT([&] { spoilt.step(); }, testing::ThrowsMessage<Error>(testing::HasSubstr("iteration 1 has a loss of")));
}

}  // namespace
}  // namespace mia
