#pragma once
#include "mia/core/backend.hpp"
#include "mia/core/count.hpp"

// Contract.
//   y[r, c] = (x[r, c] - mean(x[r, :])) / sqrt(var(x[r, :]) + 1e-5) * weight[c] + bias[c]
//   x, y: (R, C); weight, bias: (C). var divides by C and is the mean of (x - mean)^2, not E[x^2] - mean^2. y may be x.
//   With `rows`, only that many rows are computed.

namespace mia {

inline constexpr double layer_norm_eps = 1e-5;

template <class T>
void layer_norm(BasicCount<T>& count, In<T, 2>, In<T, 1> weight, In<T, 1>, Out<T, 2> y, RowCount = {}) {
    count.record({"layer_norm", weight.data}, y);
}

}  // namespace mia

#include "mia/ops/layer_norm/layer_norm_cpu.hpp"
