#pragma once
#include <tuple>
#include <utility>

#include "mia/nn/residual_group.hpp"

namespace mia {

/// Blocks of each residual group: {6, 6, 6, 6}. At most 16 groups; a zero ends the list.
struct Depths {
    static constexpr int most = 16;
    int value[most] = {};

    constexpr int groups() const {
        int n = 0;
        while (n < most && value[n] != 0) ++n;
        return n;
    }
    constexpr int blocks() const {
        int sum = 0;
        for (int i = 0; i < groups(); ++i) sum += value[i];
        return sum;
    }
    constexpr bool is_valid() const {  // nothing behind the first zero
        for (int i = 0; i < most; ++i)
            if (value[i] < 0 || (i >= groups() && value[i] != 0)) return false;
        return groups() > 0;
    }
};

/// What the first block of a branch works on. With linear or convolution small models soon learn from their neighbours.
/// Parameters: fusion.0, fusion.1, ..., a convolution a frame, oldest first.
enum class Fusion {
    none,        ///< the current frame alone; the earlier ones are keys and values (published)
    linear,      ///< the current frame + a linear map of the pixel in all frames, normed, as convolution of 1 x 1
    convolution  ///< likewise, a convolution of 3 x 3, as in BasicVSR
};

struct SwinIrfmConfig {
    BlockConfig block = {};
    Depths depths = {{6, 6, 6, 6}};
    Fusion fusion = Fusion::none;
    bool kv_cache = false;  ///< see MiaVsrConfig
};

/// One propagation branch's network (SwinIRFM): residual groups on the stack of the current and the earlier enhanced
/// frames. out = conv_after_body(norm(groups(fusion(patch_norm(stack))))) + the stack's last frame, not normed.
/// With embed_dim = 64 every frame first passes conv_first_feat, as the official code silently does.
template <SwinIrfmConfig C, Backend B, template <AttentionConfig, class> class Attention>
class SwinIrfm {
    static_assert(C.depths.is_valid(),
                  "SwinIrfm: depths must list 1 to 16 groups of at least one block, zeros only at the end; published: "
                  "{6, 6, 6, 6}");
    static constexpr int dim = C.block.attention.embed_dim, frames = C.block.attention.window.frames;
    using Block = MaskedBlock<C.block, B, Attention>;
    static_assert(C.fusion == Fusion::none || Block::query_frames == 1,
                  "SwinIrfm: fusion makes one frame of all; it needs attention whose queries come from one frame");
    static_assert(Block::query_frames + Block::condition_frames <= frames,
                  "SwinIrfm: the attention uses more frames than the window has; give .window more frames");

public:
    using Scalar = typename B::Scalar;
    static constexpr int blocks = C.depths.blocks();
    static constexpr bool has_conv_first_feat = dim == 64;

    /// Whether keys and values of a frame are computed once. (conv_first_feat sees neighbours: they would differ.)
    static constexpr bool has_kv_cache =
        C.kv_cache && Block::is_fused && Block::condition_frames > 0 && !has_conv_first_feat;

    struct State {
        std::array<typename Block::State, std::size_t(blocks)> block;
        using FrameKv = std::array<Tensor<Scalar, 2, B>, std::size_t(blocks)>;
        std::array<FrameKv, has_kv_cache ? std::size_t(Block::condition_frames) : 0>
            kv;  ///< of the last steps, in turn
    };

    /// Keeps the keys and values of a frame for the next steps, before it is moved anywhere. result: (H, W, C), what
    /// `step` gave.
    void store_kv(B& backend, View<const Scalar, 3> result, int step, State& state) const requires(has_kv_cache) {
        const auto scope = backend.scope();
        const int P = result.extent(0) * result.extent(1);
        const auto outside = backend.scratch(1, dim), tokens = backend.scratch(P + 1, dim);
        fill_zero(backend, outside);
        patch_norm_.forward(backend, rows_of(result), tokens.slice(0, P));
        patch_norm_.forward(backend, outside, tokens.slice(P, 1));
        auto* kv = state.kv[std::size_t(step % Block::condition_frames)].data();
        each_block([&](const Block& block) {
            kv->resize(backend, P + 2, kv_width<Scalar>(Block::shape));
            block.store_kv(backend, tokens, kv->view());
            ++kv;
        });
    }

