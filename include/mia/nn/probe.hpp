#pragma once
#include <cstdint>

#include "mia/core/view.hpp"

namespace mia {

/// Looks into a running model. Derive from it and hide what you want to see; what is not hidden costs nothing. The
/// views live until the call returns. Calls come in the order of the computation: flows of the clip, then for each
/// branch its frames in processing order, for each frame its blocks, at last the results.
struct NoProbe {
    /// flow: (H, W, 2), frame `from` to frame `to`.
    template <class Flow>
    void flow(int, int, const Flow&) {}
    /// The branch at hand, its place in the list of directions; step: frames it has processed; frame: the one at hand.
    void step(int, int, int) {}
    /// stack: (frames, H, W, C), the earlier results aligned to the frame at hand, oldest first, then the frame itself.
    template <class Features>
    void aligned(const Features&) {}
    /// x: (frames, H, W, C), the normed stack.
    template <class Features>
    void embedded(const Features&) {}
    /// x: (Fq, H, W, C), what fusion, if there is one, made of the stack for the first block.
    template <class Features>
    void fused(const Features&) {}
    /// keep: (1, H, W) of the block at hand, empty if no mask was asked; blocks of a step come in order.
    void mask(View<const std::uint8_t, 3>) {}
    /// In composed blocks (BlockKernel::composed) a probe that has
    ///   void change_mask(View<std::uint8_t, 3> keep)
    /// may write another mask before it is used: for experiments. mask() sees the result.
    /// y: (Fq, H, W, C), the result of block `block` of group `group`.
    template <class Features>
    void block(int, int, const Features&) {}
    /// y: (Fq, H, W, C), the result of group `group`, after its convolution.
    template <class Features>
    void group(int, const Features&) {}
    /// features: (H, W, C) of a frame: branch -1 is the first convolution, else the branch's result.
    template <class Features>
    void features(int, int, const Features&) {}
    /// frame: (scale*H, scale*W, 3), a finished result.
    template <class Result>
    void result(int, const Result&) {}
};

}  // namespace mia
