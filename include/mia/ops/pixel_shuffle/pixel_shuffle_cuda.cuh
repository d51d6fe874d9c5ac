#pragma once
#include "mia/core/cuda.cuh"
#include "mia/ops/epilogue.cuh"
#include "mia/ops/pixel_shuffle/pixel_shuffle.hpp"

namespace mia {

namespace detail {
/// A thread per result: writes are neighbours, reads r^2 apart.
template <class T>
struct Shuffle {
    const T* x;
    int W, r, K;  // of x
    Activate<Wide<T>> activate;
    const T* residual;
    T* y;
    __device__ void operator()(int row, int i) const {
        const int column = i / K, k = i % K;
        const std::ptrdiff_t pixel = std::ptrdiff_t(row / r) * W + column / r;
        const Wide<T> value = activate(x[pixel * r * r * K + k * r * r + row % r * r + column % r]);
        const std::ptrdiff_t at = std::ptrdiff_t(row) * W * r * K + i;
        y[at] = T(residual ? value + residual[at] : value);
    }
};
}  // namespace detail

template <class T>
void pixel_shuffle(BasicCuda<T>& cuda, In<T, 3> x, int factor, Out<T, 3> y, Activation activation = Activation::none,
                   In<T, 3> residual = {}) {
    const int r = factor, H = x.extent(0), W = x.extent(1), K = y.extent(2);
    require(r >= 1 && x.extent(2) == r * r * K && y.extent(0) == r * H && y.extent(1) == r * W, "pixel_shuffle: x ",
            shape_text(x), " does not become y ", shape_text(y), " by a factor of ", r);
    require(activation != Activation::gelu, "pixel_shuffle: gelu is not offered here; use activate");
    detail::each_in_rows(
        cuda, "pixel_shuffle", r * H, r * W * K,
        detail::Shuffle<T>{x.data, W, r, K, detail::Activate<Wide<T>>(activation), residual.data, y.data});
}

}  // namespace mia
