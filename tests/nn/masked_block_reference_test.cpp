#include "mia/nn/masked_block.hpp"
#include "reference/masked_block.hpp"
#include "support/golden.hpp"

namespace mia {
namespace {

using test::Numbers;

/// LayerNorm divides by deviations well below 1, the block has two of them.
template <class T>
constexpr double block_rounding = std::is_same_v<T, float> ? 3e-5 : 1e-12;

struct Keep : NoProbe {
    Numbers keep;
    void mask(View<const std::uint8_t, 3> k) { keep.assign(k.data, k.data + (k.data ? k.size() : 0)); }
};

constexpr BlockConfig config(int dim, int heads, WindowSize window, MaskKind mask = MaskKind::learned) {
    return {
        {dim, heads, window, true}, 2, {.kind = mask}, BlockKernel::composed};  // the fused one: fused_block_test.cpp
}

/// Parameters by name, as both sides take them.
template <class Module>
std::map<std::string, Numbers> random_parameters(const Module& module, int seed) {
    test::Random random(seed);
    std::map<std::string, Numbers> all;
    for_each_parameter(module, [&](const std::string& name, const auto& p) {
        all[name] = random.numbers(p.size, -0.5, 0.5);
        if (name.ends_with("norm1.weight") || name.ends_with("norm2.weight"))
            for (double& v : all[name]) v += 1;
    });
    return all;
}
template <class Module>
void fill(Module& module, const std::map<std::string, Numbers>& parameters) {
    for_each_parameter(module, [&](const std::string& name, auto&& p) {
        const auto& from = parameters.at(name);
        std::copy(from.begin(), from.end(), p.data);
    });
}

template <class T, BlockConfig C>
struct Case {
    using B = BasicCpu<T>;
    using Block = MaskedBlock<C, B, InterFrameAttention>;
    static constexpr int dim = C.attention.embed_dim, before = C.attention.window.frames - 1;

    B cpu;
    Network<Block, B> block{cpu};
    std::map<std::string, Numbers> parameters = random_parameters(*block, dim);
    typename Block::State state;
    Keep probe;
    int H, W;
    Shift shift;

