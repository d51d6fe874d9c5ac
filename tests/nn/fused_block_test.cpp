// The fused block against the composition of small ops, where the goldens do not reach: other windows and widths, sizes
// that no window divides, masks of every share, one frame's queries with and without earlier frames.
#include <gtest/gtest.h>

#include "mia/nn/masked_block.hpp"
#include "support/random_model.hpp"

namespace mia {
namespace {

constexpr double fused_rounding =
    3e-6;  // relative to the largest value: sums of up to a few hundred terms in another order

struct KeepProbe : NoProbe {
    std::vector<std::uint8_t> keep;
    void mask(View<const std::uint8_t, 3> k) { keep.assign(k.data, k.data + (k.data ? k.size() : 0)); }
};

Tensor<float, 4> random_features(int F, int H, int W, int C, unsigned seed) {
    std::mt19937 random(seed);
    std::normal_distribution<float> value(0, 1);
    Tensor<float, 4> x(F, H, W, C);
    for (std::ptrdiff_t i = 0; i < x.size(); ++i) x.data()[i] = value(random);
    return x;
}

template <AttentionConfig A, MaskConfig M, BlockKernel K, template <AttentionConfig, class> class Attention>
using Block = MaskedBlock<BlockConfig{.attention = A, .mlp_ratio = 2, .mask = M, .kernel = K}, Cpu, Attention>;

/// Runs both on `frames` frames of which each changes a part of the last, and compares results, masks and work.
template <AttentionConfig A, MaskConfig M, template <AttentionConfig, class> class Attention = InterFrameAttention>
void compare(int H, int W, Shift shift, int threads, int frames = 3) {
    using Fused = Block<A, M, BlockKernel::fused, Attention>;
    using Composed = Block<A, M, BlockKernel::composed, Attention>;
    static_assert(Fused::is_fused && !Composed::is_fused);
    Cpu cpu(threads, ScratchFill::nan), other(1, ScratchFill::nan);
    Network<Fused> fused(cpu);
    Network<Composed> composed(other);
    test::randomize(*fused, 3);
    test::randomize(*composed, 3);
    prepare(cpu, *fused);
    prepare(other, *composed);
    typename Fused::State fused_state;
    typename Composed::State composed_state;
    auto x = random_features(1, H, W, A.embed_dim, 1);
    const auto cond = random_features(Fused::condition_frames, H, W, A.embed_dim, 2);
    for (int t = 0; t < frames; ++t) {
        const auto noise = random_features(1, H, W, A.embed_dim, 10 + unsigned(t));
        for (int p = 0; p < H * W; ++p)  // the lower part changes, more of it each time: at the left one pixel in three
            if (p / W >= H / (t + 2) && (p % W >= W / 3 || p % 3 == 0))
                for (int c = 0; c < A.embed_dim; ++c)
                    x.data()[p * A.embed_dim + c] += noise.data()[p * A.embed_dim + c];
        Tensor<float, 4> y(1, H, W, A.embed_dim), expected(1, H, W, A.embed_dim);
        const Reuse reuse = M.kind == MaskKind::none ? Reuse::none : t == 0 ? Reuse::start : Reuse::masked;
        KeepProbe probe, expected_probe;
        cpu.reset_work();
        other.reset_work();
        fused->forward(cpu, shift, x, cond, reuse, fused_state, y, probe);
        composed->forward(other, shift, x, cond, reuse, composed_state, expected, expected_probe);
        EXPECT_EQ(probe.keep, expected_probe.keep);
        EXPECT_EQ(cpu.work().macs, other.work().macs);
        EXPECT_EQ(cpu.work().dense_macs, other.work().dense_macs);
        EXPECT_EQ(cpu.work().active_tokens, other.work().active_tokens);
        double largest = 0, error = 0;
        for (std::ptrdiff_t i = 0; i < y.size(); ++i) {
            largest = std::max(largest, std::abs(double(expected.data()[i])));
            const double e = std::abs(double(y.data()[i]) - double(expected.data()[i]));
            if (!(e <= error)) error = e;
        }
        EXPECT_LE(error, fused_rounding * largest) << H << " x " << W << " frame " << t;
    }
}

constexpr MaskConfig learned{.kind = MaskKind::learned}, none{.kind = MaskKind::none};
constexpr MaskConfig threshold{.kind = MaskKind::threshold, .threshold = 0.4f};
constexpr AttentionConfig usual{.embed_dim = 24, .num_heads = 3};

TEST(FusedBlock, EverySizeOfFrame) {
    constexpr int sizes[][2] = {{1, 1}, {1, 9}, {8, 8}, {7, 17}, {16, 24}, {19, 8}};
    for (const auto& [H, W] : sizes) {
        compare<usual, threshold>(H, W, Shift::none, 1);
        compare<usual, threshold>(H, W, Shift::half_window, 2);
    }
}
TEST(FusedBlock, EveryMask) {
    compare<usual, learned>(19, 22, Shift::half_window, 2, 5);
    compare<usual, none>(19, 22, Shift::half_window, 3);
    compare<usual, threshold>(19, 22, Shift::none, 3, 5);
}
TEST(FusedBlock, OtherWindows) {
    compare<AttentionConfig{.embed_dim = 20, .num_heads = 4, .window = {3, 5, 5}}, threshold>(13, 16,
                                                                                              Shift::half_window, 2);
    compare<AttentionConfig{.embed_dim = 18, .num_heads = 3, .window = {2, 4, 6}}, threshold>(9, 11, Shift::half_window,
                                                                                              1);
    compare<AttentionConfig{.embed_dim = 8, .num_heads = 1, .window = {3, 2, 3}}, threshold>(9, 11, Shift::half_window,
                                                                                             1);
    compare<AttentionConfig{.embed_dim = 8, .num_heads = 2, .window = {3, 12, 10}}, threshold>(15, 33, Shift::none, 1);
    compare<AttentionConfig{.embed_dim = 4, .num_heads = 2, .window = {2, 40, 40}}, threshold>(9, 41, Shift::none, 1);
}
// Windows that share vectors: an odd number of them, more than a batch, and frames smaller than one batch.
TEST(FusedBlock, SmallWindows) {
    constexpr AttentionConfig four{.embed_dim = 48, .num_heads = 3, .window = {3, 4, 4}};
    for (const auto& [H, W] : {std::pair{11, 19}, {4, 4}, {3, 9}, {25, 20}}) {
        compare<four, threshold>(H, W, Shift::none, 1, 4);
        compare<four, threshold>(H, W, Shift::half_window, 2, 4);
    }
    compare<four, learned>(13, 17, Shift::half_window, 2, 4);
    compare<four, none>(13, 17, Shift::half_window, 2);
    compare<AttentionConfig{.embed_dim = 12, .num_heads = 3, .window = {3, 3, 3}}, threshold>(17, 13,
                                                                                              Shift::half_window, 2);
    compare<AttentionConfig{.embed_dim = 12, .num_heads = 3, .window = {3, 1, 1}}, threshold>(7, 13, Shift::none, 2);
}
TEST(FusedBlock, OtherWidths) {
    compare<AttentionConfig{.embed_dim = 120, .num_heads = 6}, learned>(11, 19, Shift::half_window, 2);
    compare<AttentionConfig{.embed_dim = 32, .num_heads = 2}, none>(11, 19, Shift::half_window, 2);
    compare<AttentionConfig{.embed_dim = 7, .num_heads = 7, .qkv_bias = false}, threshold>(11, 19, Shift::none, 2);
}
TEST(FusedBlock, NoEarlierFrames) { compare<usual, threshold, IntraFrameAttention>(13, 18, Shift::half_window, 2); }

/// Keys and values stored when the earlier frames were made, against those computed from the frames once moved.
template <AttentionConfig A, MaskConfig M, class T>
void compare_stored(int H, int W, Shift shift, int threads) {
    using Block = MaskedBlock<BlockConfig{.attention = A, .mask = M}, BasicCpu<T>, InterFrameAttention>;
    constexpr int C = A.embed_dim, Fc = Block::condition_frames;
    const int P = H * W;
    BasicCpu<T> cpu(threads, ScratchFill::nan);
    Network<Block, BasicCpu<T>> block(cpu);
    test::randomize(*block, 3);
    prepare(cpu, *block);
    std::mt19937 random(5);
    const auto features = [&](int F, int h, int w, unsigned seed) {
        const auto values = random_features(F, h, w, C, seed);
        Tensor<T, 4> x(F, h, w, C);
        std::transform(values.data(), values.data() + values.size(), x.data(), [](float v) { return T(v); });
        return x;
    };
    const auto earlier = features(Fc, 1, P + 1, 7);  // the last token is what lies outside
    Tensor<T, 4> cond(Fc, H, W, C);
    Tensor<T, 3> rows(Fc, P + 2, kv_width<T>(Block::shape));
    Tensor<int, 3> source(Fc, H, W);
    StoredKv<T> stored[Fc];
    for (int f = 0; f < Fc; ++f) {
        for (int p = 0; p < P; ++p) {
            const int from = int(random() % unsigned(P + 1)) - 1;
            source.view()[f].data[p] = from;
            const T* token = earlier.view()[f].data + std::ptrdiff_t(from < 0 ? P : from) * C;
            std::copy_n(token, C, cond.view()[f].data + std::ptrdiff_t(p) * C);
        }
        block->store_kv(cpu, View<const T, 2>{earlier.view()[f].data, {P + 1, C}}, rows.view()[f]);
        stored[f] = {rows.view()[f], source.view()[f]};
    }
    Tensor<T, 4> unread(Fc, H, W, C);
    std::fill_n(unread.data(), unread.size(), T(std::numeric_limits<float>::quiet_NaN()));
    typename Block::State computed_state, stored_state;
    for (int t = 0; t < 2; ++t) {
        auto x = features(1, H, W, 1);
        if (t == 1)
            for (int p = 0; p < P; p += 2)
                x.data()[std::ptrdiff_t(p) * C] = T(float(x.data()[std::ptrdiff_t(p) * C]) + 3);
        const Reuse reuse = M.kind == MaskKind::none ? Reuse::none : t == 0 ? Reuse::start : Reuse::masked;
        Tensor<T, 4> expected(1, H, W, C), y(1, H, W, C);
        cpu.reset_work();
        block->forward(cpu, shift, x, cond, reuse, computed_state, expected);
        const auto work = cpu.work();
        cpu.reset_work();
        block->forward(cpu, shift, x, Condition<T>(unread, stored), reuse, stored_state, y);
        const WindowGrid grid{H, W, A.window, shift};
        EXPECT_EQ(work.dense_macs - cpu.work().dense_macs,
                  std::int64_t(grid.windows()) * 2 * Fc * A.window.tokens() * C * C);
        EXPECT_LE(cpu.work().macs, cpu.work().dense_macs);
        for (std::ptrdiff_t i = 0; i < y.size(); ++i)
            ASSERT_NEAR(double(y.data()[i]), double(expected.data()[i]), 2e-6) << i << ", frame " << t;
    }
}

TEST(FusedBlock, StoredKeysAndValues) {
    constexpr AttentionConfig four{.embed_dim = 48, .num_heads = 3, .window = {3, 4, 4}},
        narrow{.embed_dim = 9, .num_heads = 3, .window = {2, 3, 5}};
    compare_stored<usual, threshold, float>(19, 22, Shift::half_window, 2);
    compare_stored<usual, none, float>(8, 8, Shift::none, 1);
    compare_stored<four, learned, float>(13, 17, Shift::half_window, 2);
    compare_stored<four, threshold, double>(5, 9, Shift::none, 1);
    compare_stored<four, none, Bf16>(13, 17, Shift::half_window, 1);
    compare_stored<narrow, threshold, Bf16>(11, 16, Shift::none, 2);
    compare_stored<AttentionConfig{.embed_dim = 120, .num_heads = 6}, threshold, Bf16>(11, 19, Shift::none, 2);
}

}  // namespace
}  // namespace mia
