#pragma once
#include "mia/ops/elementwise/elementwise_cuda.cuh"
#include "mia/train/vjp/elementwise.hpp"
#include "mia/train/vjp/products_cuda.cuh"

namespace mia {

namespace detail {
template <class T>
struct AddActivationGradient {
    T slope;
    bool is_gelu;
    const T *x, *dy;
    Gradient<T> d;
    __device__ void operator()(std::ptrdiff_t i) const {
        const T v = x[i];
        if (is_gelu)
            d.add(i, dy[i] * (std::erfc(-v * T(0.70710678118654752)) / 2 +
                              v * std::exp(-v * v / 2) * T(0.39894228040143268)));  // Phi(v) + v phi(v)
        else
            d.add(i, v > 0 ? dy[i] : dy[i] * slope);  // at 0 as PyTorch does
    }
};
}  // namespace detail

template <class T>
void activate_gradient(BasicCuda<T>& cuda, In<T, 2> x, Activation activation, In<T, 2> dy, Gradient<T> d_x) {
    detail::each_element(cuda, "activate vjp", x.size(),
                         detail::AddActivationGradient<T>{T(negative_slope(activation)), activation == Activation::gelu,
                                                          x.data, dy.data, d_x});
}

}  // namespace mia