    Case(int threads, int height, int width, Shift s) : cpu(threads, ScratchFill::nan), H(height), W(width), shift(s) {
        load();
    }
    void load() {
        fill(*block, parameters);
        prepare(cpu, *block);
    }
    std::vector<T> forward(const Numbers& x, const Numbers& cond, Reuse reuse) {
        const auto in = test::cast<T>(x), earlier = test::cast<T>(cond);
        auto y = test::unwritten<T>(H * W * dim);
        block->forward(cpu, shift, {in.data(), {1, H, W, dim}}, {earlier.data(), {before, H, W, dim}}, reuse, state,
                       {y.data(), {1, H, W, dim}}, probe);
        return y;
    }
};

/// Frames of a clip in which half of the tokens change a lot and the others a little.
Numbers next_frame(test::Random& random, Numbers x, int C) {
    for (std::size_t p = 0; p < x.size() / std::size_t(C); ++p) {
        const double size = random.number(0, 1) < 0.5 ? 1 : 0.05;
        for (int c = 0; c < C; ++c) x[p * std::size_t(C) + std::size_t(c)] += random.number(-size, size);
    }
    for (double& v : x) v = double(float(v));
    return x;
}

template <class T>
class MaskedBlockOf : public testing::Test {};
using Scalars = testing::Types<float, double>;
TYPED_TEST_SUITE(MaskedBlockOf, Scalars);

template <class T, BlockConfig C>
void against_reference(int H, int W, Shift shift) {
    constexpr int dim = C.attention.embed_dim, frames = C.attention.window.frames;
    SCOPED_TRACE(text(H, " x ", W, ", C = ", dim, ", shift ", int(shift)));
    Case<T, C> c(1, H, W, shift), two(2, H, W, shift), three(3, H, W, shift);
    reference::MaskedBlock expected{
        {H, W, C.attention.window.height, C.attention.window.width, shift == Shift::half_window},
        frames,
        dim,
        C.attention.num_heads,
        C.mlp_ratio,
        c.parameters,
        {},
        {},
        {}};
    test::Random random(H * W);
    Numbers x = random.numbers(H * W * dim), cond = random.numbers((frames - 1) * H * W * dim);
    for (int t = 0; t < 4; ++t) {
        const Reuse reuse = t == 0 ? Reuse::start : Reuse::masked;
        Numbers keep;
        const auto y = c.forward(x, cond, reuse);
        test::expect_near(y, expected.forward(x, cond, t > 0, keep), block_rounding<T>, text("frame ", t));
        if (t > 0) {
            EXPECT_EQ(c.probe.keep, keep);
        }
        for (Case<T, C>* other : {&two, &three}) EXPECT_TRUE(test::same_bytes(other->forward(x, cond, reuse), y));
        const Numbers hidden(c.state.hidden.data(), c.state.hidden.data() + c.state.hidden.size());
        test::expect_near(test::cast<T>(hidden), expected.hidden, block_rounding<T>, "hidden");
        x = next_frame(random, x, dim);
        cond = next_frame(random, cond, dim);
    }
}

TYPED_TEST(MaskedBlockOf, AgreesWithTheDenseReference) {
    for (const Shift shift : {Shift::none, Shift::half_window}) {
        against_reference<TypeParam, config(6, 2, {3, 4, 4})>(9, 10, shift);
        against_reference<TypeParam, config(6, 2, {3, 4, 4})>(1, 1, shift);
        against_reference<TypeParam, config(8, 1, {2, 2, 6})>(7, 1, shift);
        against_reference<TypeParam, config(5, 5, {3, 5, 5})>(6, 11, shift);
    }
}

TYPED_TEST(MaskedBlockOf, AMaskOfOnesIsNoMask) {
    using T = TypeParam;
    constexpr int H = 7, W = 9, C = 6, P = H * W;
    for (const Shift shift : {Shift::none, Shift::half_window}) {
        Case<T, config(C, 2, {3, 4, 4})> masked(2, H, W, shift);
        masked.parameters["attn.predmask.rnn.bias"] = {1000};
        masked.load();
        Case<T, config(C, 2, {3, 4, 4}, MaskKind::none)> plain(1, H, W, shift);
        plain.parameters = masked.parameters;
        plain.load();
        test::Random random(4);
        for (int t = 0; t < 3; ++t) {
            const auto x = random.numbers(P * C), cond = random.numbers(2 * P * C);
            const auto y = masked.forward(x, cond, t == 0 ? Reuse::start : Reuse::masked);
            EXPECT_TRUE(test::same_bytes(y, plain.forward(x, cond, Reuse::none))) << t;
            EXPECT_EQ(masked.probe.keep, Numbers(t == 0 ? 0 : P, 1.0));
        }
    }
}

TYPED_TEST(MaskedBlockOf, AMaskOfZerosReusesTheState) {
    using T = TypeParam;
    constexpr int H = 7, W = 9, C = 6, P = H * W;
    Case<T, config(C, 2, {3, 4, 4})> c(2, H, W, Shift::half_window);
    c.parameters["attn.predmask.rnn.bias"] = {-1000};
    c.load();
    test::Random random(4);
    c.forward(random.numbers(P * C), random.numbers(2 * P * C), Reuse::start);
    const std::vector<T> x_pred(c.state.x_pred.data(), c.state.x_pred.data() + P * C),
        hidden(c.state.hidden.data(), c.state.hidden.data() + P * C),
        pred_q(c.state.pred_q.data(), c.state.pred_q.data() + P * C);
    const auto x = random.numbers(P * C);
    c.cpu.reset_work();
    const auto y = c.forward(x, random.numbers(2 * P * C), Reuse::masked);
    EXPECT_TRUE(std::equal(x_pred.begin(), x_pred.end(), c.state.x_pred.data()));
    EXPECT_TRUE(std::equal(hidden.begin(), hidden.end(), c.state.hidden.data()));
    EXPECT_FALSE(std::equal(pred_q.begin(), pred_q.end(), c.state.pred_q.data()))
        << "tokens are always the last frame's";
    for (int i = 0; i < P * C; ++i) ASSERT_EQ(y[i], (T(x[i]) + x_pred[i]) + hidden[i]);
    EXPECT_EQ(c.cpu.work().macs, P * C) << "the predictor's, nothing else";
}

TEST(MaskedBlock, RefusesWhatDoesNotFit) {
    using Block = MaskedBlock<config(6, 2, {3, 4, 4}), Cpu, InterFrameAttention>;
    Case<float, config(6, 2, {3, 4, 4})> c(1, 5, 4, Shift::none);
    Tensor<float, 4> x(1, 5, 4, 6), cond(2, 5, 4, 6), y(1, 5, 4, 6), larger(1, 5, 5, 6), one(1, 5, 4, 6);
    for (Tensor<float, 4>* t : {&x, &cond}) std::fill(t->data(), t->data() + t->size(), 0.5f);
    Block::State state;
    const auto message = [&](const Tensor<float, 4>& in, const Tensor<float, 4>& earlier, Tensor<float, 4>& out) {
        try {
            c.block->forward(c.cpu, Shift::none, in, earlier, Reuse::masked, state, out);
        } catch (const Error& error) {
            return std::string(error.what());
        }
        return std::string();
    };
    EXPECT_EQ(message(x, cond, y),
              "MaskedBlock: the state holds 0 tokens, the frame has 20; begin a clip with Reuse::start (step 0)");
    c.block->forward(c.cpu, Shift::none, x, cond, Reuse::start, state, y);
    EXPECT_EQ(message(x, cond, y), "");
    EXPECT_EQ(
        message(x, one, y),
        "MaskedBlock: x (1, 5, 4, 6), cond (1, 5, 4, 6), y (1, 5, 4, 6); needed: (1, H, W, 6), (2, H, W, 6), as x");
    EXPECT_NE(message(larger, cond, larger), "");
    EXPECT_NE(message(x, cond, larger), "");
    EXPECT_NE(message(cond, cond, cond), "");
}

/// A mask that the test dictates: tokens that change are kept, the others not.
struct Dictated {
    static constexpr int H = 13, W = 18, C = 8, P = H * W, N = 3 * 64, r = 2;
    Case<float, config(C, 2, {3, 8, 8})> c{2, H, W, Shift::half_window};
    test::Random random{11};
    Numbers x = random.numbers(P * C), cond = random.numbers(2 * P * C);

