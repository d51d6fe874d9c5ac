#pragma once
#include <cuda_runtime.h>

namespace mia::detail {

inline constexpr unsigned all_lanes = 0xffffffffu;

/// Sum over the 32 lanes of the warp, in every lane, always in the same order. All lanes must call it.
template <class T>
__device__ __forceinline__ T warp_sum(T x) {
    for (int step = 16; step > 0; step /= 2) x += __shfl_xor_sync(all_lanes, x, step);
    return x;
}
template <class T>
__device__ __forceinline__ T warp_max(T x) {
    for (int step = 16; step > 0; step /= 2) {
        const T other = __shfl_xor_sync(all_lanes, x, step);
        x = other > x ? other : x;
    }
    return x;
}
template <class T>
__device__ __forceinline__ T warp_min(T x) {
    for (int step = 16; step > 0; step /= 2) {
        const T other = __shfl_xor_sync(all_lanes, x, step);
        x = other < x ? other : x;
    }
    return x;
}
/// Sum over this lane and those before it. All lanes must call it.
template <class T>
__device__ __forceinline__ T warp_inclusive_sum(T x) {
    const int lane = int(threadIdx.x) % 32;
    for (int step = 1; step < 32; step *= 2) {
        const T before = __shfl_up_sync(all_lanes, x, step);
        if (lane >= step) x += before;
    }
    return x;
}

}  // namespace mia::detail
