#pragma once
#include "mia/nn/layer_norm.hpp"
#include "mia/nn/mask_predictor.hpp"
#include "mia/nn/mlp.hpp"
#include "mia/nn/probe.hpp"
#include "mia/nn/window_attention.hpp"
#include "mia/ops/elementwise/elementwise.hpp"
#include "mia/ops/fused_block/fused_block.hpp"
#include "mia/ops/mask/masked_rows.hpp"
#include "mia/ops/training.hpp"

namespace mia {

/// How a block is computed. The numbers agree to rounding.
enum class BlockKernel {
    fused,  ///< as one op, window by window, where the backend has it and the attention is the library's, else composed
    composed  ///< as a sequence of small ops: the fused one's reference
};

struct BlockConfig {
    AttentionConfig attention = {};
    int mlp_ratio = 2;
    MaskConfig mask = {};
    BlockKernel kernel = BlockKernel::fused;
};

/// Masked inter- and intra-frame attention block (MIA-VSR, Fig. 3; here without the official code's waste: what the
/// mask makes unnecessary is not done):
///   x1 = x + attention(norm1(x), norm1(cond)),   y = x1 + mlp(norm2(x1)),
/// both branches computed for active tokens and taken from the state for the others. A token is compared with the same
/// pixel of the previous frame, never with the frame its stored result comes from.
template <BlockConfig C, Backend B, template <AttentionConfig, class> class Attention>
class MaskedBlock {
    using Attn = Attention<C.attention, B>;
    static_assert(BlockAttention<Attn, B>, "MaskedBlock: the attention type does not meet the concept BlockAttention");
    static_assert(Attn::query_frames == 1 || C.mask.kind == MaskKind::none,
                  "MaskedBlock: a mask needs attention whose queries come from one frame; for joint attention use "
                  ".mask = {.kind = MaskKind::none}");
    static_assert(C.mlp_ratio > 0, "MaskedBlock: mlp_ratio must be positive; published: 2");
    static constexpr int dim = C.attention.embed_dim;

public:
    using Scalar = typename B::Scalar;
    static constexpr BlockConfig config = C;
    static constexpr int query_frames = Attn::query_frames, condition_frames = Attn::condition_frames;

    static constexpr bool is_fused =
        has_fused_block<B> && C.kernel == BlockKernel::fused && query_frames == 1 &&
        std::is_same_v<Attn, WindowAttention<C.attention, WindowFrames{condition_frames + 1, 1}, B>>;
    static constexpr bool packs_members = is_fused;

    /// What the composition keeps from one frame to the next, in image layout (P = H * W pixels). Empty without a mask.
    struct ComposedState {
        Tensor<Scalar, 2, B> pred_q;  ///< (P, C) normed tokens of the last frame, reused or not
        Tensor<Scalar, 2, B> x_pred;  ///< (P, C) attention branch, possibly older
        Tensor<Scalar, 2, B> hidden;  ///< (P, C) MLP branch, possibly older
    };
    using State = std::conditional_t<is_fused, FusedState<B>, ComposedState>;

    static constexpr BlockShape shape{dim, C.attention.num_heads, dim* C.mlp_ratio, C.attention.window,
                                      condition_frames};

    /// x: (Fq, H, W, C) running features; cond: (Fc, H, W, C) the earlier frames, oldest first, the same for all blocks
    /// of a branch (and, for the fused block, their keys and values, if stored) -> y: (Fq, H, W, C), not overlapping x.
    /// depth: 0 for the first block of a branch to 1 for the last (in training, how often it is dropped).
    template <class Probe = NoProbe>
    void forward(B& backend, Shift shift, View<const Scalar, 4> x, const Condition<Scalar>& cond, Reuse reuse,
                 State& state, View<Scalar, 4> y, Probe&& probe = {}, float depth = 0) const {
        if (mask_.is_off()) reuse = Reuse::none;
        check(x, cond.frames, reuse, state, y);
        if constexpr (is_fused)
            forward_fused(backend, shift, x, cond, reuse, state, y, probe);
        else
            forward_composed(backend, shift, x, cond.frames, reuse, state, y, probe, depth);
    }
    template <class Probe = NoProbe>
    void forward(B& backend, Shift shift, View<const Scalar, 4> x, View<const Scalar, 4> cond, Reuse reuse,
                 State& state, View<Scalar, 4> y, Probe&& probe = {}, float depth = 0) const {
        forward(backend, shift, x, Condition<Scalar>(cond), reuse, state, y, probe, depth);
    }

