#include "mia/nn/masked_block.hpp"
#include "support/fixture.hpp"
#include "support/measure.hpp"
#include "support/required_macs.hpp"

// The block by mask, in a running clip. Two frames alternate that differ in the tokens to be kept, so every call finds
// the same mask and a state as the call before left it.
namespace {
using namespace mia;
using namespace mia::bench;

template <AttentionConfig C, class T>
void run(benchmark::State& state, BasicCpu<T>& cpu, Shift shift, MaskShape shape, double share) {
    constexpr BlockConfig config{.attention = C};
    using Block = MaskedBlock<config, BasicCpu<T>, InterFrameAttention>;
    const auto block = random_network<Block>(cpu);
    const auto mask = make_mask(shape, share);
    const auto cond = random_tensor<T>({2, height, width, C.embed_dim});
    Tensor<T, 4> frames[] = {random_tensor<T>({1, height, width, C.embed_dim}, -normed, normed, 8),
                             random_tensor<T>({1, height, width, C.embed_dim}, -normed, normed, 9)};
    for (int p = 0; p < pixels; ++p)
        if (!mask.view().data[p])
            std::copy_n(frames[0].data() + std::ptrdiff_t(p) * C.embed_dim, C.embed_dim,
                        frames[1].data() + std::ptrdiff_t(p) * C.embed_dim);
    Tensor<T, 4> y(1, height, width, C.embed_dim);
    typename Block::State kept;
    block->forward(cpu, shift, frames[1], cond, Reuse::start, kept, y);

    int call = 0;
    const auto step = [&] { block->forward(cpu, shift, frames[call++ % 2], cond, Reuse::masked, kept, y); };
    cpu.reset_work();
    step();
    const std::int64_t active = active_tokens(mask.view(), pixels);
    if (cpu.work().active_tokens != active) return state.SkipWithError("the block's mask is not the one asked for");
    const WindowGrid grid{height, width, C.window, shift};
    measure(state, cpu, {.macs = double(block_macs(config, {.keys = 3, .queries = 1}, grid, mask.view()))}, step);
    state.counters["kept"] = double(active) / pixels;
    state.counters["vector_macs"] = double(vector_macs<T>(config, {.keys = 3, .queries = 1}, grid, mask.view()));
}

/// The block in a model with kv_cache: keys and values of the frame before stored, then the block, which reads those of
/// two frames moved by whole pixels.
template <AttentionConfig C>
void run_cached(benchmark::State& state, Cpu& cpu) {
    constexpr BlockConfig config{.attention = C, .mask = {.kind = MaskKind::none}};
    using Block = MaskedBlock<config, Cpu, InterFrameAttention>;
    const auto block = random_network<Block>(cpu);
    const auto x = random_tensor({1, height, width, C.embed_dim});
    const auto tokens = random_tensor({pixels + 1, C.embed_dim});
    Tensor<float, 3> rows(2, pixels + 2, kv_width<float>(Block::shape));
    Tensor<int, 3> source(2, height, width);
    const auto flow = smooth_flow();
    for (int f = 0; f < 2; ++f) {
        patch_source(cpu, flow, source.view()[f]);
        block->store_kv(cpu, tokens, rows.view()[f]);
    }
    const StoredKv<float> stored[] = {{rows.view()[0], source.view()[0]}, {rows.view()[1], source.view()[1]}};
    Tensor<float, 4> y(1, height, width, C.embed_dim);
    typename Block::State kept;
    const Condition<float> cond(View<const float, 4>{nullptr, {2, height, width, C.embed_dim}}, stored);
    const WindowGrid grid{height, width, C.window};
    const double saved = 2.0 * pixels * C.embed_dim * C.embed_dim;
    measure(state, cpu, {.macs = double(block_macs(config, {.keys = 3, .queries = 1}, grid)) - saved}, [&] {
        block->store_kv(cpu, tokens, rows.view()[0]);
        block->forward(cpu, Shift::none, x, cond, Reuse::none, kept, y);
    });
}

template <AttentionConfig C>
void add(const std::string& model) {
    const std::string name = "iia_block/" + model + "/keep:";
    const auto of = [](Shift shift, MaskShape shape, double share) {
        return [=](benchmark::State& state, Cpu& cpu) { run<C>(state, cpu, shift, shape, share); };
    };
    add_case(name + "1", {1, 2}, of(Shift::none, MaskShape::scattered, 1));
    add_case(name + "1/shifted", 1, of(Shift::half_window, MaskShape::scattered, 1));
    for (const char* share : {"0.75", "0.5", "0.25"}) {
        add_case(name + share + "/scattered", 1, of(Shift::none, MaskShape::scattered, std::stod(share)));
        add_case(name + share + "/clustered", {1, 2}, of(Shift::none, MaskShape::clustered, std::stod(share)));
    }
    add_case(name + "0", 1, of(Shift::none, MaskShape::scattered, 0));
    const auto in_bf16 = [](double share) {
        return [=](benchmark::State& state, Cpu& cpu) {
            CpuBf16 bf16(cpu.threads());
            run<C>(state, bf16, Shift::none, MaskShape::clustered, share);
        };
    };
    add_case("iia_block/" + model + "/kv_cache", {1, 2}, run_cached<C>);
    add_case("iia_block/" + model + "_bf16/keep:1", {1, 2}, in_bf16(1));
    add_case("iia_block/" + model + "_bf16/keep:0.5/clustered", 1, in_bf16(0.5));
}
[[maybe_unused]] const bool added = (add<base>("base"), add<lite>("lite"), true);

}  // namespace
