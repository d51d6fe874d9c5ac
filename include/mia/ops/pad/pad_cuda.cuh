#pragma once
#include "mia/core/cuda.cuh"
#include "mia/ops/pad/pad.hpp"

namespace mia {

namespace detail {
/// y[i, j] = x[min(i, H - 1), min(j, W - 1)], for a y that is larger or smaller.
template <class T>
struct ClampedCopy {
    View<const T, 3> x;
    View<T, 3> y;
    __device__ void operator()(int row, int i) const {
        const int C = x.extent(2), H = x.extent(0), W = x.extent(1);
        y(row, i / C, i % C) = x(min(row, H - 1), min(i / C, W - 1), i % C);
    }
};
}  // namespace detail

template <class T>
void pad_replicate(BasicCuda<T>& cuda, In<Wide<T>, 3> x, Out<Wide<T>, 3> y) {
    detail::each_in_rows(cuda, "pad_replicate", y.extent(0), y.extent(1) * y.extent(2),
                         detail::ClampedCopy<Wide<T>>{x, y});
}

template <class T>
void crop_image(BasicCuda<T>& cuda, In<Wide<T>, 3> x, Out<Wide<T>, 3> y) {
    detail::each_in_rows(cuda, "crop_image", y.extent(0), y.extent(1) * y.extent(2),
                         detail::ClampedCopy<Wide<T>>{x, y});
}

}  // namespace mia
