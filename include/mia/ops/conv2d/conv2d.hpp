#pragma once
#include "mia/core/backend.hpp"
#include "mia/core/count.hpp"
#include "mia/ops/epilogue.hpp"

// Contract. Cross-correlation, stride 1, zero padding (k - 1) / 2, k odd:
//   y[y, x, o] = activation(bias[o] + sum_{u, v, i} weight[o, i, u, v] in[y + u - p, x + v - p, i]) + residual[y, x, o]
//   x: (H, W, I); weight: (O, I, k, k), PyTorch's order; bias: (O); y, residual: (H, W, O), residual may be y or empty.
//   y must not overlap x. Of a backend that rounds to a narrow type, y and residual may both be Wide instead.

namespace mia {

/// A backend's packing of a convolution's parameters.
template <class B>
struct PackedConv2d;

template <class T>
struct PackedConv2d<BasicCount<T>> {
    int out_channels = 0, in_channels = 0, kernel_size = 0;
    bool ready = false;
};

template <class T>
void pack_conv2d(BasicCount<T>&, In<T, 4> weight, In<T, 1>, PackedConv2d<BasicCount<T>>& packed) {
    packed = {weight.extent(0), weight.extent(1), weight.extent(2), true};
}

template <class T>
void conv2d(BasicCount<T>& count, In<T, 3> x, const PackedConv2d<BasicCount<T>>& weights, Out<T, 3> y,
            Activation = Activation::none, In<T, 3> = {}) {
    const int k = weights.kernel_size;
    const std::int64_t macs =
        std::int64_t(x.extent(0)) * x.extent(1) * k * k * weights.in_channels * weights.out_channels;
    count.record({"conv2d", &weights, macs, macs}, y);
}
template <class T>
requires(narrow<T>) void conv2d(BasicCount<T>& count, In<T, 3> x, const PackedConv2d<BasicCount<T>>& weights,
                                Out<Wide<T>, 3> y, Activation = Activation::none, In<Wide<T>, 3> = {}) {
    conv2d<T>(count, x, weights, Out<T, 3>{nullptr, {y.extent(0), y.extent(1), y.extent(2)}});
}

}  // namespace mia

#include "mia/ops/conv2d/conv2d_cpu.hpp"
