#pragma once
#include "mia/ops/pixel_shuffle/pixel_shuffle_cuda.cuh"
#include "mia/train/vjp/elementwise_cuda.cuh"
#include "mia/train/vjp/images.hpp"

namespace mia {

namespace detail {
/// A thread per number of x: writes are neighbours.
template <class T>
struct AddUnshuffled {
    const T* dy;
    int W, r, K;  // of x
    Gradient<T> d;
    __device__ void operator()(int row, int i) const {
        const int fine = r * r, column = i / (fine * K), c = i % (fine * K), phase = c % fine;
        const std::ptrdiff_t from_row = std::ptrdiff_t(row) * r + phase / r, from_column = column * r + phase % r;
        d.add(std::ptrdiff_t(row) * W * fine * K + i, dy[(from_row * W * r + from_column) * K + c / fine]);
    }
};
}  // namespace detail

template <class T>
void pixel_shuffle_gradient(BasicCuda<T>& cuda, In<T, 3> dy, int factor, Gradient<T> d_x) {
    const int r = factor, H = dy.extent(0) / r, W = dy.extent(1) / r, K = dy.extent(2);
    detail::each_in_rows(cuda, "pixel_shuffle vjp", H, W * r * r * K, detail::AddUnshuffled<T>{dy.data, W, r, K, d_x});
}

}  // namespace mia
