#pragma once
#include "mia/ops/conv2d/conv2d_cuda.cuh"
#include "mia/ops/conv2d/conv2d_shuffle.hpp"

namespace mia {

namespace detail {
/// Results go where pixel_shuffle puts them: channel n of pixel m into one of r x r pixels.
template <class T>
struct ShuffledTaps : ConvolutionTaps<T> {
    int r;
    __device__ std::ptrdiff_t place(int m, int n, int N) const {
        const int W = this->W, K = N / (r * r), row = m / W * r + n / r % r, column = m % W * r + n % r;
        return (std::ptrdiff_t(row) * W * r + column) * K + n / (r * r);
    }
};

/// One product, whose results are written where the shuffle wants them.
template <class T, class Y>
void convolve_shuffled(BasicCuda<T>& cuda, In<T, 3> x, const PackedConv2d<BasicCuda<T>>& weights, int factor,
                       View<Y, 3> y, Activation activation, View<const Y, 3> residual) {
    check_packed(weights);
    const int H = x.extent(0), W = x.extent(1), r = factor, K = y.extent(2);
    require(r >= 1 && x.extent(2) == weights.in_channels && weights.N == r * r * K && y.extent(0) == r * H &&
                y.extent(1) == r * W,
            "conv2d_shuffle: ", weights.N, " channels of ", shape_text(x), " do not become y ", shape_text(y),
            " by a factor of ", r);
    require(activation != Activation::gelu, "conv2d_shuffle: gelu is not offered here; use conv2d and activate");
    const ConvolutionTaps<T> taps{x.data, H, W, weights.in_channels, weights.kernel_size};
    convolve(cuda, "conv2d_shuffle", ShuffledTaps<T>{taps, r}, weights, activation, residual.data, y.data);
}
}  // namespace detail

template <class T>
void conv2d_shuffle(BasicCuda<T>& cuda, In<T, 3> x, const PackedConv2d<BasicCuda<T>>& weights, int factor, Out<T, 3> y,
                    Activation activation = Activation::none, In<T, 3> residual = {}) {
    detail::convolve_shuffled<T, T>(cuda, x, weights, factor, y, activation, residual);
}
template <class T>
requires(narrow<T>) void conv2d_shuffle(BasicCuda<T>& cuda, In<T, 3> x, const PackedConv2d<BasicCuda<T>>& weights,
                                        int factor, Out<Wide<T>, 3> y, Activation activation = Activation::none,
                                        In<Wide<T>, 3> residual = {}) {
    detail::convolve_shuffled<T, Wide<T>>(cuda, x, weights, factor, y, activation, residual);
}

}  // namespace mia
