#pragma once
#include "mia/ops/conv2d/conv2d_cuda.cuh"
#include "mia/train/vjp/conv2d.hpp"
#include "mia/train/vjp/elementwise_cuda.cuh"

namespace mia {

namespace detail {
/// Turned by 180 degrees, channels exchanged; k = (u, v, o).
template <class T>
struct TurnedWeight {
    const T* weight;  // (O, I, size, size)
    int O, I, size;
    __device__ T operator()(int i, int k) const {
        const int o = k % O, v = k / O % size, u = k / (O * size);
        return weight[((std::ptrdiff_t(o) * I + i) * size + size - 1 - u) * size + size - 1 - v];
    }
};
template <class T>
struct NoBias {
    __device__ T operator()(int) const { return T(0); }
};

/// The taps of a convolution as columns, (u, v, i), and pixels as rows.
template <class T>
struct TapColumns {
    ConvolutionTaps<T> taps;
    using Column = typename ConvolutionTaps<T>::Column;
    __device__ Column column(int m) const { return taps.column(m); }
    __device__ T at(int pixel, Column column) const { return taps.at(taps.row(pixel), column); }
};
/// From (u, v, i, o) to (o, i, u, v).
struct WeightPlace {
    int O, I, size;
    __device__ std::ptrdiff_t operator()(std::ptrdiff_t at) const {
        const int o = int(at % O), i = int(at / O % I), tap = int(at / O / I);
        return (std::ptrdiff_t(o) * I + i) * size * size + tap;
    }
};
}  // namespace detail

template <class T>
void pack_turned(BasicCuda<T>& cuda, In<T, 4> weight, PackedConv2d<BasicCuda<T>>& packed) {
    const int O = weight.extent(0), I = weight.extent(1), k = weight.extent(2);
    packed.in_channels = O;
    packed.kernel_size = k;
    packed.pack(cuda, I, k * k * O, detail::TurnedWeight<T>{weight.data, O, I, k}, detail::NoBias<T>{});
}

template <class T>
void conv2d_weight_gradient(BasicCuda<T>& cuda, In<T, 3> dy, In<T, 3> x, int k, Gradient<T> d_weight,
                            Gradient<T> d_bias) {
    const int H = x.extent(0), W = x.extent(1), I = x.extent(2), O = dy.extent(2);
    const detail::TapColumns<T> taps{{x.data, H, W, I, k}};
    detail::add_outer_products<T>(cuda, "conv2d vjp", taps, k * k * I, rows_of(dy), T(1), detail::WeightPlace{O, I, k},
                                  d_weight);
    detail::add_column_sums<T>(cuda, "conv2d vjp", rows_of(dy), T(1), d_bias);
}

}  // namespace mia
