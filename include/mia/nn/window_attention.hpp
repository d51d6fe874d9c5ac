#pragma once
#include <concepts>

#include "mia/nn/linear.hpp"
#include "mia/ops/window_attention/projected_attention.hpp"

namespace mia {

struct AttentionConfig {
    int embed_dim = 120;  ///< C; each head gets C / num_heads channels
    int num_heads = 6;
    WindowSize window = {3, 8, 8};  ///< frames, height, width, in tokens
    bool qkv_bias = true;
};

/// Attention inside windows with a learned relative position bias. The last `Frames.queries` frames of a window ask,
/// all `Frames.keys` answer. Parameters: relative_position_bias_table (rows, heads), qkv (3C, C), proj (C, C). Shapes:
/// Fc = keys - queries condition frames, Fq query frames, H x W tokens each.
template <AttentionConfig C, WindowFrames Frames, Backend B = Cpu>
class WindowAttention {
    static_assert(C.num_heads > 0 && C.embed_dim > 0 && C.embed_dim % C.num_heads == 0,
                  "WindowAttention: embed_dim must be a multiple of num_heads, or the heads would differ in width; for "
                  "embed_dim = 120 use 4, 5, 6 or 8 heads");
    static_assert(
        C.window.frames > 0 && C.window.height > 0 && C.window.width > 0,
        "WindowAttention: window = {frames, height, width} must be positive in each direction; published: {3, 8, 8}");

public:
    using Scalar = typename B::Scalar;
    static constexpr AttentionConfig config = C;
    static constexpr const char* name = Frames.queries > 1 ? "joint" : Frames.keys > 1 ? "inter_frame" : "intra_frame";
    static constexpr int query_frames = Frames.queries;
    static constexpr int condition_frames = Frames.keys - Frames.queries;

    /// cond: (Fc, H, W, C), x: (Fq, H, W, C), both normed; rows: the active tokens of x -> y: (R, C), their results,
    /// the first ones written. Keys and values are computed for windows with an active token only.
    void forward(B& backend, const WindowGrid& grid, const ActiveRows& rows, View<const Scalar, 4> cond,
                 View<const Scalar, 4> x, View<Scalar, 2> y) const {
        const auto scope = backend.scope();
        const auto attended = backend.scratch(rows.pixel.extent(0), C.embed_dim);
        projected_attention(backend, grid, rows, Frames, C.num_heads, cond, x, query_, key_value_, bias_, attended);
        proj_.forward(backend, attended, y, Activation::none, {}, rows.rows());
    }

    View<const Scalar, 2> bias_table() const { return bias_table_.view(); }
    View<const Scalar, 2> qkv_weight() const { return qkv_weight_.view(); }
    View<const Scalar, 1> qkv_bias() const { return qkv_bias_.view(); }  ///< empty without a bias
    const auto& proj() const { return proj_; }

    void pack(B& backend) {
        const auto weight = qkv_weight_.view();
        const auto bias = qkv_bias_.view();
        constexpr int dim = C.embed_dim;
        pack_linear(backend, weight.slice(0, dim), part(bias, 0, dim), Scalar(1), query_);
        pack_linear(backend, weight.slice(dim, 2 * dim), part(bias, dim, 2 * dim), Scalar(1), key_value_);
        pack_position_bias(backend, bias_table_.view(), C.window, Frames, bias_);
    }
    void drop_packing() { query_.ready = key_value_.ready = bias_.ready = false; }

    template <class Self, class Visit>
    static constexpr void each_member(Self& self, Visit&& visit) {
        visit("relative_position_bias_table", self.bias_table_);
        visit("qkv.weight", self.qkv_weight_);
        if constexpr (C.qkv_bias) visit("qkv.bias", self.qkv_bias_);
        visit("proj", self.proj_);
    }

private:
    static View<const Scalar, 1> part(View<const Scalar, 1> bias, int first, int count) {
        return bias.data ? bias.slice(first, count) : View<const Scalar, 1>{};
    }

    Parameter<B, bias_rows_in_time(Frames) * C.window.offsets(), C.num_heads> bias_table_;
    Parameter<B, 3 * C.embed_dim, C.embed_dim> qkv_weight_;  // rows: queries, keys, values
    Parameter<B, 3 * C.embed_dim> qkv_bias_;
    Linear<LinearConfig{.in_features = C.embed_dim, .out_features = C.embed_dim}, B> proj_;
    PackedLinear<B> query_, key_value_;
    PackedPositionBias<B> bias_;
};

/// Inter- and intra-frame attention: queries from the current frame, keys and values from it and the earlier enhanced
/// ones (MIA-VSR, Sec. 3.2, Eq. 4-5). Table: (window.frames (2h - 1)(2w - 1), heads).
template <AttentionConfig C, Backend B = Cpu>
using InterFrameAttention = WindowAttention<C, WindowFrames{.keys = C.window.frames, .queries = 1}, B>;

/// The current frame alone (Swin): the single-image baseline. Table: ((2h - 1)(2w - 1), heads).
template <AttentionConfig C, Backend B = Cpu>
using IntraFrameAttention = WindowAttention<C, WindowFrames{.keys = 1, .queries = 1}, B>;

/// All frames of the window ask and answer, and all go on to the next block (video Swin, PSRT).
/// Table: ((2 frames - 1)(2h - 1)(2w - 1), heads).
template <AttentionConfig C, Backend B = Cpu>
using JointAttention = WindowAttention<C, WindowFrames{.keys = C.window.frames, .queries = C.window.frames}, B>;

/// What a block asks of its attention; a user's own type plugs in by meeting it.
///   query_frames, condition_frames: how many frames of the window ask, and how many more answer
///   forward(backend, grid, rows, cond, x, y): as WindowAttention::forward
template <class A, class B>
concept BlockAttention = Module<A> &&
    requires(const A& attention, B& backend, const WindowGrid& grid, const ActiveRows& rows,
             View<const typename B::Scalar, 4> frames, View<typename B::Scalar, 2> y) {
    { A::query_frames } -> std::convertible_to<int>;
    { A::condition_frames } -> std::convertible_to<int>;
    attention.forward(backend, grid, rows, frames, frames, y);
};

}  // namespace mia
