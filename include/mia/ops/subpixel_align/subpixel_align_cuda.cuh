#pragma once
#include <algorithm>

#include "mia/core/cuda.cuh"
#include "mia/ops/subpixel_align/fine_tap.hpp"
#include "mia/ops/subpixel_align/subpixel_align.hpp"

namespace mia {

namespace detail {
template <class T>
struct SubpixelAlign {
    View<const T, 3> x;
    View<const float, 3> flow;
    int factor;
    View<T, 3> y;
    __device__ void operator()(int i, int element) const {
        const int H = x.extent(0), W = x.extent(1), C = x.extent(2), j = element / C, c = element % C;
        const int fine = factor * factor, phase = c % fine;
        const FineTap ty(i, phase / factor, flow(i, j, 1), factor, H), tx(j, phase % factor, flow(i, j, 0), factor, W);
        const bool is_inside = ty.pixel >= 0 && tx.pixel >= 0;
        y(i, j, c) = is_inside ? x(ty.pixel, tx.pixel, c - phase + factor * ty.phase + tx.phase) : T(0);
    }
};
}  // namespace detail

template <class T>
void subpixel_align(BasicCuda<T>& cuda, In<T, 3> x, View<const float, 3> flow, int factor, Out<T, 3> y) {
    const int H = x.extent(0), W = x.extent(1), C = x.extent(2);
    detail::check_subpixel_align<T>(x, flow, factor, y);
    detail::each_in_rows(cuda, "subpixel_align", H, W * C, detail::SubpixelAlign<T>{x, flow, factor, y});
}

}  // namespace mia
