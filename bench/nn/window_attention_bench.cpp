#include "mia/nn/window_attention.hpp"
#include "support/fixture.hpp"
#include "support/measure.hpp"
#include "support/required_macs.hpp"

// The attention of a block with its projections, every token active: published, current frame alone, and joint.
namespace {
using namespace mia;
using namespace mia::bench;

template <AttentionConfig C, WindowFrames F>
void run(benchmark::State& state, Cpu& cpu) {
    using Attention = WindowAttention<C, F>;
    const auto attention = random_network<Attention>(cpu);
    const WindowGrid grid{height, width, C.window};
    const auto scope = cpu.scope();
    ActiveRows rows = make_active_rows(cpu, grid, F.queries);
    select_rows(cpu, grid, F.queries, View<const std::uint8_t, 3>{}, rows);
    constexpr int conditions = F.keys - F.queries;
    const auto all = random_tensor({F.keys, height, width, C.embed_dim});
    const View<const float, 4> x = all.view().slice(conditions, F.queries), cond = all.view().slice(0, conditions);
    Tensor<float, 2> y(F.queries * pixels, C.embed_dim);
    measure(state, cpu, {.macs = double(attention_macs(C, F, grid))},
            [&] { attention->forward(cpu, grid, rows, cond, x, y); });
}

template <AttentionConfig C>
void add(const std::string& model) {
    add_case("attention/inter_frame/" + model, {1, 2}, run<C, WindowFrames{.keys = 3, .queries = 1}>);
    add_case("attention/intra_frame/" + model, 1, run<C, WindowFrames{.keys = 1, .queries = 1}>);
    add_case("attention/joint/" + model, 1, run<C, WindowFrames{.keys = 3, .queries = 3}>);
}
[[maybe_unused]] const bool added = (add<base>("base"), add<lite>("lite"), true);

}  // namespace
