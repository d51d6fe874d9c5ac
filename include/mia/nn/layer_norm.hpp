#pragma once
#include "mia/core/module.hpp"
#include "mia/ops/layer_norm/layer_norm.hpp"

namespace mia {

/// LayerNorm over the last axis of C channels, eps 1e-5. Parameters: weight (C), bias (C).
template <int C, Backend B = Cpu>
class LayerNorm {
    static_assert(C > 0, "LayerNorm: the number of channels must be positive");

public:
    using Scalar = typename B::Scalar;

    /// x: (R, C) -> y: (R, C); y may be x.
    void forward(B& backend, View<const Scalar, 2> x, View<Scalar, 2> y, RowCount rows = {}) const {
        layer_norm(backend, x, weight_.view(), bias_.view(), y, rows);
    }

    View<const Scalar, 1> weight() const { return weight_.view(); }
    View<const Scalar, 1> bias() const { return bias_.view(); }

    template <class Self, class Visit>
    static constexpr void each_member(Self& self, Visit&& visit) {
        visit("weight", self.weight_);
        visit("bias", self.bias_);
    }

private:
    Parameter<B, C> weight_, bias_;
};

}  // namespace mia