    /// Keys and values of an earlier frame for later calls' `cond`. tokens: (P + 1, C) its tokens, normed as cond is,
    /// the last one what was zeros -> rows: (P + 2, kv_width), see StoredKv.
    void store_kv(B& backend, View<const Scalar, 2> tokens, View<Scalar, 2> rows) const requires(is_fused) {
        mia::store_kv(backend, tokens, packed_, rows);
    }

    /// Packs the whole block for the fused op. (Composed, the members pack themselves.)
    void pack(B& backend) {
        if constexpr (is_fused) {
            const BlockMask mask = mask_.is_off()       ? BlockMask::none
                                   : mask_.is_learned() ? BlockMask::learned
                                                        : BlockMask::threshold;
            pack_block(backend, shape,
                       BlockParameters<Scalar>{.norm1_weight = norm1_.weight(),
                                               .norm1_bias = norm1_.bias(),
                                               .norm2_weight = norm2_.weight(),
                                               .norm2_bias = norm2_.bias(),
                                               .bias_table = attn_.bias_table(),
                                               .qkv_weight = attn_.qkv_weight(),
                                               .proj_weight = attn_.proj().weight(),
                                               .fc1_weight = mlp_.fc1().weight(),
                                               .fc2_weight = mlp_.fc2().weight(),
                                               .predictor_weight = mask_.weight(),
                                               .qkv_bias = attn_.qkv_bias(),
                                               .proj_bias = attn_.proj().bias(),
                                               .fc1_bias = mlp_.fc1().bias(),
                                               .fc2_bias = mlp_.fc2().bias(),
                                               .predictor_bias = mask_.bias(),
                                               .mask = mask,
                                               .threshold = mask_.threshold()},
                       packed_);
        }
    }
    void drop_packing() {
        if constexpr (is_fused) packed_.ready = false;
    }

    template <class Self, class Visit>
    static constexpr void each_member(Self& self, Visit&& visit) {
        visit("norm1", self.norm1_);
        visit("attn", self.attn_);
        if constexpr (C.mask.kind != MaskKind::none) visit("attn.predmask", self.mask_);
        visit("norm2", self.norm2_);
        visit("mlp", self.mlp_);
    }

private:
    template <class Probe>
    void forward_fused(B& backend, Shift shift, View<const Scalar, 4> x, const Condition<Scalar>& cond, Reuse reuse,
                       State& state, View<Scalar, 4> y, Probe&& probe) const {
        static_assert(
            !requires { probe.change_mask(View<std::uint8_t, 3>{}); },
            "MaskedBlock: only a composed block lets a probe change the mask; use .kernel = "
            "BlockKernel::composed");
        const auto scope = backend.scope();
        View<std::uint8_t, 3> keep{};  // (1, H, W); empty when every token is computed
        if (reuse == Reuse::masked) keep = backend.template scratch<std::uint8_t>(1, x.extent(1), x.extent(2));
        const View<std::uint8_t, 2> image = keep.data ? keep[0] : View<std::uint8_t, 2>{};
        fused_block(backend, shift, x[0], cond, packed_, reuse, state, y[0], image);
        probe.mask(View<const std::uint8_t, 3>(keep));
    }

