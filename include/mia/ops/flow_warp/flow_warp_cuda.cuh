#pragma once
#include "mia/core/cuda.cuh"
#include "mia/ops/flow_warp/flow_warp.hpp"
#include "mia/ops/flow_warp/sampling_grid.hpp"

namespace mia {

namespace detail {
/// A thread per result: the channels of a pixel compute the same weights, and read neighbours.
template <class U>
struct FlowWarp {
    View<const U, 3> x;
    View<const float, 3> flow;
    Padding padding;
    View<U, 3> y;
    __device__ void operator()(int row, int i) const {
        const int H = x.extent(0), W = x.extent(1), C = x.extent(2), column = i / C, c = i % C;
        float ux = sampling_coordinate(column, flow(row, column, 0), W);
        float uy = sampling_coordinate(row, flow(row, column, 1), H);
        if (padding == Padding::border) {
            // Not fmin: NaN stays, and reads nothing.
            ux = inside(ux, W);
            uy = inside(uy, H);
        }
        const float x0 = std::floor(ux), y0 = std::floor(uy);
        Wide<U> sum = 0;
        for (int a = 0; a < 2; ++a)
            for (int b = 0; b < 2; ++b) {
                const float from_y = y0 + float(a), from_x = x0 + float(b);  // compared as floats: they may be huge
                if (!(from_y >= 0 && from_y <= float(H - 1) && from_x >= 0 && from_x <= float(W - 1))) continue;
                const float weight = (a == 0 ? y0 + 1 - uy : uy - y0) * (b == 0 ? x0 + 1 - ux : ux - x0);
                sum += Wide<U>(weight) * x(int(from_y), int(from_x), c);
            }
        y(row, column, c) = U(sum);
    }
    __device__ static float inside(float u, int size) {
        const float low = u < 0.0f ? 0.0f : u;
        return float(size - 1) < low ? float(size - 1) : low;
    }
};
}  // namespace detail

/// The element type of what is warped need not be the backend's: flows are warped too, and stay float.
template <class T, class U>
void flow_warp(BasicCuda<T>& cuda, In<U, 3> x, View<const float, 3> flow, Padding padding, View<U, 3> y) {
    const int H = x.extent(0), W = x.extent(1), C = x.extent(2);
    detail::check_flow_warp<U>(x, flow, y);
    detail::each_in_rows(cuda, "flow_warp", H, W * C, detail::FlowWarp<U>{x, flow, padding, y});
}

}  // namespace mia
