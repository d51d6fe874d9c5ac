#pragma once
#include "mia/core/cpu.hpp"
#include "mia/core/module.hpp"
#include "mia/ops/pixel_shuffle/pixel_shuffle.hpp"

namespace mia {

/// Trades channels for pixels: (H, W, factor^2 K) -> (factor H, factor W, K). No parameters.
template <int Factor, Backend B = Cpu>
class PixelShuffle {
    static_assert(Factor >= 1, "PixelShuffle: the factor must be 1 or more");

public:
    using Scalar = typename B::Scalar;

    /// y = activation(shuffled x) + residual.
    void forward(B& backend, View<const Scalar, 3> x, View<Scalar, 3> y, Activation activation = Activation::none,
                 View<const Scalar, 3> residual = {}) const {
        pixel_shuffle(backend, x, Factor, y, activation, residual);
    }

    template <class Self, class Visit>
    static constexpr void each_member(Self&, Visit&&) {}
};

}  // namespace mia
