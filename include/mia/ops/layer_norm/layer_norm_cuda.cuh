#pragma once
#include "mia/core/cuda.cuh"
#include "mia/core/warp.cuh"
#include "mia/ops/layer_norm/layer_norm.hpp"

namespace mia {

namespace detail {

/// One warp per row; the row lies in registers if it has no more than 32 PerLane channels, else it is read again.
/// Two passes: the sum of squared deviations does not cancel as E[x^2] - E[x]^2 does.
template <class T, int PerLane, int WarpsPerBlock>
__global__ void __launch_bounds__(32 * WarpsPerBlock)
    layer_norm_kernel(const T* x, const T* weight, const T* bias, int capacity, RowCount rows, int C, T* y) {
    const int lane = int(threadIdx.x), row = int(blockIdx.x) * WarpsPerBlock + int(threadIdx.y);
    if (row >= row_count(rows, capacity)) return;  // the whole warp: no barrier of the block follows
    x += std::ptrdiff_t(row) * C;
    y += std::ptrdiff_t(row) * C;

    Wide<T> values[PerLane];  // channels lane, lane + 32, ...
    Wide<T> sum = 0;
#pragma unroll
    for (int i = 0; i < PerLane; ++i) {
        const int c = lane + 32 * i;
        values[i] = c < C ? Wide<T>(x[c]) : Wide<T>(0);
        sum += values[i];
    }
    for (int c = lane + 32 * PerLane; c < C; c += 32) sum += x[c];
    const Wide<T> mean = warp_sum(sum) / Wide<T>(C);

    Wide<T> squares = 0;
#pragma unroll
    for (int i = 0; i < PerLane; ++i)
        if (lane + 32 * i < C) squares += (values[i] - mean) * (values[i] - mean);
    for (int c = lane + 32 * PerLane; c < C; c += 32) squares += (x[c] - mean) * (x[c] - mean);
    const Wide<T> inverse = Wide<T>(1) / std::sqrt(warp_sum(squares) / Wide<T>(C) + Wide<T>(layer_norm_eps));

#pragma unroll
    for (int i = 0; i < PerLane; ++i) {
        const int c = lane + 32 * i;
        if (c < C) y[c] = T((values[i] - mean) * inverse * weight[c] + bias[c]);
    }
    for (int c = lane + 32 * PerLane; c < C; c += 32) y[c] = T((x[c] - mean) * inverse * weight[c] + bias[c]);
}

}  // namespace detail

template <class T>
void layer_norm(BasicCuda<T>& cuda, In<T, 2> x, In<T, 1> weight, In<T, 1> bias, Out<T, 2> y, RowCount rows = {}) {
    constexpr int per_lane = 4, warps = 4;  // 128 channels in registers; 128 threads: a small tail
    detail::launch(cuda, "layer_norm", {.grid = unsigned(detail::ceil_div(x.extent(0), warps)), .block = {32, warps}},
                   detail::layer_norm_kernel<T, per_lane, warps>, x.data, weight.data, bias.data, x.extent(0), rows,
                   x.extent(1), y.data);
}

}  // namespace mia
