#pragma once
/// What of the tensor cores exists as PTX only; core/mma.cuh says what it means. The tests have a header of this name
/// in its place.
#include <cuda_runtime.h>

namespace mia::detail {

#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ < 800
// No such instructions. CudaBf16 refuses these chips.
__device__ __forceinline__ void mma_m16n8k16(float (&)[4], const unsigned (&)[4], const unsigned (&)[2]) { __trap(); }
__device__ __forceinline__ void ldmatrix_x4(unsigned (&)[4], const void*) { __trap(); }
__device__ __forceinline__ void ldmatrix_x4_trans(unsigned (&)[4], const void*) { __trap(); }
__device__ __forceinline__ unsigned bf16_pair(float, float) {
    __trap();
    return 0;
}
#else

/// sum += a b, of a warp.
__device__ __forceinline__ void mma_m16n8k16(float (&sum)[4], const unsigned (&a)[4], const unsigned (&b)[2]) {
    asm volatile(
        "mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, "
        "{%0, %1, %2, %3};"
        : "+f"(sum[0]), "+f"(sum[1]), "+f"(sum[2]), "+f"(sum[3])
        : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
}

/// Four matrices of 8 x 8 elements of 16 bits from shared memory; `row`: 16 aligned bytes, row lane % 8 of matrix
/// lane / 8. to[i]: of matrix i row lane / 4, columns lane % 4 * 2 and the next one.
__device__ __forceinline__ void ldmatrix_x4(unsigned (&to)[4], const void* row) {
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0, %1, %2, %3}, [%4];"
                 : "=r"(to[0]), "=r"(to[1]), "=r"(to[2]), "=r"(to[3])
                 : "r"(unsigned(__cvta_generic_to_shared(row)))
                 : "memory");
}
/// The same of their transposes.
__device__ __forceinline__ void ldmatrix_x4_trans(unsigned (&to)[4], const void* row) {
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0, %1, %2, %3}, [%4];"
                 : "=r"(to[0]), "=r"(to[1]), "=r"(to[2]), "=r"(to[3])
                 : "r"(unsigned(__cvta_generic_to_shared(row)))
                 : "memory");
}

/// Two elements, rounded to nearest even; `first` in the lower half.
__device__ __forceinline__ unsigned bf16_pair(float first, float second) {
    unsigned pair;
    asm("cvt.rn.bf16x2.f32 %0, %1, %2;" : "=r"(pair) : "f"(second), "f"(first));
    return pair;
}

#endif

}  // namespace mia::detail
