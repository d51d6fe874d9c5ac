// What the masks of a model keep from frame to frame: how much, and of how many branches at a time.
#include <gtest/gtest.h>

#include "mia/core/count.hpp"
#include "mia/models/mia_vsr.hpp"

namespace mia {
namespace {

/// Bytes of state after a clip, counted by the model's own code.
template <MiaVsrConfig C, class T, class Parts = PublishedParts>
std::size_t counted_bytes(int H, int W, int frames = 2) {
    using Counter = BasicCount<T>;
    Counter setup, count;
    Network<MiaVsr<C, Counter, Parts>, Counter> model(setup);
    prepare(setup, *model);
    const View<const Wide<T>, 4> clip{nullptr, {frames, H, W, 3}};
    typename MiaVsr<C, Counter, Parts>::State state;
    model->forward(count, clip, {nullptr, {frames, C.scale * H, C.scale * W, 3}}, state);
    return count.tensor_bytes();
}

/// Two maps a block: the normed tokens, window by window, and the sum of both branches.
std::size_t state_bytes(const MiaVsrConfig& c, int H, int W, std::size_t element) {
    const std::size_t windows = WindowGrid{H, W, c.window}.windows(), tokens = c.window.tokens();
    return std::size_t(c.depths.blocks()) * (windows * tokens + std::size_t(H) * W) * c.embed_dim * element;
}

constexpr MiaVsrConfig with_directions(MiaVsrConfig c, Directions d) {
    c.directions = d;
    return c;
}

// The official code keeps three maps a block in fp32: normed tokens, attention's result and the MLP's.
TEST(StateMemory, OfThePublishedModelAgainstTheOfficialCode) {
    constexpr int H = 180, W = 320;
    const std::size_t official = 3 * 24 * std::size_t(H) * W * 120 * sizeof(float);
    EXPECT_NEAR(double(official), 2.0e9, 0.02e9);
    const std::size_t wide = counted_bytes<mia_vsr_base, float>(H, W);
    const std::size_t narrow = counted_bytes<mia_vsr_base, Bf16>(H, W);
    EXPECT_EQ(wide, state_bytes(mia_vsr_base, H, W, 4));
    EXPECT_EQ(narrow, wide / 2);
    EXPECT_LE(double(wide), 0.68 * double(official));
}

TEST(StateMemory, OneBranchAtATime) {
    constexpr int H = 69, W = 82;
    constexpr MiaVsrConfig one = with_directions(mia_vsr_tiny, directions(Direction::backward));
    EXPECT_EQ((counted_bytes<mia_vsr_tiny, float>(H, W)), state_bytes(mia_vsr_tiny, H, W, 4));  // four branches
    EXPECT_EQ((counted_bytes<one, float>(H, W)), state_bytes(one, H, W, 4));
}

constexpr MiaVsrConfig toy{.embed_dim = 24,
                           .num_heads = 2,
                           .window = {3, 8, 8},
                           .depths = {{2, 1}},
                           .directions = directions(Direction::backward, Direction::forward, Direction::backward),
                           .mid_channels = 16};
struct ToyParts : PublishedParts {
    template <class B>
    using Flow = ZeroFlow<B>;
};

/// What Cpu really holds, after two clips.
template <class T>
std::size_t held_bytes(int H, int W) {
    using Model = MiaVsr<toy, BasicCpu<T>, ToyParts>;
    BasicCpu<T> cpu(2);
    Network<Model, BasicCpu<T>> model(cpu);
    prepare(cpu, *model);
    typename Model::State state;
    Tensor<Wide<T>, 4> clip(3, H, W, 3), out(3, 4 * H, 4 * W, 3);
    std::fill(clip.data(), clip.data() + clip.size(), Wide<T>(0.5));
    for (int i = 0; i < 2; ++i) model->forward(cpu, clip.view(), out.view(), state);
    std::size_t elements = 0;
    for (const auto& block : state.block)
        elements += std::size_t(block.pred_q.view().size()) + std::size_t(block.sum.view().size());
    return elements * sizeof(T);
}

TEST(StateMemory, IsWhatWasCounted) {
    constexpr int H = 19, W = 26;
    EXPECT_EQ(held_bytes<float>(H, W), state_bytes(toy, H, W, 4));
    EXPECT_EQ((counted_bytes<toy, float, ToyParts>(H, W)), state_bytes(toy, H, W, 4));
    EXPECT_EQ(held_bytes<Bf16>(H, W), state_bytes(toy, H, W, 2));
    EXPECT_EQ((counted_bytes<toy, Bf16, ToyParts>(H, W)), state_bytes(toy, H, W, 2));
}

// Two more frames' keys and values, of every token, of what came from outside and of padding.
TEST(StateMemory, OfKeysAndValuesComputedOnce) {
    constexpr int H = 19, W = 26;
    constexpr MiaVsrConfig cached = [] {
        MiaVsrConfig c = toy;
        c.kv_cache = true;
        return c;
    }();
    const std::size_t kv = 2 * std::size_t(cached.depths.blocks()) * (H * W + 2) * 2 * cached.embed_dim;
    EXPECT_EQ((counted_bytes<cached, float, ToyParts>(H, W, 4)), state_bytes(toy, H, W, 4) + kv * 4);
    EXPECT_EQ((counted_bytes<cached, Bf16, ToyParts>(H, W, 4)), state_bytes(toy, H, W, 2) + kv * 2);
}

}  // namespace
}  // namespace mia
