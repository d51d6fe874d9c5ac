#pragma once

namespace mia {

/// What an op does to its result before it writes it: one pass over memory less.
enum class Activation {
    none,
    relu,
    leaky_relu,  ///< slope 0.1
    gelu         ///< exact: x / 2 * (1 + erf(x / sqrt 2))
};

inline constexpr float leaky_relu_slope = 0.1f;

/// The factor of negative values; GELU has none.
constexpr float negative_slope(Activation activation) {
    return activation == Activation::relu ? 0.0f : activation == Activation::leaky_relu ? leaky_relu_slope : 1.0f;
}

}  // namespace mia
