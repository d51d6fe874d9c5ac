#include <array>

#include "mia/nn/residual_group.hpp"
#include "support/fixture.hpp"
#include "support/measure.hpp"
#include "support/required_macs.hpp"

// A group in a running clip, its masks asked and every token kept.
namespace {
using namespace mia;
using namespace mia::bench;

template <AttentionConfig C, int Depth>
void run(benchmark::State& state, Cpu& cpu) {
    constexpr ResidualGroupConfig config{.block = {.attention = C}, .depth = Depth};
    using Group = ResidualGroup<config, Cpu, InterFrameAttention>;
    const auto group = random_network<Group>(cpu, MaskRule::keep_all);
    const auto x = random_tensor({1, height, width, C.embed_dim}),
               cond = random_tensor({2, height, width, C.embed_dim});
    Tensor<float, 4> y(1, height, width, C.embed_dim);
    std::array<typename Group::Block::State, std::size_t(Depth)> states;
    std::array<Reuse, std::size_t(Depth)> reuse;
    const std::array<float, std::size_t(Depth)> depths{};
    std::array<Condition<float>, std::size_t(Depth)> conditions;
    conditions.fill(Condition<float>(cond));
    const auto step = [&](Reuse how) {
        reuse.fill(how);
        group->forward(cpu, x, conditions.data(), reuse.data(), states.data(), depths.data(), y, 0, NoProbe{});
    };
    step(Reuse::start);
    measure(
        state, cpu, {.macs = double(groups_macs(config.block, {.keys = 3, .queries = 1}, Depth, 1, height, width))},
        [&] { step(Reuse::masked); }, 1);
}
[[maybe_unused]] const bool added = (add_case("residual_group/base", {1, 2}, run<base, 6>),
                                     add_case("residual_group/lite", {1, 2}, run<lite, 1>), true);

}  // namespace
