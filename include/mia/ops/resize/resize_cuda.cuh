#pragma once
#include "mia/core/cuda.cuh"
#include "mia/ops/resize/resize.hpp"

namespace mia {

namespace detail {
template <class T>
struct ResizeBilinear {
    const T* x;
    int H, W, C, to_H, to_W;
    Corners corners;
    ChannelFactors factors;
    T* y;
    __device__ void operator()(int row, int i) const {
        const int c = i % C;
        const LinearTap ty(row, H, to_H, corners), tx(i / C, W, to_W, corners);
        const T *top = x + std::ptrdiff_t(ty.i0) * W * C + c, *bottom = x + std::ptrdiff_t(ty.i1) * W * C + c;
        const T upper = T(tx.l0) * top[tx.i0 * C] + T(tx.l1) * top[tx.i1 * C];
        const T lower = T(tx.l0) * bottom[tx.i0 * C] + T(tx.l1) * bottom[tx.i1 * C];
        const T value = T(ty.l0) * upper + T(ty.l1) * lower;
        y[std::ptrdiff_t(row) * to_W * C + i] = c == 0   ? value * T(factors.first)
                                                : c == 1 ? value * T(factors.second)
                                                         : value;
    }
};
}  // namespace detail

template <class T>
void resize_bilinear(BasicCuda<T>& cuda, In<Wide<T>, 3> x, Corners corners, Out<Wide<T>, 3> y,
                     ChannelFactors factors = {}) {
    const int H = x.extent(0), W = x.extent(1), C = x.extent(2), to_H = y.extent(0), to_W = y.extent(1);
    require(C == y.extent(2) && H > 0 && W > 0, "resize_bilinear: x ", shape_text(x), " does not become y ",
            shape_text(y));
    detail::each_in_rows(cuda, "resize_bilinear", to_H, to_W * C,
                         detail::ResizeBilinear<Wide<T>>{x.data, H, W, C, to_H, to_W, corners, factors, y.data});
}

}  // namespace mia