    /// stack: (frames, H, W, C), oldest first, the current frame last; step: 0 for the first frame of a branch, whose
    /// state begins anew -> out: (H, W, C). sources: (frames - 1, H, W), whence the alignment took each token of the
    /// earlier frames (TokenGather), where store_kv() was called for every step before; else empty.
    template <class Probe = NoProbe>
    void forward(B& backend, View<const Scalar, 4> stack, int step, State& state, View<Scalar, 3> out,
                 Probe&& probe = {}, View<const int, 3> sources = {}) const {
        const auto scope = backend.scope();
        const int H = stack.extent(1), W = stack.extent(2);
        if constexpr (has_conv_first_feat) {
            const auto first = backend.scratch(frames, H, W, dim);
            for (int f = 0; f < frames; ++f) conv_first_feat_.forward(backend, stack[f], first[f]);
            stack = first;
        }
        const auto center = stack[frames - 1];
        const auto normed = backend.scratch(frames, H, W, dim);
        patch_norm_.forward(backend, rows_of(stack), rows_of(normed));
        probe.embedded(normed);
        constexpr int queries = Block::query_frames, conditions = Block::condition_frames;
        const View<const Scalar, 4> all = normed, cond = all.slice(frames - queries - conditions, conditions);
        std::array<std::array<StoredKv<Scalar>, std::size_t(conditions)>, std::size_t(blocks)> stored;
        std::array<Condition<Scalar>, std::size_t(blocks)> condition;
        std::array<Reuse, std::size_t(blocks)> reuse;
        std::array<float, std::size_t(blocks)> depths;
        for (int n = 0; n < blocks; ++n) {
            reuse[std::size_t(n)] = reuse_of(n, step);
            depths[std::size_t(n)] = blocks > 1 ? float(n) / float(blocks - 1) : 0.0f;
            condition[std::size_t(n)].frames = cond;
            if constexpr (has_kv_cache) {
                if (step == 0 || sources.data == nullptr) continue;
                for (int f = 0; f < conditions; ++f) {
                    const int age = std::min(conditions - f, step);  // while fewer are there the oldest is repeated
                    stored[std::size_t(n)][std::size_t(f)] = {
                        state.kv[std::size_t((step - age) % conditions)][std::size_t(n)].view(),
                        sources[frames - 1 - age]};
                }
                condition[std::size_t(n)].stored = stored[std::size_t(n)].data();
            }
        }

        View<const Scalar, 4> features = all.slice(frames - queries, queries);
        if constexpr (C.fusion != Fusion::none) {
            const auto next = backend.scratch(queries, H, W, dim);
            FusionConv::forward_sum(backend, fusion_, all, next[0], features[0]);
            features = next;
            probe.fused(features);
        }
        int block = 0, group = 0;
        std::apply(
            [&](const auto&... groups) {
                const auto run = [&](const auto& g) {
                    const auto next = backend.scratch(queries, H, W, dim);
                    g.forward(backend, features, &condition[std::size_t(block)], &reuse[std::size_t(block)],
                              &state.block[std::size_t(block)], &depths[std::size_t(block)], next, group, probe);
                    features = next;
                    block += std::decay_t<decltype(g)>::depth;
                    ++group;
                };
                (run(groups), ...);
            },
            groups_);
        const auto last = backend.scratch(H, W, dim);  // only the current frame goes on
        norm_.forward(backend, rows_of(features[queries - 1]), rows_of(last));
        conv_after_body_.forward(backend, last, out, Activation::none, center);
    }

    template <class Self, class Visit>
    static constexpr void each_member(Self& self, Visit&& visit) {
        if constexpr (has_conv_first_feat) visit("conv_first_feat", self.conv_first_feat_);
        visit("patch_embed.norm", self.patch_norm_);
        if constexpr (C.fusion != Fusion::none) visit("fusion", self.fusion_);
        visit("layers", self.groups_);
        visit("norm", self.norm_);
        visit("conv_after_body", self.conv_after_body_);
    }

private:
    static constexpr Reuse reuse_of(int block, int step) {
        constexpr MaskConfig mask = C.block.mask;
        if (mask.kind == MaskKind::none || block < mask.first_blocks) return Reuse::none;
        if constexpr (mask.refresh_every > 0) step %= mask.refresh_every;
        return step == 0 ? Reuse::start : Reuse::masked;
    }

    template <class F>
    void each_block(F f) const {
        std::apply(
            [&](const auto&... groups) {
                const auto of = [&](const auto& g) {
                    for (int k = 0; k < g.depth; ++k) f(g.block(k));
                };
                (of(groups), ...);
            },
            groups_);
    }

    template <std::size_t... I>
    static auto groups_type(std::index_sequence<I...>)
        -> std::tuple<ResidualGroup<ResidualGroupConfig{C.block, C.depths.value[I]}, B, Attention>...>;
    using Groups = decltype(groups_type(std::make_index_sequence<std::size_t(C.depths.groups())>{}));
    using Conv = Conv2d<Conv2dConfig{.in_channels = dim, .out_channels = dim}, B>;
    using FusionConv =
        Conv2d<Conv2dConfig{.in_channels = dim, .out_channels = dim, .kernel_size = C.fusion == Fusion::linear ? 1 : 3},
               B>;

    Conv conv_first_feat_;
    LayerNorm<dim, B> patch_norm_;
    std::array<FusionConv, std::size_t(frames)> fusion_;
    Groups groups_;
    LayerNorm<dim, B> norm_;
    Conv conv_after_body_;
};

}  // namespace mia
