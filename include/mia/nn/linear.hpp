#pragma once
#include "mia/core/module.hpp"
#include "mia/ops/linear/linear.hpp"

namespace mia {

struct LinearConfig {
    int in_features = 120;
    int out_features = 120;
    bool bias = true;
};

/// y = x weight^T + bias on the last axis. Parameters: weight (out, in), bias (out).
template <LinearConfig C, Backend B = Cpu>
class Linear {
    static_assert(C.in_features > 0 && C.out_features > 0, "Linear: in_features and out_features must be positive");

public:
    using Scalar = typename B::Scalar;
    static constexpr LinearConfig config = C;

    /// x: (R, in) -> y: (R, out) = activation(x weight^T + bias) + residual; with `rows` only that many rows.
    void forward(B& backend, View<const Scalar, 2> x, View<Scalar, 2> y, Activation activation = Activation::none,
                 View<const Scalar, 2> residual = {}, RowCount rows = {}) const {
        linear(backend, x, packed_, y, activation, residual, rows);
    }

    View<const Scalar, 2> weight() const { return weight_.view(); }
    View<const Scalar, 1> bias() const { return bias_.view(); }  ///< empty without a bias

    void pack(B& backend) { pack_linear(backend, weight_.view(), bias_.view(), Scalar(1), packed_); }
    void drop_packing() { packed_.ready = false; }

    template <class Self, class Visit>
    static constexpr void each_member(Self& self, Visit&& visit) {
        visit("weight", self.weight_);
        if constexpr (C.bias) visit("bias", self.bias_);
    }

private:
    Parameter<B, C.out_features, C.in_features> weight_;
    Parameter<B, C.out_features> bias_;
    PackedLinear<B> packed_;
};

}  // namespace mia
