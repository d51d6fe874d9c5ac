#pragma once
#include "mia/core/backend.hpp"
#include "mia/core/bf16.hpp"
#include "mia/core/count.hpp"
#include "mia/ops/mask/mask.hpp"
#include "mia/ops/window_attention/window_attention.hpp"

// Contract. The whole of a masked block (nn/masked_block.hpp) whose queries come from one frame, as one op:
//   z = norm1(x);  x1 = x + proj(attention(z, norm1(cond)));  y = x1 + fc2(gelu(fc1(norm2(x1))))
// for the active tokens; y = x + sum for the others, where `sum`, kept from frame to frame, is what the two branches
// added when the token was last computed. A token is active if the state begins or the mask keeps it.
//   x, y: (H, W, C), not overlapping; cond: (Fc, H, W, C), may be empty; keep: (H, W) bytes, written, may be empty.
// Keys and values of earlier frames may be given in the place of cond, stored when the frames were made:
//   store_kv: tokens (R, C), as in cond -> rows (R + 1, kv_width): of norm1(tokens), and last those of a window's
//   padding
// The composition of small ops in nn/masked_block.hpp is its reference.

namespace mia {

/// The sizes of a block.
struct BlockShape {
    int dim, num_heads, hidden;
    WindowSize window;
    int condition_frames;
    WindowFrames frames() const { return {condition_frames + 1, 1}; }
    int keys() const { return (condition_frames + 1) * window.tokens(); }
};

/// Windows whose tokens lie in the same vectors of a backend: each window begins a vector, and as panels of products
/// are two vectors wide, two windows of at most one vector share a panel.
struct WindowBundle {
    int tokens, lanes;                                                             ///< of a window, of a vector
    constexpr int stride() const { return (tokens + lanes - 1) / lanes * lanes; }  ///< lanes from a window to the next
    constexpr int windows() const { return stride() == lanes ? 2 : 1; }
    constexpr int width() const {
        return (windows() * stride() + 2 * lanes - 1) / (2 * lanes) * (2 * lanes);
    }  ///< lanes
    constexpr int count(int all_windows) const { return (all_windows + windows() - 1) / windows(); }
};

/// Keys and values of one earlier frame.
template <class T>
struct StoredKv {
    View<const T, 2> rows;      ///< (P + 2, kv_width): of its P tokens, of zeros moved in from outside, of padding
    View<const int, 2> source;  ///< (H, W) the frame's token that each place reads, -1: outside
};

/// What a block is told of the earlier frames, oldest first.
template <class T>
struct Condition {
    View<const T, 4> frames{};            ///< (Fc, H, W, C)
    const StoredKv<T>* stored = nullptr;  ///< Fc of them, in the place of frames; or null
    Condition() = default;
    explicit Condition(View<const T, 4> f, const StoredKv<T>* s = nullptr) : frames(f), stored(s) {}
};

/// How a block decides which tokens it computes anew (nn/mask_predictor.hpp).
enum class BlockMask { none, learned, threshold };

/// A block's parameters, PyTorch's shapes. qkv_bias may be empty; the predictor's are read for BlockMask::learned only.
template <class T>
struct BlockParameters {
    View<const T, 1> norm1_weight, norm1_bias, norm2_weight, norm2_bias;
    View<const T, 2> bias_table, qkv_weight, proj_weight, fc1_weight, fc2_weight, predictor_weight;
    View<const T, 1> qkv_bias, proj_bias, fc1_bias, fc2_bias, predictor_bias;
    BlockMask mask;
    float threshold;
};

namespace detail {
/// Channels of a head, rounded up to whole lanes.
template <class T>
constexpr int padded_head(const BlockShape& s) {
    return (s.dim / s.num_heads + per_lane<T> - 1) / per_lane<T> * per_lane<T>;
}
}  // namespace detail

/// Elements of a token's keys and values, all heads.
template <class T>
constexpr int kv_width(const BlockShape& s) {
    return 2 * s.num_heads * detail::padded_head<T>(s);
}

/// What a fused block keeps from one frame to the next: two maps, while the composition keeps three.
template <class B>
struct FusedState {
    using T = typename B::Scalar;
    Tensor<T, 2, B> pred_q;  ///< (bundles, tokens * C), normed tokens of the last frame, in the backend's own order
    Tensor<T, 2, B> sum;     ///< (P, C) x_pred + hidden, possibly older
};

/// What a block does with its state in one call.
enum class Reuse {
    none,   ///< no mask: the state is neither read nor written
    start,  ///< every token is computed and the state begins (the first frame of a branch, a refresh)
    masked  ///< tokens that did not change take their result from the state
};

/// Whether a backend has the op, and a block's parameters packed for it.
template <class B>
inline constexpr bool has_fused_block = false;
template <class B>
struct PackedBlock;

template <class T>
inline constexpr bool has_fused_block<BasicCount<T>> = true;
template <class T>
struct PackedBlock<BasicCount<T>> {
    BlockShape shape{};
    BlockParameters<T> parameters{};  ///< where they lie: tells which module inside the block does what
    bool ready = false;
};

template <class T>
void pack_block(BasicCount<T>&, const BlockShape& shape, const BlockParameters<T>& p,
                PackedBlock<BasicCount<T>>& packed) {
    packed = {shape, p, true};
}

template <class T>
void store_kv(BasicCount<T>& count, In<T, 2> tokens, const PackedBlock<BasicCount<T>>& block, Out<T, 2> rows) {
    const std::int64_t macs = std::int64_t(tokens.extent(0)) * 2 * block.shape.dim * block.shape.dim;
    count.record({"keys and values", block.parameters.qkv_weight.data, macs, macs}, rows);
}

template <class T>
void fused_block(BasicCount<T>& count, Shift, In<T, 3> x, const Condition<T>& cond,
                 const PackedBlock<BasicCount<T>>& block, Reuse reuse, FusedState<BasicCount<T>>& state, Out<T, 3> y,
                 View<std::uint8_t, 2>) {
    const BlockShape& s = block.shape;
    const WindowGrid grid{x.extent(0), x.extent(1), s.window};
    const std::int64_t C = s.dim, P = grid.pixels(), N = s.keys();
    if (reuse != Reuse::none) {
        constexpr int n = per_lane<T>;
        const WindowBundle bundle{s.window.tokens(), 64 / int(sizeof(Wide<T>))};  // the widest vectors there are
        state.pred_q.resize(count, bundle.count(grid.windows()), bundle.width() * ((s.dim + n - 1) / n * n));
        state.sum.resize(count, grid.pixels(), s.dim);
    }
    const BlockParameters<T>& p = block.parameters;
    const auto record = [&](const char* op, const T* owner, std::int64_t macs) {
        count.record({op, owner, macs, macs}, y);
    };
    const std::int64_t keys = cond.stored ? s.window.tokens() : N;  // to compute
    record("keys and values", p.qkv_weight.data, grid.windows() * keys * 2 * C * C);
    record("queries", p.qkv_weight.data, P * C * C);
    record("attention", p.bias_table.data, P * 2 * N * C);
    record("projection", p.proj_weight.data, P * C * C);
    record("fc1", p.fc1_weight.data, P * C * s.hidden);
    record("fc2", p.fc2_weight.data, P * C * s.hidden);
    if (reuse == Reuse::masked && p.mask == BlockMask::learned) record("predict_mask", p.predictor_weight.data, P * C);
    count.record({"fused_block", &block, 0, 0}, y);
}

}  // namespace mia

#include "mia/ops/fused_block/fused_block_cpu.hpp"
#include "mia/ops/fused_block/store_kv_cpu.hpp"
