#pragma once
#include "mia/ops/layer_norm/layer_norm_cuda.cuh"
#include "mia/train/vjp/layer_norm.hpp"
#include "mia/train/vjp/products_cuda.cuh"

namespace mia {

namespace detail {

/// A warp per row, which stays in the first-level cache while it is read some times.
template <class T, int WarpsPerBlock>
__global__ void __launch_bounds__(32 * WarpsPerBlock)
    layer_norm_statistics_kernel(const T* x, int rows, int C, T* statistics) {
    const int lane = int(threadIdx.x), row = int(blockIdx.x) * WarpsPerBlock + int(threadIdx.y);
    if (row >= rows) return;  // the whole warp: no barrier of the block follows
    x += std::ptrdiff_t(row) * C;
    T sum = 0, squares = 0;
    for (int c = lane; c < C; c += 32) sum += x[c];
    const T mean = warp_sum(sum) / T(C);
    for (int c = lane; c < C; c += 32) squares += (x[c] - mean) * (x[c] - mean);
    const T inverse = T(1) / std::sqrt(warp_sum(squares) / T(C) + T(layer_norm_eps));
    if (lane > 0) return;
    statistics[row] = mean;
    statistics[rows + row] = inverse;
}

template <class T, int WarpsPerBlock>
__global__ void __launch_bounds__(32 * WarpsPerBlock)
    layer_norm_gradient_kernel(const T* x, const T* weight, const T* statistics, const T* dy, int rows, int C,
                               Gradient<T> d_x) {
    const int lane = int(threadIdx.x), row = int(blockIdx.x) * WarpsPerBlock + int(threadIdx.y);
    if (row >= rows) return;  // the whole warp: no barrier of the block follows
    const std::ptrdiff_t at = std::ptrdiff_t(row) * C;
    const T mean = statistics[row], inverse = statistics[rows + row];
    T sum = 0, sum_n = 0;
    for (int c = lane; c < C; c += 32) {
        const T g = dy[at + c] * weight[c];
        sum += g;
        sum_n += g * ((x[at + c] - mean) * inverse);
    }
    const T mean_g = warp_sum(sum) / T(C), mean_gn = warp_sum(sum_n) / T(C);
    for (int c = lane; c < C; c += 32) {
        const T n = (x[at + c] - mean) * inverse;
        d_x.add(at + c, (dy[at + c] * weight[c] - mean_g - n * mean_gn) * inverse);
    }
}

/// Sums over a piece of rows: of d y n for c < C, then of d y.
template <class T>
struct LayerNormParts {
    static constexpr int piece = 64;
    View<const T, 2> x, dy;
    const T* statistics;
    View<T, 2> parts;  // (pieces, 2 C)
    __device__ void operator()(int p, int i) const {
        const int R = x.extent(0), C = x.extent(1), c = i % C, end = min(R, (p + 1) * piece);
        T sum = 0;
        for (int r = p * piece; r < end; ++r)
            sum += i < C ? dy(r, c) * ((x(r, c) - statistics[r]) * statistics[R + r]) : dy(r, c);
        parts(p, i) = sum;
    }
};
template <class T>
struct AddLayerNormParts {
    View<const T, 2> parts;
    Gradient<T> d_weight, d_bias;
    __device__ void operator()(std::ptrdiff_t i) const {
        const std::ptrdiff_t C = parts.extent(1) / 2;
        const Gradient<T> d = i < C ? d_weight : d_bias;
        if (!d) return;
        T sum = 0;
        for (int p = 0; p < parts.extent(0); ++p) sum += parts(p, i);
        d.data[i % C] += sum;
    }
};

}  // namespace detail

template <class T>
void layer_norm_with_statistics(BasicCuda<T>& cuda, In<T, 2> x, In<T, 1> weight, In<T, 1> bias, Out<T, 2> y,
                                Out<T, 2> statistics) {
    constexpr int warps = 4;
    const int R = statistics.extent(1), C = x.extent(1);
    detail::launch(cuda, "layer_norm", {.grid = unsigned(detail::ceil_div(R, warps)), .block = {32, warps}},
                   detail::layer_norm_statistics_kernel<T, warps>, x.data, R, C, statistics.data);
    layer_norm(cuda, x, weight, bias, y.slice(0, R));
}

template <class T>
void layer_norm_gradient(BasicCuda<T>& cuda, In<T, 2> x, In<T, 1> weight, In<T, 2> statistics, In<T, 2> dy,
                         Gradient<T> d_x, Gradient<T> d_weight, Gradient<T> d_bias) {
    constexpr int warps = 4;
    const int R = x.extent(0), C = x.extent(1);
    if (d_weight || d_bias) {
        const auto scope = cuda.scope();
        const View<T, 2> parts = cuda.scratch(detail::ceil_div(R, detail::LayerNormParts<T>::piece), 2 * C);
        detail::each_in_rows(cuda, "layer_norm vjp", parts.extent(0), 2 * C,
                             detail::LayerNormParts<T>{x, dy, statistics.data, parts});
        detail::each_element(cuda, "layer_norm vjp", 2 * C, detail::AddLayerNormParts<T>{parts, d_weight, d_bias});
    }
    if (d_x)
        detail::launch(cuda, "layer_norm vjp", {.grid = unsigned(detail::ceil_div(R, warps)), .block = {32, warps}},
                       detail::layer_norm_gradient_kernel<T, warps>, x.data, weight.data, statistics.data, dy.data, R,
                       C, d_x);
}

}  // namespace mia
