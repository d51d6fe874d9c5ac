// Whole models on each backend against the same models composed of small ops on Cpu: clips, streams and sessions; and
// what a frame costs the host.
#include "support/backends.hpp"

#include <filesystem>

#include "mia/models/model_list.hpp"
#include "mia/models/session.hpp"
#include "support/random_model.hpp"

namespace mia {
namespace {

constexpr double rounding = 2e-5;  // of results of about 1, after some hundred sums of up to 600 terms

constexpr Directions both = directions(Direction::backward, Direction::forward),
                     online = directions(Direction::forward, Direction::forward);

/// The published kind: SpyNet, patches that move as a whole, pixel shuffles by 2.
struct PublishedKind : PublishedParts {
    template <class B>
    using Flow = SpyNet<SpyNetConfig{.levels = 3, .kernel_size = 3, .channels = {{8, 4}}}, B>;
};
constexpr MiaVsrConfig published(Directions branches, MaskConfig mask = {}) {
    return {.embed_dim = 12,
            .num_heads = 2,
            .window = {3, 4, 4},
            .depths = {{2}},
            .directions = branches,
            .mask = mask,
            .mid_channels = 8,
            .scale = 2};
}
/// The default model's parts, LiteParts.
constexpr MiaVsrConfig lite{.embed_dim = 16,
                            .num_heads = 2,
                            .window = {3, 4, 4},
                            .depths = {{2}},
                            .directions = both,
                            .fusion = Fusion::linear,
                            .mid_channels = 8};

constexpr MiaVsrConfig composed(MiaVsrConfig config) {
    config.kernel = BlockKernel::composed;
    return config;
}

struct Setting {
    MaskUse mask = MaskUse::as_trained;
    float threshold = 0.2f;
    unsigned seed = 1;  ///< of the parameters
};

template <class Model>
class Running {
public:
    using B = typename Model::BackendType;
    B backend;
    Network<Model, B> model{backend};

