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
void fused_block(BasicCount<T>& count, Shift, In<T, 3> x, In<T, 4>, const PackedBlock<BasicCount<T>>& block,
                 Reuse reuse, FusedState<BasicCount<T>>& state, Out<T, 3> y, View<std::uint8_t, 2>) {
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
    record("keys and values", p.qkv_weight.data, grid.windows() * N * 2 * C * C);
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
