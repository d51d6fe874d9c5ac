#pragma once
#include "mia/ops/linear/linear_cuda.cuh"
#include "mia/train/vjp/elementwise_cuda.cuh"
#include "mia/train/vjp/linear.hpp"

namespace mia {

namespace detail {
/// Of the map x -> x W.
template <class T>
struct TransposedWeight {
    const T* weight;  // (O, I)
    int I;
    T scale;
    __device__ T operator()(int i, int o) const { return scale * weight[std::ptrdiff_t(o) * I + i]; }
};
}  // namespace detail

template <class T>
void pack_transposed(BasicCuda<T>& cuda, In<T, 2> weight, T scale, PackedLinear<BasicCuda<T>>& packed) {
    packed.pack(cuda, weight.extent(1), weight.extent(0),
                detail::TransposedWeight<T>{weight.data, weight.extent(1), scale},
                detail::LinearBias<T>{nullptr, scale});
}

template <class T>
void linear_weight_gradient(BasicCuda<T>& cuda, In<T, 2> dy, In<T, 2> x, T scale, Gradient<T> d_weight,
                            Gradient<T> d_bias) {
    const int O = dy.extent(1);
    detail::add_outer_products<T>(cuda, "linear vjp", detail::MatrixColumns<T>{dy.data, O}, O, x, scale,
                                  detail::InOrder{}, d_weight);
    detail::add_column_sums<T>(cuda, "linear vjp", dy, scale, d_bias);
}

template <class T>
void linear_input_gradient(BasicCuda<T>& cuda, In<T, 2> dy, const PackedLinear<BasicCuda<T>>& transposed,
                           Gradient<T> d_x) {
    const Out<T, 2> to{d_x.data, {dy.extent(0), transposed.N}};
    linear(cuda, dy, transposed, to, Activation::none, d_x.is_fresh ? In<T, 2>{} : In<T, 2>(to));
}

}  // namespace mia