    Dictated() {
        c.parameters["attn.predmask.rnn.weight"] = Numbers(C, 1.0);
        c.parameters["attn.predmask.rnn.bias"] = {-0.25};
        c.load();
        c.forward(x, cond, Reuse::start);
    }
    void forward(const std::vector<std::uint8_t>& keep) {
        for (int p = 0; p < P; ++p)
            for (int i = 0; i < C && keep[p]; ++i) x[p * C + i] = -x[p * C + i];
        c.cpu.reset_work();
        c.forward(x, cond, Reuse::masked);
        ASSERT_EQ(c.probe.keep, Numbers(keep.begin(), keep.end()));
    }
    /// q, scores and A V, proj and MLP per active token; K and V of windows with one; the predictor for all.
    static std::int64_t macs(int active, int windows) {
        return P * C + std::int64_t(active) * (C * C + 2 * N * C + C * C + 2 * r * C * C) +
               std::int64_t(windows) * N * 2 * C * C;
    }
};

TEST(MaskedBlockWork, FollowsTheMask) {
    Dictated dictated;
    const WindowGrid grid{dictated.H, dictated.W, {3, 8, 8}, Shift::half_window};
    for (const double share : {0.0, 0.01, 0.1, 0.6, 1.0}) {
        const auto keep = dictated.random.bits(dictated.P, share);
        int active = 0, windows = 0;
        for (int w = 0; w < grid.windows(); ++w) {
            int inside = 0;
            for (int n = 0; n < 64; ++n) inside += grid.pixel(w, n) >= 0 && keep[std::size_t(grid.pixel(w, n))];
            active += inside;
            windows += inside > 0;
        }
        dictated.forward(keep);
        const auto work = dictated.c.cpu.work();
        EXPECT_EQ(work.macs, dictated.macs(active, windows)) << active << " tokens in " << windows << " windows";
        EXPECT_EQ(work.dense_macs, dictated.macs(dictated.P, grid.windows()));
        if (share == 1) {
            EXPECT_EQ(work.macs, work.dense_macs);
        }
    }
}

TEST(MaskedBlockWork, IsDenseWithoutAMask) {
    Case<float, config(8, 2, {3, 8, 8}, MaskKind::none)> c(1, 13, 18, Shift::none);
    const auto x = test::Random(1).numbers(13 * 18 * 8), cond = test::Random(2).numbers(2 * 13 * 18 * 8);
    c.forward(x, cond, Reuse::none);
    EXPECT_EQ(c.cpu.work().macs, Dictated::macs(13 * 18, 6) - 13 * 18 * 8);
    EXPECT_EQ(c.cpu.work().macs, c.cpu.work().dense_macs);
}

}  // namespace
}  // namespace mia
