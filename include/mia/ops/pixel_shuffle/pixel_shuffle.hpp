#pragma once
#include "mia/core/backend.hpp"
#include "mia/core/count.hpp"
#include "mia/ops/epilogue.hpp"

// Contract. r = factor >= 1:
//   y[r i + a, r j + b, k] = activation(x[i, j, r^2 k + r a + b]) + residual[r i + a, r j + b, k],   0 <= a, b < r
//   x: (H, W, r^2 K); y, residual: (r H, r W, K), residual may be y or empty.

namespace mia {

template <class T>
void pixel_shuffle(BasicCount<T>& count, In<T, 3>, int, Out<T, 3> y, Activation = Activation::none, In<T, 3> = {}) {
    count.record({"pixel_shuffle"}, y);
}

}  // namespace mia

#include "mia/ops/pixel_shuffle/pixel_shuffle_cpu.hpp"