    template <class... Arguments>
    explicit Running(Setting setting, Arguments... arguments) : backend(arguments...) {
        model.on_host(backend, [&](Model& module) { test::randomize(module, setting.seed); });
        set_mask_use(*model, setting.mask, setting.threshold);
        prepare(backend, *model);
    }
    using Frames = test::Placed<B, float, 4>;  // float in any precision
    Frames placed(const Tensor<float, 4>& clip) {
        return {backend,
                std::vector<float>(clip.data(), clip.data() + clip.size()),
                {clip.extent(0), clip.extent(1), clip.extent(2), 3}};
    }
    Frames room_for(const Tensor<float, 4>& clip) {
        return {backend, {clip.extent(0), Model::scale * clip.extent(1), Model::scale * clip.extent(2), 3}};
    }
    std::vector<float> clip(const Tensor<float, 4>& frames) {
        const auto x = placed(frames);
        auto y = room_for(frames);
        model->forward(backend, x.view(), y.view());
        return y.values();
    }
    std::vector<float> stream(const Tensor<float, 4>& frames) {
        const auto x = placed(frames);
        auto y = room_for(frames);
        typename Model::Stream stream;
        for (int t = 0; t < frames.extent(0); ++t) model->step(backend, x.view()[t], y.view()[t], stream);
        return y.values();
    }
};
/// With scratch that shows a read of what nobody wrote.
template <class Model>
Running<Model> strict(Setting setting) {
    if constexpr (Model::BackendType::memory_is_host) return Running<Model>(setting, 2, ScratchFill::nan);
#ifdef MIA_TEST_CUDA
    else
        return Running<Model>(setting, ScratchBlocks::separate);
#endif
}

void expect_close(const std::vector<float>& actual, const std::vector<float>& expected, const std::string& what) {
    test::expect_near(actual, test::Numbers(expected.begin(), expected.end()), rounding, what);
}

template <class B>
class ModelOn : public testing::Test {};
TYPED_TEST_SUITE(ModelOn, test::FloatBackends);

template <class B, MiaVsrConfig C, class Parts>
void clips_agree(const Tensor<float, 4>& frames) {
    for (const MaskUse use : {MaskUse::as_trained, MaskUse::off, MaskUse::by_hand}) {
        Setting setting{use, 0.8f};
        std::vector<float> expected;
        for (;; setting.threshold *= 0.7f, ++setting.seed) {
            ASSERT_LE(setting.seed, 20u) << "masks of all or nothing";
            auto reference = strict<MiaVsr<composed(C), Cpu, Parts>>(setting);
            expected = reference.clip(frames);
            const double skipped = reference.backend.work().skipped_share();
            if (use == MaskUse::off || (skipped > 0.05 && skipped < 0.6)) break;
        }
        SCOPED_TRACE(text("mask ", int(use)));
        expect_close(strict<MiaVsr<C, B, Parts>>(setting).clip(frames), expected, "clip");
    }
}
TYPED_TEST(ModelOn, ClipOfThePublishedKind) {
    clips_agree<TypeParam, published(both), PublishedKind>(test::random_clip(3, 9, 8));
}
TYPED_TEST(ModelOn, ClipOfTheDefaultKind) { clips_agree<TypeParam, lite, LiteParts>(test::random_clip(3, 9, 10)); }
TYPED_TEST(ModelOn, FramesSmallerThanTheLeastSizeAndASingleOne) {
    for (const auto& frames : {test::random_clip(1, 3, 5), test::random_clip(2, 2, 9)})
        expect_close(strict<MiaVsr<published(both), TypeParam, PublishedKind>>({}).clip(frames),
                     strict<MiaVsr<composed(published(both)), Cpu, PublishedKind>>({}).clip(frames), "small");
}

constexpr MiaVsrConfig streamed = published(online, {.refresh_every = 4});
TYPED_TEST(ModelOn, Stream) {
    const auto frames = test::random_clip(6, 9, 7);
    expect_close(strict<MiaVsr<streamed, TypeParam, PublishedKind>>({}).stream(frames),
                 strict<MiaVsr<composed(streamed), Cpu, PublishedKind>>({}).clip(frames), "stream");
}

/// A file of random weights for a model.
template <class Model>
StateDict weights_for() {
    const auto path = std::filesystem::temp_directory_path() / text("mia_backends_", getpid(), ".safetensors");
    Cpu cpu;
    Network<Model> model(cpu);
    test::randomize(*model);
    save_parameters(*model, path);
    StateDict file = read_safetensors(path);
    std::filesystem::remove(path);
    return file;
}

/// All results of a session whose fourth frame begins a scene.
std::vector<float> session(AnyModel& model, const Tensor<float, 4>& frames, TileConfig tiles = {}) {
    Session session(model, {.chunk_frames = 2, .context_frames = 1, .tiles = tiles, .scenes = {.cuts = {3}}});
    Tensor<float, 3> out(model.scale() * frames.extent(1), model.scale() * frames.extent(2), 3);
    std::vector<float> all;
    const auto pull = [&] {
        while (session.pull(out)) all.insert(all.end(), out.data(), out.data() + out.size());
    };
    for (int t = 0; t < frames.extent(0); ++t) {
        session.push(frames.view()[t]);
        pull();
    }
    session.finish();
    pull();
    return all;
}
template <class Model, class Reference>
void sessions_agree(const Tensor<float, 4>& frames, TileConfig tiles = {}) {
    const StateDict file = weights_for<Reference>();
    RunningModel<Reference> reference("reference", file, {.threads = 2});
    RunningModel<Model> model("model", file, {.threads = 2});
    expect_close(session(model, frames, tiles), session(reference, frames, tiles), "session");
}
TYPED_TEST(ModelOn, SessionInChunks) {
    sessions_agree<MiaVsr<lite, TypeParam, LiteParts>, MiaVsr<composed(lite), Cpu, LiteParts>>(
        test::random_clip(5, 9, 10));
}
TYPED_TEST(ModelOn, SessionInTiles) {
    sessions_agree<MiaVsr<lite, TypeParam, LiteParts>, MiaVsr<composed(lite), Cpu, LiteParts>>(
        test::random_clip(2, 9, 18), {.rows = 1, .columns = 2, .overlap = 4});
}
TYPED_TEST(ModelOn, SessionFrameByFrame) {
    sessions_agree<MiaVsr<streamed, TypeParam, PublishedKind>, MiaVsr<composed(streamed), Cpu, PublishedKind>>(
        test::random_clip(5, 9, 7));
}

/// Sums up what it is shown.
struct Watcher : ModelObserver {
    double share = 0, flows = 0;
    int masks = 0, kept = 0;
    void progress(double now) override {
        EXPECT_GE(now, share);
        share = now;
    }
    void flow(int, int, View<const float, 3> flow) override {
        for (std::ptrdiff_t i = 0; i < flow.size(); ++i) flows += std::abs(double(flow.data[i]));
    }
    void mask(View<const std::uint8_t, 2> keep) override {
        masks += keep.data != nullptr;
        for (std::ptrdiff_t i = 0; keep.data && i < keep.size(); ++i) kept += keep.data[i];
    }
};
TYPED_TEST(ModelOn, ObserversSeeFlowsAndMasksOnTheHost) {
    using Model = MiaVsr<lite, TypeParam, LiteParts>;
    using Reference = MiaVsr<composed(lite), Cpu, LiteParts>;
    const auto frames = test::random_clip(3, 9, 10);
    const StateDict file = weights_for<Reference>();
    RunningModel<Model> model("model", file, {});
    RunningModel<Reference> reference("reference", file, {});
    model.keep_statistics();
    Tensor<float, 4> out(3, 36, 40, 3);
    Watcher seen, expected;
    model.forward(frames, 0, out, &seen);
    reference.forward(frames, 0, out, &expected);
    EXPECT_DOUBLE_EQ(seen.share, 1);
    EXPECT_EQ(seen.flows, expected.flows);  // exact on every backend
    EXPECT_EQ(seen.masks, 2 * 2 * 2);       // branches, steps after the first, blocks
    EXPECT_EQ(seen.kept, expected.kept);
    for (const auto& module : model.statistics()) EXPECT_GT(module.seconds, 0) << module.module;
    EXPECT_EQ(TypeParam::memory_is_host, model.free_device_memory() == 0);
}

#ifdef MIA_TEST_CUDA
/// Parts that a variant may replace and no model above has, in two models, against the same on Cpu.
template <MiaVsrConfig C, class Parts, class... Given>
void variant_agrees(const Tensor<float, 4>& frames, const Given&... flows) {
    const auto run = [&]<class B>(std::type_identity<B>) {
        auto running = strict<MiaVsr<C, B, Parts>>({});
        const auto x = running.placed(frames);
        auto y = running.room_for(frames);
        typename MiaVsr<C, B, Parts>::State state;
        if constexpr (sizeof...(flows) == 0) {
            running.model->forward(running.backend, x.view(), y.view(), state);
        } else {
            const auto f = test::place(running.backend, flows...);
            running.model->forward(running.backend, x.view(), {f.view(), f.view()}, y.view(), state);
        }
        return y.values();
    };
    expect_close(run(std::type_identity<Cuda>{}), run(std::type_identity<Cpu>{}), "variant");
}
struct JointKind : PublishedKind {
    template <AttentionConfig C, class B>
    using Attention = JointAttention<C, B>;
    template <class B>
    using Alignment = BilinearAlignment<B>;
};
TEST(ModelOnCuda, JointAttentionOfOneEarlierFrameByThree) {
    constexpr MiaVsrConfig joint{.embed_dim = 21,
                                 .num_heads = 3,
                                 .window = {2, 3, 5},
                                 .depths = {{1, 2}},
                                 .mlp_ratio = 3,
                                 .qkv_bias = false,
                                 .directions = directions(Direction::forward),
                                 .mask = {.kind = MaskKind::none},
                                 .mid_channels = 5,
                                 .scale = 3};
    variant_agrees<joint, JointKind>(test::random_clip(3, 8, 9));
}
struct IntraKind : LiteParts {
    template <class B>
    using Flow = GivenFlow<B>;
    template <AttentionConfig C, class B>
    using Attention = IntraFrameAttention<C, B>;
    template <class B>
    using Alignment = PatchAlignment<B>;
};
TEST(ModelOnCuda, IntraFrameAttentionOfGivenFlowsFusedByConvolutionByOne) {
    constexpr MiaVsrConfig intra{.embed_dim = 64,
                                 .num_heads = 2,
                                 .window = {3, 4, 4},
                                 .depths = {{2}},
                                 .directions = both,
                                 .mask = {.kind = MaskKind::threshold, .threshold = 1, .first_blocks = 1},
                                 .fusion = Fusion::convolution,
                                 .mid_channels = 5,
                                 .scale = 1};
    Tensor<float, 4> flow(1, 7, 9, 2);
    for (std::ptrdiff_t i = 0; i < flow.size(); ++i) flow.data()[i] = 2 * std::sin(float(i));
    variant_agrees<intra, IntraKind>(test::random_clip(2, 7, 9), flow);
}
struct StillKind : LiteParts {
    template <class B>
    using Flow = ZeroFlow<B>;
    template <class B>
    using Alignment = NoAlignment<B>;
};
TEST(ModelOnCuda, FramesThatStandStillByFive) {
    constexpr MiaVsrConfig still{.embed_dim = 16,
                                 .num_heads = 2,
                                 .window = {3, 4, 4},
                                 .depths = {{1}},
                                 .directions = directions(Direction::forward),
                                 .mask = {.kind = MaskKind::none},
                                 .mid_channels = 8,
                                 .scale = 5};
    variant_agrees<still, StillKind>(test::random_clip(3, 5, 7));
}

/// In bf16 the error is at most twice that of the same numbers on Cpu, where each op rounds what it hands on.
TEST(ModelOnCuda, InBf16) {
    constexpr MiaVsrConfig wide_heads{.embed_dim = 40,
                                      .num_heads = 2,
                                      .window = {3, 8, 8},
                                      .depths = {{1}},
                                      .directions = online,
                                      .mid_channels = 8,
                                      .scale = 2};
    const auto rms = [](const std::vector<float>& a, const std::vector<float>& b) {
        double squares = 0;
        for (std::size_t i = 0; i < a.size(); ++i) squares += std::pow(double(a[i]) - b[i], 2);
        return std::sqrt(squares / double(a.size()));
    };
    const auto frames = test::random_clip(3, 9, 10);
    const auto check = [&]<MiaVsrConfig C, class Parts>(std::integral_constant<MiaVsrConfig, C>, Parts, MaskUse use) {
        const Setting setting{use, 0.4f};
        const auto expected = strict<MiaVsr<composed(C), Cpu, Parts>>(setting).clip(frames);
        const double straight = rms(strict<MiaVsr<composed(C), CpuBf16, Parts>>(setting).clip(frames), expected);
        const double actual = rms(strict<MiaVsr<C, CudaBf16, Parts>>(setting).clip(frames), expected);
        EXPECT_LE(actual, 2 * straight) << "mask " << int(use);
        EXPECT_GT(actual, 0);
    };
    for (const MaskUse use : {MaskUse::off, MaskUse::by_hand})
        check(std::integral_constant<MiaVsrConfig, lite>{}, LiteParts{}, use);
    check(std::integral_constant<MiaVsrConfig, wide_heads>{}, PublishedKind{}, MaskUse::as_trained);
}
#endif

#ifdef MIA_TEST_CUDA_EMULATED
/// Runs `pass` some times and counts what the host did in the last two.
template <class Pass>
cuda_emulation::Statistics cost_of_two(int passes_before, Pass&& pass) {
    for (int i = 0; i < passes_before; ++i) pass(i);
    const auto before = cuda_emulation::statistics();
    for (int i = 0; i < 2; ++i) pass(passes_before + i);
    auto cost = cuda_emulation::statistics();
    cost.allocations -= before.allocations;
    cost.synchronisations -= before.synchronisations;
    return cost;
}
TEST(ModelOnCuda, AFrameOfAStreamAllocatesNothingAndNobodyWaits) {
    using Model = MiaVsr<streamed, Cuda, PublishedKind>;
    Running<Model> running{Setting{}};
    const auto frames = test::random_clip(6, 9, 7);
    const auto x = test::place(running.backend, frames);
    auto y = running.room_for(frames);
    Model::Stream stream;
    const auto cost =
        cost_of_two(4, [&](int t) { running.model->step(running.backend, x.view()[t], y.view()[t], stream); });
    EXPECT_EQ(cost.allocations, 0u);
    EXPECT_EQ(cost.synchronisations, 0u);
    synchronize(running.backend);
}
TEST(ModelOnCuda, AFurtherClipAllocatesNothingAndNobodyWaits) {
    using Model = MiaVsr<lite, Cuda, LiteParts>;
    Running<Model> running{Setting{}};
    const auto frames = test::random_clip(3, 9, 10);
    const auto x = test::place(running.backend, frames);
    auto y = running.room_for(frames);
    Model::State state;
    const auto cost = cost_of_two(1, [&](int) { running.model->forward(running.backend, x.view(), y.view(), state); });
    EXPECT_EQ(cost.allocations, 0u);
    EXPECT_EQ(cost.synchronisations, 0u);
    synchronize(running.backend);
}
TEST(ModelOnCuda, TheMemoryThatItDeclaresIsEnough) {
    using Model = MiaVsr<lite, Cuda, LiteParts>;
    RunningModel<Model> model("model", weights_for<MiaVsr<lite, Cpu, LiteParts>>(), {});
    const std::size_t declared = model.memory_bytes(3, 41, 50), before = model.free_device_memory();
    const auto frames = test::random_clip(1, 9, 10);
    Tensor<float, 4> out(1, 36, 40, 3);
    model.forward(frames, out);
    const std::size_t small = before - model.free_device_memory();
    EXPECT_LE(small, model.memory_bytes(1, 9, 10));
    EXPECT_GT(small, model.memory_bytes(1, 9, 10) / 2);
    EXPECT_GT(declared, 20 * small);
    EXPECT_THROW((void)fit_memory(model, 41, 50, 10000), Error);
}
#endif

}  // namespace
}  // namespace mia
