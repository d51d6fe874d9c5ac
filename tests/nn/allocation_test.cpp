// No frame of a clip allocates once the first ones have shown how much is needed.
#include "mia/models/mia_vsr.hpp"
#include "reference/numbers.hpp"
#include "support/count_allocations.hpp"

namespace mia {
namespace {

struct Parts : PublishedParts {
    template <class B>
    using Flow = BlockMatching<B>;
    template <UpsamplerConfig C, class B>
    using Upsampler = OneStepUpsampler<C, B>;
};
constexpr MiaVsrConfig toy{.embed_dim = 8,
                           .num_heads = 2,
                           .window = {3, 4, 4},
                           .depths = {{2, 1}},
                           .directions = directions(Direction::backward, Direction::forward),
                           .mid_channels = 4,
                           .scale = 2};
using Model = MiaVsr<toy, Cpu, Parts>;

constexpr int frames = 6, H = 101, W = 133;  // sizes of three digits: a shape's text would not fit a string's own bytes

/// The number of allocations when a branch begins a step.
struct Moments : NoProbe {
    long at[2][frames] = {};
    void step(int branch, int step, int) { at[branch][step] = allocations; }
    long between(int step) const { return at[0][step + 1] - at[0][step] + at[1][step + 1] - at[1][step]; }
};

struct Running {
    Cpu cpu;
    Network<Model> model{cpu};
    Model::State state;
    Tensor<float, 4> lqs{frames, H, W, 3}, out{frames, 2 * H, 2 * W, 3};
    Moments moments;
    explicit Running(int threads) : cpu(threads) {
        test::Random random(1);
        for (int i = 0; i < model.flat().extent(0); ++i) model.flat()(i) = float(random.number(-0.3, 0.3));
        for (int i = 0; i < lqs.size(); ++i) lqs.data()[i] = float(random.number(0, 1));
        prepare(cpu, *model);
    }
    long clip() {
        const long before = allocations;
        model->forward(cpu, lqs, out, state, moments);
        return allocations - before;
    }
};

TEST(Allocation, TheCounterCounts) {
    const long before = allocations;
    operator delete(operator new(3));  // not a new-expression: those a compiler may leave out
    EXPECT_EQ(allocations - before, 1);
    const Tensor<float, 1> t(5);
    EXPECT_EQ(allocations - before, 2);
}

/// The first step makes the state, the second is the first to be masked.
TEST(Allocation, NoneFromTheThirdFrameOn) {
    for (const int threads : {1, 2}) {
        Running running(threads);
        running.clip();
        for (int step = 2; step + 1 < frames; ++step)
            EXPECT_EQ(running.moments.between(step), 0) << threads << " threads, step " << step;
    }
}

TEST(Allocation, NoneFromTheSecondFrameOnInMemoryThatCountForesaw) {
    Count setup, count;
    Network<Model::On<Count>, Count> counted(setup);
    prepare(setup, *counted);
    Model::On<Count>::State state;
    const auto scope = count.scope();
    counted->forward(count, count.scratch(frames, H, W, 3), count.scratch(frames, 2 * H, 2 * W, 3), state);
    for (const int threads : {1, 2}) {
        Running running(threads);
        running.cpu.reserve_scratch(count.scratch_peak());
        running.clip();
        for (int step = 1; step + 1 < frames; ++step)
            EXPECT_EQ(running.moments.between(step), 0) << threads << " threads, step " << step;
    }
}

TEST(Allocation, NoneInASecondClip) {
    for (const int threads : {1, 2}) {
        Running running(threads);
        EXPECT_GT(running.clip(), 0);
        EXPECT_EQ(running.clip(), 0) << threads << " threads";
        EXPECT_EQ(running.clip(), 0) << threads << " threads";
    }
}

TEST(Allocation, EveryThreadHasItsRoomWhicheverWorks) {
    Cpu cpu(3);
    constexpr int size = 32, C = 8;
    const WindowGrid grid{size, size, {1, 4, 4}, Shift::none};
    const auto table = test::cast<float>(test::Random(1).numbers(49 * 2)),
               q = test::cast<float>(test::Random(2).numbers(size * size * C)),
               kv = test::cast<float>(test::Random(3).numbers(size * size * 2 * C));
    PackedPositionBias<Cpu> bias;
    pack_position_bias<float>(cpu, {table.data(), {49, 2}}, grid.window, {.keys = 1, .queries = 1}, bias);
    std::vector<float> y(q.size());
    const auto run = [&](const std::vector<std::uint8_t>& keep) {
        const auto scope = cpu.scope();
        auto rows = make_active_rows(cpu, grid, 1);
        select_rows(cpu, grid, 1, {keep.data(), {1, size, size}}, rows);
        window_attention<float>(cpu, grid, rows, {.keys = 1, .queries = 1}, 2, {q.data(), {size * size, C}},
                                {kv.data(), {grid.windows(), 16, 2 * C}}, bias, {y.data(), {size * size, C}});
    };
    std::vector<std::uint8_t> keep(size * size);
    keep[0] = 1;
    run(keep);  // one window: the calling thread alone works
    std::fill(keep.begin(), keep.end(), 1);
    const long before = allocations;
    for (int repeat = 0; repeat < 20; ++repeat) run(keep);
    EXPECT_EQ(allocations - before, 0);
}

}  // namespace
}  // namespace mia
