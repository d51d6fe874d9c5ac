#pragma once
#include "mia/core/cuda.cuh"
#include "mia/core/warp.cuh"
#include "mia/ops/mask/mask.hpp"

namespace mia {

namespace detail {

template <class T>
struct LearnedMask {
    const T *weights, *bias;
    int C;
    __device__ T weight(int c) const { return weights[c]; }
    __device__ bool keeps_token(Wide<T> sum) const { return keeps(float(bias[0] + sum)); }
};
template <class T>
struct ThresholdMask {
    Wide<T> threshold;
    int C;
    __device__ Wide<T> weight(int) const { return 1; }
    __device__ bool keeps_token(Wide<T> sum) const { return sum / Wide<T>(C) >= threshold; }
};

/// A warp per token: keep[p] = rule of sum_c weight(c) |q[p, c] - previous[p, c]|.
template <class T, int WarpsPerBlock, class Rule>
__global__ void __launch_bounds__(32 * WarpsPerBlock)
    mask_kernel(const T* q, const T* previous, int tokens, Rule rule, std::uint8_t* keep) {
    const int lane = int(threadIdx.x), p = int(blockIdx.x) * WarpsPerBlock + int(threadIdx.y), C = rule.C;
    if (p >= tokens) return;  // the whole warp
    Wide<T> sum = 0;
    for (int c = lane; c < C; c += 32) {
        const std::ptrdiff_t at = std::ptrdiff_t(p) * C + c;
        sum += rule.weight(c) * std::abs(q[at] - previous[at]);
    }
    sum = warp_sum(sum);
    if (lane == 0) keep[p] = rule.keeps_token(sum);
}

template <class T, class Rule>
void make_mask(BasicCuda<T>& cuda, const char* op, View<const T, 2> q, View<const T, 2> previous, Rule rule,
               std::uint8_t* keep) {
    constexpr int warps = 8;
    launch(cuda, op, {.grid = unsigned(ceil_div(q.extent(0), warps)), .block = {32, warps}},
           mask_kernel<T, warps, Rule>, q.data, previous.data, q.extent(0), rule, keep);
}

}  // namespace detail

template <class T>
void predict_mask(BasicCuda<T>& cuda, const WindowGrid&, In<T, 2> q, In<T, 2> previous, In<T, 2> weight, In<T, 1> bias,
                  View<std::uint8_t, 1> keep) {
    cuda.record({"predict_mask", weight.data, q.size(), q.size()});
    detail::make_mask<T>(cuda, "predict_mask", q, previous, detail::LearnedMask<T>{weight.data, bias.data, q.extent(1)},
                         keep.data);
}

template <class T>
void threshold_mask(BasicCuda<T>& cuda, In<T, 2> q, In<T, 2> previous, float threshold, View<std::uint8_t, 1> keep) {
    detail::make_mask<T>(cuda, "threshold_mask", q, previous, detail::ThresholdMask<T>{Wide<T>(threshold), q.extent(1)},
                         keep.data);
}

}  // namespace mia
