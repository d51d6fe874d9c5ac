#pragma once
#include <array>

#include "mia/nn/conv2d.hpp"
#include "mia/nn/masked_block.hpp"

namespace mia {

struct ResidualGroupConfig {
    BlockConfig block = {};
    int depth = 6;  ///< blocks
};

/// Residual group (RSTB): y = x + conv(blocks(x)), a 3 x 3 convolution. Even blocks have plain windows, odd ones
/// windows shifted by half. Parameters: residual_group.blocks.<k>, conv.
template <ResidualGroupConfig C, Backend B, template <AttentionConfig, class> class Attention>
class ResidualGroup {
    static_assert(C.depth > 0, "ResidualGroup: depth must be positive; published: 6");
    static constexpr int dim = C.block.attention.embed_dim;

public:
    using Scalar = typename B::Scalar;
    using Block = MaskedBlock<C.block, B, Attention>;
    static constexpr int depth = C.depth;

    /// x: (Fq, H, W, C), cond: (Fc, H, W, C) -> y: (Fq, H, W, C). conditions, states, reuse, depths: one a block.
    template <class Probe>
    void forward(B& backend, View<const Scalar, 4> x, const Condition<Scalar>* conditions, const Reuse* reuse,
                 typename Block::State* states, const float* depths, View<Scalar, 4> y, int group,
                 Probe&& probe) const {
        const auto scope = backend.scope();
        const int F = x.extent(0), H = x.extent(1), W = x.extent(2);
        View<const Scalar, 4> features = x;
        for (int k = 0; k < depth; ++k) {
            const auto next = backend.scratch(F, H, W, dim);
            const Shift shift = k % 2 == 0 ? Shift::none : Shift::half_window;
            checkpoint(
                backend, next, states[k], probe,
                [=, this, &backend, cond = conditions[k], mode = reuse[k], share = depths[k]](auto& state, auto& seen) {
                    blocks_[std::size_t(k)].forward(backend, shift, features, cond, mode, state, next, seen, share);
                });
            probe.block(group, k, next);
            features = next;
        }
        for (int f = 0; f < F; ++f) conv_.forward(backend, features[f], y[f], Activation::none, x[f]);
        probe.group(group, y);
    }

    const Block& block(int k) const { return blocks_[std::size_t(k)]; }

    template <class Self, class Visit>
    static constexpr void each_member(Self& self, Visit&& visit) {
        visit("residual_group.blocks", self.blocks_);
        visit("conv", self.conv_);
    }

private:
    std::array<Block, std::size_t(C.depth)> blocks_;
    Conv2d<Conv2dConfig{.in_channels = dim, .out_channels = dim}, B> conv_;
};

}  // namespace mia
