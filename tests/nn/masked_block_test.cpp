#include "mia/nn/masked_block.hpp"

#include "mia/io/load_parameters.hpp"
#include "support/backends.hpp"
#include "support/golden.hpp"

namespace mia {
namespace {

using test::Errors;
using test::Golden;

constexpr double float_rounding = 6e-6;  // ten times what an independent float implementation reaches; masks are equal

constexpr BlockConfig block_config(int dim, int heads, MaskKind mask, BlockKernel kernel) {
    return {{dim, heads, {3, 8, 8}, true}, 2, {.kind = mask}, kernel};
}

template <class B>
struct MaskProbe : NoProbe {
    B& backend;
    std::vector<float> keep;
    explicit MaskProbe(B& b) : backend(b) {}
    void mask(View<const std::uint8_t, 3> k) {
        const auto values = test::values_of(backend, k);
        keep.assign(values.begin(), values.end());
    }
};

/// The window layout (windows, tokens, C) of an image's tokens, padding as zeros: the golden state's layout.
template <class T>
std::vector<T> to_windows(const WindowGrid& grid, const std::vector<T>& image) {
    const int C = int(image.size()) / grid.pixels(), N = grid.window.tokens();
    std::vector<T> out(std::size_t(grid.windows()) * N * C);
    for (int w = 0; w < grid.windows(); ++w)
        for (int n = 0; n < N; ++n)
            if (grid.pixel(w, n) >= 0)
                std::copy_n(&image[std::size_t(grid.pixel(w, n)) * C], C, &out[std::size_t(w * N + n) * C]);
    return out;
}

/// A golden (windows, tokens, C) with zeros where a token is padding: what padding holds is nobody's result.
std::vector<float> without_padding(const WindowGrid& grid, const test::Array& a) {
    std::vector<float> out = a.data;
    const int C = a.extent(2), N = grid.window.tokens();
    for (int w = 0; w < grid.windows(); ++w)
        for (int n = 0; n < N; ++n)
            if (grid.pixel(w, n) < 0) std::fill_n(&out[std::size_t(w * N + n) * C], C, 0.0f);
    return out;
}

/// The image (P, C) of a golden (windows, tokens, C).
inline std::vector<float> from_windows(const WindowGrid& grid, const test::Array& a) {
    const int C = a.extent(2), N = grid.window.tokens();
    std::vector<float> image(std::size_t(grid.pixels()) * std::size_t(C));
    for (int w = 0; w < grid.windows(); ++w)
        for (int n = 0; n < N; ++n)
            if (grid.pixel(w, n) >= 0)
                std::copy_n(&a.data[std::size_t(w * N + n) * C], C, &image[std::size_t(grid.pixel(w, n)) * C]);
    return image;
}

/// (windows, tokens, C) of the fused block's (bundles, panels * C * width).
template <class T>
std::vector<T> from_panels(View<const T, 2> panels, const WindowGrid& grid, int C) {
    constexpr int width = simd::panel_vectors * simd::lanes<T>;
    const WindowBundle bundle{grid.window.tokens(), simd::lanes<T>};
    std::vector<T> out;
    for (int w = 0; w < grid.windows(); ++w)
        for (int n = 0; n < bundle.tokens; ++n)
            for (int c = 0; c < C; ++c) {
                const int lane = w % bundle.windows() * bundle.stride() + n;
                out.push_back(panels(w / bundle.windows(), (lane / width * C + c) * width + lane % width));
            }
    return out;
}

template <class B, class Name, class State>
void compare_composed_state(Errors& errors, const Golden& golden, const Name& name, const WindowGrid& grid, B& backend,
                            const State& state) {
    const auto windows = [&](const auto& part) { return to_windows(grid, test::values_of(backend, part.view())); };
    errors.compare(name("state0_pred_q"), windows(state.pred_q).data(), golden(name("state0_pred_q")).data,
                   float_rounding);
    errors.compare(name("state1_x_pred"), windows(state.x_pred).data(),
                   without_padding(grid, golden(name("state1_x_pred"))), float_rounding);
    errors.compare(name("state2_hidden"), test::values_of(backend, state.hidden.view()).data(),
                   golden(name("state2_hidden")).data, float_rounding);
}

template <class Block, class B>
void run_golden(const std::string& file, Shift shift, int frames, MaskKind mask, const std::string& prefix = "",
                const char* predictor_bias = nullptr) {
    using T = typename B::Scalar;
    const Golden golden(file);
    auto backend = test::make_backend<B>();
    Network<Block, B> block(backend);
    if (predictor_bias) {
        // The file has no predictor bias of its own: it is part of the case.
        block.on_host(backend, [&](Block& module) {
            for_each_parameter(module, [&](const std::string& name, const auto& p) {
                const bool given = name == "attn.predmask.rnn.bias";
                const auto a = golden(given ? predictor_bias : "param." + name);
                std::copy(a.data.begin(), a.data.end(), p.data);
            });
        });
    } else {
        load_parameters(
            backend, block, golden.file(),
            {.prefix = "param.", .mask = mask == MaskKind::none ? MaskTensors::optional : MaskTensors::strict});
    }
    prepare(backend, *block);

    Errors errors(file + (prefix.empty() ? "" : " " + prefix));
    typename Block::State state;
    for (int t = 0; t < frames; ++t) {
        const std::string frame = "t" + std::to_string(t) + ".";
        const auto in = golden(frame + "x"), cond_in = golden(frame + "cond");
        const int H = in.extent(1), W = in.extent(2), C = in.extent(3);
        const WindowGrid grid{H, W, {3, 8, 8}, shift};
        const auto x = test::place<4>(backend, in.data, {1, H, W, C}),
                   cond = test::place<4>(backend, cond_in.data, {2, H, W, C});
        auto y = test::place<4>(backend, {1, H, W, C});
        MaskProbe<B> probe(backend);
        const Reuse reuse = mask == MaskKind::none ? Reuse::none : t == 0 ? Reuse::start : Reuse::masked;
        block->forward(backend, shift, x, cond, reuse, state, y, probe);

        errors.compare(frame + "out", y.values().data(), golden(prefix + frame + "out").data, float_rounding);
        if (mask == MaskKind::none) continue;
        if (t > 0) {
            const bool all = prefix == "all.", none = prefix == "none.";
            EXPECT_EQ(probe.keep,
                      all || none ? std::vector<float>(std::size_t(H * W), all) : golden(frame + "mask").data);
        }
        const auto name = [&](const char* part) { return prefix + frame + part; };
        if constexpr (Block::is_fused) {  // tokens in panels; one map for the sum of both branches
            const auto pred_q = from_panels<T>(state.pred_q.view(), grid, C);
            errors.compare(name("state0_pred_q"), pred_q.data(), golden(name("state0_pred_q")).data, float_rounding);
            const auto x_pred = from_windows(grid, golden(name("state1_x_pred")));
            auto sum = golden(name("state2_hidden")).data;
            for (std::size_t i = 0; i < sum.size(); ++i) sum[i] += x_pred[i];
            errors.compare(name("x_pred + hidden"), state.sum.data(), sum, float_rounding);
            continue;
        } else {
            compare_composed_state(errors, golden, name, grid, backend, state);
        }
    }
}

template <class B, BlockKernel K>
struct KernelCase {
    using Backend = B;
    static constexpr BlockKernel kernel = K;
};
/// Fused and composed, for a backend that has both.
template <class>
struct KernelCasesOf;
template <class B>
struct KernelCasesOf<testing::Types<B>> {
    using Type =
        std::conditional_t<has_fused_block<B>,
                           testing::Types<KernelCase<B, BlockKernel::fused>, KernelCase<B, BlockKernel::composed>>,
                           testing::Types<KernelCase<B, BlockKernel::fused>>>;
};
template <class Case>
class MaskedBlockGolden : public testing::Test {};
TYPED_TEST_SUITE(MaskedBlockGolden, KernelCasesOf<test::FloatBackends>::Type);

template <class Case, int C, int Heads, MaskKind M = MaskKind::learned>
using BlockOf = MaskedBlock<block_config(C, Heads, M, Case::kernel), typename Case::Backend, InterFrameAttention>;

TYPED_TEST(MaskedBlockGolden, NoShift) {
    run_golden<BlockOf<TypeParam, 24, 2>, typename TypeParam::Backend>("block_noshift", Shift::none, 4,
                                                                       MaskKind::learned);
}
TYPED_TEST(MaskedBlockGolden, Shift) {
    run_golden<BlockOf<TypeParam, 24, 2>, typename TypeParam::Backend>("block_shift", Shift::half_window, 4,
                                                                       MaskKind::learned);
}
TYPED_TEST(MaskedBlockGolden, HeadWidth5) {
    run_golden<BlockOf<TypeParam, 20, 4>, typename TypeParam::Backend>("block_shift_c20", Shift::half_window, 4,
                                                                       MaskKind::learned);
}
TYPED_TEST(MaskedBlockGolden, MaskOff) {
    run_golden<BlockOf<TypeParam, 24, 2, MaskKind::none>, typename TypeParam::Backend>(
        "block_nomask", Shift::half_window, 2, MaskKind::none);
}
TYPED_TEST(MaskedBlockGolden, NothingKeptAndAllKept) {
    using Block = BlockOf<TypeParam, 8, 2>;
    using B = typename TypeParam::Backend;
    run_golden<Block, B>("block_edge", Shift::half_window, 2, MaskKind::learned, "none.", "none.bias");
    run_golden<Block, B>("block_edge", Shift::half_window, 2, MaskKind::learned, "all.", "all.bias");
}

#ifndef MIA_TEST_CUDA  // what is Cpu's alone

template <class Case>
class MaskedBlockGoldenInDouble : public testing::Test {};
TYPED_TEST_SUITE(MaskedBlockGoldenInDouble, KernelCasesOf<testing::Types<BasicCpu<double>>>::Type);
TYPED_TEST(MaskedBlockGoldenInDouble, Shift) {
    run_golden<BlockOf<TypeParam, 24, 2>, BasicCpu<double>>("block_shift", Shift::half_window, 4, MaskKind::learned);
}

/// Keeps every token, whatever the block decided.
struct KeepAll : MaskProbe<Cpu> {
    using MaskProbe::MaskProbe;
    void change_mask(View<std::uint8_t, 3> keep) { std::fill_n(keep.data, keep.size(), std::uint8_t(1)); }
};

TEST(MaskedBlock, AProbeChangesTheMaskOfAComposedBlock) {
    constexpr int H = 5, W = 6, C = 4;
    constexpr BlockConfig config{
        {C, 2, {2, 4, 4}, true}, 2, {.kind = MaskKind::threshold, .threshold = 1e6f}, BlockKernel::composed};
    using Block = MaskedBlock<config, Cpu, InterFrameAttention>;
    Cpu cpu(2, ScratchFill::nan);
    Network<Block> block(cpu);
    test::Random random(1);
    for (int i = 0; i < block.flat().extent(0); ++i) block.flat()(i) = float(random.number(-1, 1));
    prepare(cpu, *block);
    const auto numbers = [&] { return test::cast<float>(random.numbers(H * W * C)); };
    const auto first = numbers(), second = numbers(), cond = numbers();
    const auto run = [&](const std::vector<float>& x, Reuse reuse, Block::State& state, auto&& probe) {
        std::vector<float> y(H * W * C);
        block->forward(cpu, Shift::none, {x.data(), {1, H, W, C}}, {cond.data(), {1, H, W, C}}, reuse, state,
                       {y.data(), {1, H, W, C}}, probe);
        return y;
    };
    Block::State state, changed, none;
    run(first, Reuse::start, state, NoProbe{});
    run(first, Reuse::start, changed, NoProbe{});
    const auto computed = run(second, Reuse::none, none, NoProbe{});
    MaskProbe nothing_kept(cpu);
    EXPECT_NE(run(second, Reuse::masked, state, nothing_kept), computed);
    EXPECT_EQ(nothing_kept.keep, std::vector<float>(H * W, 0));
    KeepAll all_kept(cpu);
    EXPECT_EQ(run(second, Reuse::masked, changed, all_kept), computed);
    EXPECT_EQ(all_kept.keep, std::vector<float>(H * W, 1));
}

#endif

}  // namespace
}  // namespace mia
