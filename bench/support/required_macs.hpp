#pragma once
#include <cstdint>
#include <string_view>
#include <utility>

#include "mia/core/count.hpp"
#include "mia/core/module.hpp"
#include "mia/models/mia_vsr.hpp"
#include "mia/nn/masked_block.hpp"

/// The multiply-adds of products that a module must do: with the mask respected, without padded tokens and without
/// lanes that a kernel rounds up. Shares of the peak are shares of these.
namespace mia::bench {

/// Attention of one block. K and V: every token inside the image, of all key frames, in windows with an active token.
/// Q, scores, A V and projection: active tokens. keep: (query frames, H, W) bytes; empty keeps all.
inline std::int64_t attention_macs(const AttentionConfig& config, WindowFrames frames, const WindowGrid& grid,
                                   View<const std::uint8_t, 3> keep = {}) {
    const std::int64_t C = config.embed_dim, N = config.window.tokens();
    std::int64_t active = 0, in_active_windows = 0;
    for (int w = 0; w < grid.windows(); ++w) {
        std::int64_t inside = 0, queries = 0;
        for (int n = 0; n < N; ++n) {
            const int pixel = grid.pixel(w, n);
            if (pixel < 0) continue;
            ++inside;
            for (int f = 0; f < frames.queries; ++f)
                queries += !keep.data || keep.data[std::ptrdiff_t(f) * grid.pixels() + pixel] != 0;
        }
        active += queries;
        if (queries > 0) in_active_windows += inside;
    }
    return in_active_windows * frames.keys * 2 * C * C + active * (2 * C * C + 2 * frames.keys * N * C);
}

/// Number of active tokens in a mask; an empty one keeps all of `tokens`.
inline std::int64_t active_tokens(View<const std::uint8_t, 3> keep, std::int64_t tokens) {
    if (!keep.data) return tokens;
    std::int64_t active = 0;
    for (std::ptrdiff_t i = 0; i < keep.size(); ++i) active += keep.data[i] != 0;
    return active;
}

/// A whole block: attention, and the MLP of active tokens. (The mask predictor's C a token is not counted.)
inline std::int64_t block_macs(const BlockConfig& config, WindowFrames frames, const WindowGrid& grid,
                               View<const std::uint8_t, 3> keep = {}) {
    const std::int64_t C = config.attention.embed_dim;
    return attention_macs(config.attention, frames, grid, keep) +
           active_tokens(keep, std::int64_t(frames.queries) * grid.pixels()) * 2 * config.mlp_ratio * C * C;
}

/// block_macs() with the lanes that the fused block on BasicCpu<T> computes besides: whole vectors of padded and masked
/// tokens. K and V of windows with an active token, but for panels of nothing but padding; attention by windows; the
/// rest by batches of windows.
template <class T>
std::int64_t vector_macs(const BlockConfig& config, WindowFrames frames, const WindowGrid& grid,
                         View<const std::uint8_t, 3> keep = {}) {
    const AttentionConfig& a = config.attention;
    const BlockShape shape{a.embed_dim, a.num_heads, config.mlp_ratio * a.embed_dim, a.window, frames.keys - 1};
    using Worker = detail::BlockWorker<T>;
    const int batch = Worker::batch_bundles(shape) * Worker::bundle_of(shape).windows();
    const auto whole = [](std::int64_t tokens) { return simd::round_up(tokens, std::int64_t(simd::lanes<T>)); };
    const std::int64_t C = a.embed_dim, N = a.window.tokens(),
                       panel = std::min<std::int64_t>(N, simd::panel_vectors * simd::lanes<T>);
    std::int64_t keys = 0, attending = 0, active = 0;
    for (int w = 0, in_batch = 0; w < grid.windows(); ++w) {
        int queries = 0;
        std::int64_t in_panels = 0;
        for (std::int64_t first = 0; first < N; first += panel) {
            bool is_empty = true;
            for (std::int64_t n = first; n < std::min(first + panel, N); ++n) {
                const int pixel = grid.pixel(w, int(n));
                is_empty &= pixel < 0;
                queries += pixel >= 0 && (!keep.data || keep.data[pixel]);
            }
            if (!is_empty) in_panels += whole(std::min(panel, N - first));
        }
        if (queries > 0) keys += in_panels;
        attending += whole(queries);
        in_batch += queries;
        if ((w + 1) % batch == 0 || w + 1 == grid.windows()) active += whole(std::exchange(in_batch, 0));
    }
    return keys * frames.keys * 2 * C * C + attending * 2 * frames.keys * N * C +
           active * (2 * C * C + 2 * config.mlp_ratio * C * C);
}

constexpr std::int64_t conv_macs(int in, int out, int kernel_size, std::int64_t pixels) {
    return pixels * kernel_size * kernel_size * in * out;
}

/// Residual groups of a branch without a mask: their blocks, and a convolution each.
inline std::int64_t groups_macs(const BlockConfig& block, WindowFrames frames, int blocks, int groups, int H, int W) {
    const int C = block.attention.embed_dim;
    return blocks * block_macs(block, frames, {H, W, block.attention.window}) +
           std::int64_t(groups) * frames.queries * conv_macs(C, C, 3, std::int64_t(H) * W);
}

/// A branch without a mask for one frame: fusion, groups, conv_after_body. The attention's queries are of one frame.
inline std::int64_t branch_macs(const SwinIrfmConfig& config, int H, int W) {
    const AttentionConfig& attention = config.block.attention;
    const int C = attention.embed_dim, frames = attention.window.frames;
    const std::int64_t P = std::int64_t(H) * W, convolution = conv_macs(C, C, 3, P);
    const std::int64_t fusion =
        config.fusion == Fusion::none ? 0 : conv_macs(C, C, config.fusion == Fusion::linear ? 1 : 3, P);
    return frames * fusion +
           groups_macs(config.block, {.keys = frames, .queries = 1}, config.depths.blocks(), config.depths.groups(), H,
                       W) +
           convolution;
}

/// Products that a module's own forward() records on the counting backend: run(module, count), every token active.
/// Padded tokens are among them.
template <class M, class Run>
std::int64_t counted_macs(Run run) {
    Count setup, count;
    Network<M, Count> network(setup);
    prepare(setup, *network);
    run(*network, count);
    std::int64_t sum = 0;
    for (const auto& entry : count.entries())
        if (std::string_view(entry.work.op) != "predict_mask") sum += entry.work.macs;
    return sum;
}

/// A clip through a whole model with the published attention, every token active: the count of its forward() without
/// keys and values of padded tokens.
template <class M>
std::int64_t clip_macs(int frames, int H, int W) {
    using OnCount = typename M::template On<Count>;
    const std::int64_t counted = counted_macs<OnCount>([&](const OnCount& model, Count& count) {
        const auto lqs = count.scratch(frames, H, W, 3), out = count.scratch(frames, M::scale * H, M::scale * W, 3);
        typename OnCount::State state;
        model.forward(count, lqs, out, state);
    });
    const auto& config = M::config;
    const WindowGrid grid{H, W, config.window};
    const std::int64_t padded = std::int64_t(grid.windows()) * config.window.tokens() - grid.pixels(),
                       C = config.embed_dim, blocks = config.directions.count * config.depths.blocks();
    return counted - frames * blocks * padded * config.window.frames * 2 * C * C;
}

}  // namespace mia::bench
