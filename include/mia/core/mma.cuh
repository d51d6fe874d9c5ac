#pragma once
/// Matrix products on tensor cores: a warp multiplies 16 x 16 by 16 x 8 elements of bf16 and sums in float (mma.sync,
/// sm_80 and up). All 32 lanes call each of these functions; none orders memory.
#include <cuda_pipeline.h>

#include "mia/core/bf16.hpp"
#include "mia/core/mma_ptx.cuh"

namespace mia::detail {

// Who holds what (PTX ISA, "Matrix Fragments for mma.m16n8k16 with floating point type"), with g = lane / 4 and
// p = lane % 4 * 2. An unsigned holds two elements, the first one in its lower half.

/// (16 rows, 16 k). x[0]: row g, k = p, p + 1; x[1]: row g + 8; x[2], x[3]: the same rows, k + 8.
struct MmaLeft {
    unsigned x[4];
};
/// (16 k, 8 columns). x[0]: column g, k = p, p + 1; x[1]: k + 8.
struct MmaRight {
    unsigned x[2];
};
/// (16 rows, 8 columns). x[0], x[1]: row g, columns p and p + 1; x[2], x[3]: row g + 8.
struct MmaSum {
    float x[4];
};
/// Where x[i] of a sum lies.
__device__ __forceinline__ int mma_row(int lane, int i) { return lane / 4 + i / 2 * 8; }
__device__ __forceinline__ int mma_column(int lane, int i) { return lane % 4 * 2 + i % 2; }

/// sum += left right.
__device__ __forceinline__ void multiply_add(MmaSum& sum, const MmaLeft& left, const MmaRight& right) {
    mma_m16n8k16(sum.x, left.x, right.x);
}

// From shared memory: `from` is the matrix's first element, rows are `stride` elements apart and begin at multiples of
// 16 bytes. Eight rows are read at once: their banks differ if stride / 8 is odd.

/// from: (rows, k).
__device__ __forceinline__ MmaLeft load_left(const Bf16* from, int stride, int lane) {
    MmaLeft left;
    ldmatrix_x4(left.x, from + lane % 16 * stride + lane / 16 * 8);
    return left;
}
/// Columns 0 to 7 and 8 to 15 from a matrix that lies transposed, (16 columns, 16 k).
__device__ __forceinline__ void load_right_transposed(const Bf16* from, int stride, int lane, MmaRight (&right)[2]) {
    unsigned x[4];
    ldmatrix_x4(x, from + (lane / 16 * 8 + lane % 8) * stride + lane / 8 % 2 * 8);
    right[0] = {{x[0], x[1]}};
    right[1] = {{x[2], x[3]}};
}
/// Columns 0 to 7 and 8 to 15 of (16 k, 16 columns).
__device__ __forceinline__ void load_right(const Bf16* from, int stride, int lane, MmaRight (&right)[2]) {
    unsigned x[4];
    ldmatrix_x4_trans(x, from + lane % 16 * stride + lane / 16 * 8);
    right[0] = {{x[0], x[1]}};
    right[1] = {{x[2], x[3]}};
}

/// What bf16_pair() makes of four neighbours.
struct alignas(8) Bf16Pairs {
    unsigned first, second;
};

/// Count neighbours to shared memory, past the registers; zeros if `from` is null. More than one lie at a multiple of
/// their size, and are there after __pipeline_wait_prior.
template <int Count>
__device__ __forceinline__ void copy_async(Bf16* to, const Bf16* from) {
    if constexpr (Count == 1)
        *to = from ? *from : Bf16(0);
    else if (from)
        __pipeline_memcpy_async(to, from, Count * sizeof(Bf16));
    else
        __pipeline_memcpy_async(to, from, Count * sizeof(Bf16), Count * sizeof(Bf16));  // all zeros, nothing is read
}

/// Sums side by side, rounded, as the left side of a further product: each lane holds already what it has to.
__device__ __forceinline__ MmaLeft round_to_left(const MmaSum& columns, const MmaSum& next_columns) {
    return {{bf16_pair(columns.x[0], columns.x[1]), bf16_pair(columns.x[2], columns.x[3]),
             bf16_pair(next_columns.x[0], next_columns.x[1]), bf16_pair(next_columns.x[2], next_columns.x[3])}};
}

}  // namespace mia::detail