    template <class Probe>
    void forward_composed(B& backend, Shift shift, View<const Scalar, 4> x, View<const Scalar, 4> cond, Reuse reuse,
                          State& state, View<Scalar, 4> y, Probe&& probe, float depth) const {
        const auto scope = backend.scope();
        const int H = x.extent(1), W = x.extent(2), P = H * W, tokens = query_frames * P;
        const WindowGrid grid{H, W, C.attention.window, shift};
        const auto z = backend.scratch(query_frames, H, W, dim), cond_z = backend.scratch(condition_frames, H, W, dim);
        norm1_.forward(backend, rows_of(x), rows_of(z));
        if constexpr (condition_frames > 0) norm1_.forward(backend, rows_of(cond), rows_of(cond_z));

        View<std::uint8_t, 3> keep{};  // (1, H, W); empty keeps all
        if constexpr (C.mask.kind != MaskKind::none) {
            if (reuse == Reuse::masked) {
                keep = backend.template scratch<std::uint8_t>(1, H, W);
                mask_.forward(backend, grid, rows_of(z), state.pred_q, keep.reshape(P));
                if constexpr (requires { probe.change_mask(keep); }) probe.change_mask(keep);
            }
            if (reuse != Reuse::none) {
                state.pred_q.resize(backend, tokens, dim);
                copy(backend, rows_of(z), state.pred_q.view());
            }
        }
        probe.mask(View<const std::uint8_t, 3>(keep));
        ActiveRows rows = make_active_rows(backend, grid, query_frames);
        select_rows(backend, grid, query_frames, keep, rows);

        const bool stateless = reuse == Reuse::none;
        const View<const std::uint8_t, 1> kept_tokens = keep.reshape(keep.data ? P : 0);
        const auto x_pred =
            masked_rows(backend, rows, kept_tokens, tokens, dim, stateless ? nullptr : &state.x_pred, [&] {
                const auto result = backend.scratch(tokens, dim);
                attn_.forward(backend, grid, rows, cond_z, z, result);
                return result;
            });
        const auto x1 = backend.scratch(tokens, dim);
        add(backend, rows_of(x), drop_path(backend, x_pred, depth), x1);
        const auto hidden = masked_map(backend, rows, kept_tokens, x1, stateless ? nullptr : &state.hidden,
                                       [&](View<const Scalar, 2> active, RowCount count) {
                                           const auto normed = backend.scratch(tokens, dim),
                                                      result = backend.scratch(tokens, dim);
                                           norm2_.forward(backend, active, normed, count);
                                           mlp_.forward(backend, normed, result, count);
                                           return drop_path(backend, View<const Scalar, 2>(result), depth);
                                       });
        add(backend, x1, hidden, rows_of(y));
    }

    static void check(View<const Scalar, 4> x, View<const Scalar, 4> cond, Reuse reuse, const State& state,
                      View<Scalar, 4> y) {
        const int H = x.extent(1), W = x.extent(2);
        const bool fits = condition_frames == 0 || (cond.extent(0) == condition_frames && cond.extent(1) == H &&
                                                    cond.extent(2) == W && cond.extent(3) == dim);
        require(x.extent(0) == query_frames && x.extent(3) == dim && same_shape(x, y) && fits, "MaskedBlock: x ",
                shape_text(x), ", cond ", shape_text(cond), ", y ", shape_text(y), "; needed: (", query_frames,
                ", H, W, ", dim, "), (", condition_frames, ", H, W, ", dim, "), as x");
        if (C.mask.kind == MaskKind::none || reuse != Reuse::masked) return;
        int held;  // pixels
        if constexpr (is_fused)
            held = state.sum.extent(0);
        else
            held = state.pred_q.extent(0);
        require(held == H * W, "MaskedBlock: the state holds ", held, " tokens, the frame has ", H * W,
                "; begin a clip with Reuse::start (step 0)");
    }

    LayerNorm<dim, B> norm1_, norm2_;
    Attn attn_;
    MaskPredictor<C.mask, dim, B> mask_;
    Mlp<MlpConfig{.in_features = dim, .hidden_features = dim * C.mlp_ratio}, B> mlp_;
    struct Nothing {};
    std::conditional_t<is_fused, PackedBlock<B>, Nothing> packed_;
};

}  // namespace mia
