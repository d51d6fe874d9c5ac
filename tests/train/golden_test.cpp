// Losses and gradients against those of the official PyTorch implementation (tests/goldens/README.md).
#include "support/golden.hpp"

#include "mia/io/load_parameters.hpp"
#include "mia/models/mia_vsr.hpp"
#include "mia/train/losses.hpp"

namespace mia {
namespace {

using test::Array;
using test::Errors;
using test::Golden;

// Ten times what an independent float implementation reaches.
constexpr double block_rounding = 1.2e-5, model_rounding = 5.3e-5, cancelled_rounding = 1.3e-4, loss_rounding = 2e-6;

/// Gives out what a golden's run has drawn, in order.
struct Drawn {
    std::vector<float> numbers;
    void add(const Array& a, int first, int count) {
        numbers.insert(numbers.end(), a.data.begin() + first, a.data.begin() + first + count);
    }
    Uniform uniform() {
        return [this, at = std::size_t(0)](std::span<float> to) mutable {
            ASSERT_LE(at + to.size(), numbers.size());
            std::copy_n(numbers.begin() + std::ptrdiff_t(at), to.size(), to.begin());
            at += to.size();
        };
    }
};

template <class M, class Backend>
void compare_gradients(Errors& errors, const Golden& golden, const M& module, Tape<Backend>& tape,
                       const std::string& prefix, double scale, double bound) {
    const typename Backend::Scalar* gradient = tape.parameter_gradients().data;
    for_each_parameter(module, [&](const std::string& name, const auto& p) {
        if (golden.has(prefix + name)) {
            std::vector<double> actual(gradient, gradient + p.size);
            for (double& g : actual) g *= scale;
            const bool cancels = name.ends_with("predmask.rnn.bias");
            errors.compare(prefix + name, actual.data(), golden(prefix + name).data,
                           cancels ? cancelled_rounding : bound);
        }
        gradient += p.size;
    });
}

using TrainedBlock = MaskedBlock<BlockConfig{.attention = {16, 2, {3, 8, 8}, true}}, Tape<Cpu>, InterFrameAttention>;

/// The samples of a batch one after the other, each with its own State.
void run_block_golden(const std::string& file, Shift shift) {
    constexpr int frames = 3, C = 16;
    const Golden golden(file);
    const auto target = golden("target");  // (T, B, H, W, C)
    const int samples = target.extent(1), H = target.extent(2), W = target.extent(3), size = H * W * C;
    const int tokens = WindowGrid{H, W, {3, 8, 8}, shift}.windows() * 64;
    Drawn drawn;
    for (int b = 0; b < samples; ++b)
        for (const char* step : {"t1.", "t2."})
            for (const char* u : {"U1", "U2"}) drawn.add(golden(std::string(step) + u), b * tokens, tokens);

    Cpu cpu(2, ScratchFill::nan);
    Network<TrainedBlock, Cpu> block(cpu);
    load_parameters(*block, golden.file(), {.prefix = "param."});
    Tape<Cpu> tape(cpu, block.flat(), {.check_writes = true, .fill = ScratchFill::nan}, drawn.uniform());
    prepare(tape, *block);
    Errors errors(file);
    double pixels = 0;
    struct Variables {
        std::string name;
        int sample;
        View<float, 4> x, cond;
    };
    std::vector<Variables> variables;
    for (int b = 0; b < samples; ++b) {
        TrainedBlock::State state;
        for (int t = 0; t < frames; ++t) {
            const auto name = "t" + std::to_string(t);
            const auto x = golden(name + ".x"), cond = golden(name + ".cond"), out = golden(name + ".out");
            const auto x_in = tape.variable(View<const float, 4>{x.data.data() + b * size, {1, H, W, C}});
            const auto cond_in = tape.variable(View<const float, 4>{cond.data.data() + 2 * b * size, {2, H, W, C}});
            const auto y = tape.scratch(1, H, W, C);
            block->forward(tape, shift, x_in, cond_in, t == 0 ? Reuse::start : Reuse::masked, state, y);
            errors.compare(name + ".out", y.data,
                           {&out.data[std::size_t(b * size)], &out.data[std::size_t(b * size)] + size}, block_rounding);
            const float* wanted = target.data.data() + (t * samples + b) * size;
            pixels += charbonnier_loss(tape, y, View<const float, 4>{wanted, {1, H, W, C}}, 1.0 / (frames * samples));
            variables.push_back({name, b, x_in, cond_in});
        }
    }
    const double sparsity = sparsity_loss(tape);
    const auto expect_loss = [&](double actual, const char* name) {
        EXPECT_NEAR(actual, golden(name).data[0], loss_rounding * golden(name).data[0]) << name;
    };
    expect_loss(pixels, "loss_pix");
    expect_loss(sparsity, "loss_spa");
    expect_loss(pixels + sparsity, "loss_total");
    tape.backward();
    compare_gradients(errors, golden, *block, tape, "grad.", 1, block_rounding);
    for (const auto& v : variables) {
        const auto d_x = golden(v.name + ".grad_x"), d_cond = golden(v.name + ".grad_cond");
        const auto part = [&](const Array& a, int count) {
            return std::vector<float>(a.data.begin() + v.sample * count, a.data.begin() + (v.sample + 1) * count);
        };
        errors.compare(v.name + ".grad_x", tape.gradient_of(v.x).data, part(d_x, size), block_rounding);
        errors.compare(v.name + ".grad_cond", tape.gradient_of(v.cond).data, part(d_cond, 2 * size), block_rounding);
    }
}

TEST(TrainGolden, BlockWithoutShift) { run_block_golden("train_block_noshift", Shift::none); }
TEST(TrainGolden, BlockWithShift) { run_block_golden("train_block_shift", Shift::half_window); }

struct GivenFlowParts : PublishedParts {
    template <class B>
    using Flow = GivenFlow<B>;
};
constexpr MiaVsrConfig toy{.embed_dim = 12, .num_heads = 2, .depths = {{2}}, .mid_channels = 8};

/// (T, C, H, W), after an axis of one, as (T, H, W, C).
template <class T = float>
Tensor<T, 4> clip_of(const Array& a) {
    Tensor<T, 4> clip(a.extent(1), a.extent(3), a.extent(4), a.extent(2));
    for (int t = 0; t < a.extent(1); ++t) {
        const auto frame = test::channels_last<T>(a, t);
        std::copy(frame.data(), frame.data() + frame.size(), clip.view()[t].data);
    }
    return clip;
}

Drawn draws_of_model(const Golden& golden) {
    Drawn drawn;
    for (int branch = 0; branch < 4; ++branch)
        for (int step = 0; step < 3; ++step) {
            const auto place = toy.directions.name(branch) + ".step" + std::to_string(step) + ".block";
            for (int block = 0; block < 2; ++block) {
                for (const char* u : {".U1", ".U2"})
                    if (step > 0) drawn.add(golden("noise." + place + std::to_string(block) + u), 0, 256);
                for (const char* part : {"1.attn", "1.mlp"})  // 1 - 0.1 + 0.5 rounds down to 1, 1 - 0.1 to 0
                    if (block == 1) drawn.numbers.push_back(golden("droppath." + place + part).data[0] / 2);
            }
        }
    return drawn;
}

template <class T>
struct ModelRun {
    using Backend = BasicCpu<T>;
    using Model = MiaVsr<toy, Tape<Backend>, GivenFlowParts>;
    Golden golden{"train_e2e"};
    Drawn drawn = draws_of_model(golden);
    Backend cpu;
    Network<Model, Backend> model{cpu};
    Tape<Backend> tape;
    Tensor<T, 4> lqs = clip_of<T>(golden("lqs")), target = clip_of<T>(golden("target"));
    Tensor<float, 4> backward = clip_of(golden("flows_backward")), forward = clip_of(golden("flows_forward"));
    View<T, 4> lqs_in, out;
    View<float, 4> backward_in, forward_in;
    double pixels = 0;

