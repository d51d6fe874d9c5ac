#pragma once
#include "mia/core/backend.hpp"
#include "mia/core/count.hpp"
#include "mia/ops/epilogue.hpp"

// Contract.
//   y[r, o] = activation(bias[o] + sum_i weight[o, i] x[r, i]) + residual[r, o]
//   x: (R, I); weight: (O, I), PyTorch's order; bias: (O); y, residual: (R, O), residual may be y or empty (none).
//   y must not overlap x. With `rows`, only that many rows are computed; the others of y stay as they are.

namespace mia {

/// A backend's packing of a linear map's parameters; `ready` tells whether it is up to date.
template <class B>
struct PackedLinear;

template <class T>
struct PackedLinear<BasicCount<T>> {
    int out_features = 0, in_features = 0;
    bool ready = false;
};

template <class T>
void pack_linear(BasicCount<T>&, In<T, 2> weight, In<T, 1>, T, PackedLinear<BasicCount<T>>& packed) {
    packed = {weight.extent(0), weight.extent(1), true};
}

template <class T>
void linear(BasicCount<T>& count, In<T, 2> x, const PackedLinear<BasicCount<T>>& weights, Out<T, 2> y,
            Activation = Activation::none, In<T, 2> = {}, RowCount = {}) {
    const std::int64_t macs = std::int64_t(x.extent(0)) * weights.in_features * weights.out_features;
    count.record({"linear", &weights, macs, macs}, y);
}

}  // namespace mia

#include "mia/ops/linear/linear_cpu.hpp"
