#include "support/required_macs.hpp"

#include <gtest/gtest.h>

#include <vector>

namespace {
using namespace mia;
using namespace mia::bench;

constexpr BlockConfig config{.attention = {.embed_dim = 32, .num_heads = 2}};
constexpr WindowFrames inter{.keys = 3, .queries = 1};
using Block = MaskedBlock<config, Count, InterFrameAttention>;

/// Products of a block on the counting backend, every token active.
std::int64_t counted_block(int H, int W) {
    return counted_macs<Block>([&](const Block& block, Count& count) {
        const auto x = count.scratch(1, H, W, 32), cond = count.scratch(2, H, W, 32), y = count.scratch(1, H, W, 32);
        Block::State state;
        block.forward(count, Shift::none, x, cond, Reuse::start, state, y);
    });
}

TEST(RequiredMacs, DenseBlockIsTheFormula) {  // 12 C^2 + 384 C a pixel, whatever the padding and the shift
    const BlockConfig base{.attention = mia_vsr_base.attention()};
    for (const Shift shift : {Shift::none, Shift::half_window}) {
        const WindowGrid grid{180, 320, base.attention.window, shift};
        EXPECT_EQ(block_macs(base, inter, grid), std::int64_t(180) * 320 * (12 * 120 * 120 + 384 * 120));
    }
}

TEST(RequiredMacs, WithoutPaddingAgreesWithTheCountingBackend) {
    EXPECT_EQ(block_macs(config, inter, {16, 24, config.attention.window}), counted_block(16, 24));
    EXPECT_LT(block_macs(config, inter, {15, 23, config.attention.window}), counted_block(15, 23));
}

TEST(RequiredMacs, FollowsTheMask) {
    const WindowGrid grid{11, 13, config.attention.window};  // 4 windows: 8 x 8, 8 x 5, 3 x 8, 3 x 5 pixels inside
    std::vector<std::uint8_t> keep(11 * 13, 0);
    const View<const std::uint8_t, 3> mask{keep.data(), {1, 11, 13}};
    EXPECT_EQ(block_macs(config, inter, grid, mask), 0);
    keep[0] = 1;
    const std::int64_t C = 32, per_token = 2 * C * C + 2 * 192 * C + 4 * C * C;
    EXPECT_EQ(block_macs(config, inter, grid, mask), 64 * 3 * 2 * C * C + per_token);
    keep[10 * 13 + 12] = keep[10 * 13 + 11] = 1;
    EXPECT_EQ(block_macs(config, inter, grid, mask), (64 + 15) * 3 * 2 * C * C + 3 * per_token);
    const WindowGrid shifted{11, 13, config.attention.window, Shift::half_window};  // a window each: 3, 0 and 1
    std::int64_t inside = 0;
    for (const int w : {0, 1, 3})
        for (int n = 0; n < 64; ++n) inside += shifted.pixel(w, n) >= 0;
    EXPECT_EQ(block_macs(config, inter, shifted, mask), inside * 3 * 2 * C * C + 3 * per_token);
}

TEST(RequiredMacs, VectorsHoldWholeWindowsAndWholeVectorsOfTokens) {
    const WindowGrid whole{16, 24, config.attention.window};  // windows of 64 tokens
    EXPECT_EQ(vector_macs<float>(config, inter, whole), block_macs(config, inter, whole));
    const std::int64_t C = 32, lanes = simd::lanes<float>;
    std::vector<std::uint8_t> keep(16 * 24, 0);
    const View<const std::uint8_t, 3> mask{keep.data(), {1, 16, 24}};
    EXPECT_EQ(vector_macs<float>(config, inter, whole, mask), 0);
    keep[0] = keep[1] = keep[23] = 1;  // two windows of one batch
    EXPECT_EQ(vector_macs<float>(config, inter, whole, mask),
              2 * (64 * 3 * 2 * C * C + lanes * 2 * 192 * C) + lanes * 6 * C * C);
    keep[1] = keep[23] = 0;
    keep[15 * 24] = 1;  // the fourth window, of another batch
    EXPECT_EQ(vector_macs<float>(config, inter, whole, mask),
              2 * (64 * 3 * 2 * C * C + lanes * (2 * C * C + 2 * 192 * C + 4 * C * C)));
    // The lower half of a window, nothing but padding, is a panel of its own with 16 lanes, several with fewer.
    const WindowGrid padded{4, 8, config.attention.window};
    EXPECT_EQ(vector_macs<float>(config, inter, padded), 32 * (3 * 2 * C * C + 2 * C * C + 2 * 192 * C + 4 * C * C));
    // Windows of 16 tokens share vectors of queries, projection and MLP.
    const BlockConfig small{.attention = {.embed_dim = 32, .num_heads = 2, .window = {3, 4, 4}}};
    const WindowGrid grid{4, 16, small.attention.window};
    std::vector<std::uint8_t> one_each(4 * 16, 0);
    for (int w = 0; w < 4; ++w) one_each[std::size_t(4 * w)] = 1;
    EXPECT_EQ(vector_macs<float>(small, inter, grid, {one_each.data(), {1, 4, 16}}),
              4 * (simd::round_up<std::int64_t>(16, lanes) * 3 * 2 * C * C + lanes * 2 * 48 * C) +
                  simd::round_up<std::int64_t>(4, lanes) * 6 * C * C);
}

TEST(RequiredMacs, AClipIsTheSumOfItsParts) {
    constexpr int T = 2, H = 20, W = 27;  // padded to 24 x 32
    const std::int64_t P = H * W, C = 48;
    // Two blocks' 12 C^2 + 2 * 48 C; three linear maps of fusion; the group's convolution and the last one.
    const std::int64_t branch = 2 * P * (12 * C * C + 96 * C) + 3 * P * C * C + 2 * P * 9 * C * C;
    EXPECT_EQ(branch_macs(mia_vsr_lite.branch(), H, W), branch);
    const std::int64_t rest = conv_macs(3, 48, 3, P) + conv_macs(48, 48, 3, P) + conv_macs(48, 48, 3, P);
    EXPECT_EQ(clip_macs<MiaVsrLite<>>(T, H, W), T * (2 * branch + rest));
    // 2 groups of 3 blocks of 12 * 32^2 + 384 * 32; without fusion, and with convolutions of 3 frames.
    constexpr SwinIrfmConfig groups{config, {{3, 3}}};
    EXPECT_EQ(branch_macs(groups, H, W), 6 * P * (12 * 32 * 32 + 384 * 32) + 3 * P * 9 * 32 * 32);
    constexpr SwinIrfmConfig fused{config, {{3, 3}}, Fusion::convolution};
    EXPECT_EQ(branch_macs(fused, H, W), branch_macs(groups, H, W) + 3 * P * 9 * 32 * 32);
}

}  // namespace