    explicit ModelRun(int threads, bool checkpoint = false)
        : cpu(threads, ScratchFill::nan),
          tape(cpu, model.flat(),
               {.drop_path = 0.1f, .checkpoint = checkpoint, .check_writes = !checkpoint, .fill = ScratchFill::nan},
               drawn.uniform()) {
        load_parameters(*model, golden.file(), {.prefix = "param."});
        prepare(tape, *model);
        lqs_in = tape.variable(lqs.view());
        backward_in = tape.variable(backward.view());
        forward_in = tape.variable(forward.view());
        out = tape.scratch(3, 40, 48, 3);
        typename Model::State state;
        model->forward(tape, lqs_in, ClipFlows{backward_in, forward_in}, out, state);
    }
    void add_pixel_loss() { pixels = charbonnier_loss(tape, out, target.view()); }
    std::vector<T> gradients() {
        const auto g = tape.parameter_gradients();
        return {g.data, g.data + g.size()};
    }
};

// In double: a value that a leaky ReLU sees (conv_hr, frame 1, channel 30) lies 9e-7 from zero, and float sums in
// another order than the golden's may put it on the other side, where gradients differ by some per cent.
TEST(TrainGolden, WholeModel) {
    ModelRun<double> run(2);
    run.add_pixel_loss();
    const double sparsity = sparsity_loss(run.tape);
    Errors errors("train_e2e");
    const Golden& golden = run.golden;
    for (int t = 0; t < 3; ++t) errors.compare_image<double>("out", run.out[t], golden("out"), model_rounding, t);
    EXPECT_NEAR(run.pixels, golden("loss_pix").data[0], loss_rounding * run.pixels);
    EXPECT_NEAR(sparsity, golden("loss_spa").data[0], loss_rounding * sparsity);
    const auto shares = golden("maskloss");  // (branches, steps, blocks), step 0 not counted
    double sum = 0;
    for (int branch = 0; branch < 4; ++branch)
        for (int i = 2; i < 6; ++i) sum += shares.data[std::size_t(branch * 6 + i)];
    EXPECT_EQ(run.tape.mask_share().blocks, 16);
    EXPECT_NEAR(run.tape.mask_share().sum, sum, 1e-5);
    run.tape.backward();
    compare_gradients(errors, golden, *run.model, run.tape, "grad.", 1, model_rounding);
    for (int t = 0; t < 3; ++t)
        errors.compare_image("grad_lqs", run.tape.gradient_of(run.lqs_in[t]), golden("grad_lqs"), model_rounding, t);
    for (const auto& flow : {run.backward_in, run.forward_in})
        for (int i = 0; i < flow.size(); ++i) ASSERT_EQ(run.tape.gradient_of(flow).data[i], 0);
}

TEST(TrainGolden, SparsityAloneReachesThePredictors) {
    ModelRun<float> run(1);
    sparsity_loss(run.tape, 1);
    run.tape.backward();
    Errors errors("train_e2e, sparsity");
    compare_gradients(errors, run.golden, *run.model, run.tape, "grad_spa_raw.", 1, model_rounding);
    const auto* gradient = run.tape.parameter_gradients().data;
    for_each_parameter(std::as_const(*run.model), [&](const std::string& name, const auto& p) {
        for (int i = 0; i < p.size && name.find("predmask") == std::string::npos; ++i)
            ASSERT_EQ(gradient[i], 0) << name;
        gradient += p.size;
    });
}

TEST(TrainGolden, SameBytesForAnyNumberOfThreadsAndWithCheckpoints) {
    std::vector<float> expected;
    for (const auto& [threads, checkpoint] : {std::pair(1, false), {2, false}, {3, false}, {2, true}}) {
        ModelRun<float> run(threads, checkpoint);
        run.add_pixel_loss();
        sparsity_loss(run.tape);
        run.tape.backward();
        if (expected.empty()) expected = run.gradients();
        EXPECT_EQ(std::memcmp(expected.data(), run.gradients().data(), expected.size() * sizeof(float)), 0)
            << threads << " threads, checkpoints: " << checkpoint;
    }
}

}  // namespace
}  // namespace mia
