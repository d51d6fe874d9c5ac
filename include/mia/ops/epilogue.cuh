#pragma once
#include "mia/core/cuda.cuh"
#include "mia/ops/epilogue.hpp"

namespace mia::detail {

/// An activation as kernels apply it.
template <class T>
struct Activate {
    T slope;
    bool is_gelu;
    explicit Activate(Activation activation)
        : slope(T(negative_slope(activation))), is_gelu(activation == Activation::gelu) {}
    __device__ T operator()(T v) const {
        if (is_gelu) return v * T(0.5) * std::erfc(-v * T(0.70710678118654752));  // erfc keeps the digits of negative v
        return v > 0 ? v : v * slope;
    }
};

}  // namespace mia::detail
