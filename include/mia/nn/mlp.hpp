#pragma once
#include "mia/nn/linear.hpp"

namespace mia {

struct MlpConfig {
    int in_features = 120;
    int hidden_features = 240;
};

/// y = fc2(gelu(fc1(x))), GELU exact. Parameters: fc1, fc2.
template <MlpConfig C, Backend B = Cpu>
class Mlp {
public:
    using Scalar = typename B::Scalar;

    /// x: (R, in) -> y: (R, in); with `rows` only that many rows.
    void forward(B& backend, View<const Scalar, 2> x, View<Scalar, 2> y, RowCount rows = {}) const {
        const auto scope = backend.scope();
        const auto hidden = backend.scratch(x.extent(0), C.hidden_features);  // (R, hidden)
        fc1_.forward(backend, x, hidden, Activation::gelu, {}, rows);
        fc2_.forward(backend, hidden, y, Activation::none, {}, rows);
    }

    const auto& fc1() const { return fc1_; }
    const auto& fc2() const { return fc2_; }

    template <class Self, class Visit>
    static constexpr void each_member(Self& self, Visit&& visit) {
        visit("fc1", self.fc1_);
        visit("fc2", self.fc2_);
    }

private:
    Linear<LinearConfig{.in_features = C.in_features, .out_features = C.hidden_features}, B> fc1_;
    Linear<LinearConfig{.in_features = C.hidden_features, .out_features = C.in_features}, B> fc2_;
};

}  // namespace mia
