#pragma once
#include "mia/ops/conv2d/conv2d_cuda.cuh"
#include "mia/ops/conv2d/conv2d_shuffle.hpp"

namespace mia {

/// One product, whose results are written where the shuffle wants them.
template <class T>
void conv2d_shuffle(BasicCuda<T>& cuda, In<T, 3> x, const PackedConv2d<BasicCuda<T>>& weights, int factor, Out<T, 3> y,
                    Activation activation = Activation::none, In<T, 3> residual = {}) {
    detail::check_packed(weights);
    const int H = x.extent(0), W = x.extent(1), r = factor, K = y.extent(2);
    require(r >= 1 && x.extent(2) == weights.in_channels && weights.N == r * r * K && y.extent(0) == r * H &&
                y.extent(1) == r * W,
            "conv2d_shuffle: ", weights.N, " channels of ", shape_text(x), " do not become y ", shape_text(y),
            " by a factor of ", r);
    require(activation != Activation::gelu, "conv2d_shuffle: gelu is not offered here; use conv2d and activate");
    detail::convolve(cuda, "conv2d_shuffle", x, weights, activation, residual.data, y.data, {r, W});
}

}  // namespace mia
