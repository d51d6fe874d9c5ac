#pragma once
#include "mia/core/cuda.cuh"
#include "mia/ops/avg_pool2d/avg_pool2d.hpp"

namespace mia {

namespace detail {
template <class T>
struct AvgPool2d {
    View<const T, 3> x;
    int k;
    View<T, 3> y;
    __device__ void operator()(int row, int i) const {
        const int C = x.extent(2), column = i / C, c = i % C;
        T sum = 0;
        for (int u = 0; u < k; ++u)
            for (int v = 0; v < k; ++v) sum += x(row * k + u, column * k + v, c);
        y(row, column, c) = sum / T(k * k);
    }
};
}  // namespace detail

template <class T>
void avg_pool2d(BasicCuda<T>& cuda, In<Wide<T>, 3> x, int kernel_size, Out<Wide<T>, 3> y) {
    const int k = kernel_size, to_H = y.extent(0), to_W = y.extent(1), C = y.extent(2);
    require(k >= 1 && to_H == x.extent(0) / k && to_W == x.extent(1) / k && C == x.extent(2), "avg_pool2d: x ",
            shape_text(x), " does not become y ", shape_text(y), " by a window of ", k);
    detail::each_in_rows(cuda, "avg_pool2d", to_H, to_W * C, detail::AvgPool2d<Wide<T>>{x, k, y});
}

}  // namespace mia
