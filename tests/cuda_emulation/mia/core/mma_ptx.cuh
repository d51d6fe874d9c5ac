#pragma once
/// The emulated half of include/mia/core/mma_ptx.cuh, which it shadows: the same fragments, for which lanes exchange
/// what they hold. Like the instructions, it orders no memory.
#include <cuda_bf16.h>

namespace cuda_emulation {
void mma(float (&sum)[4], const unsigned (&a)[4], const unsigned (&b)[2], Site);
void load_matrices(unsigned (&to)[4], const void* row, bool transposed, Site);
}  // namespace cuda_emulation

namespace mia::detail {

inline void mma_m16n8k16(float (&sum)[4], const unsigned (&a)[4], const unsigned (&b)[2]) {
    cuda_emulation::mma(sum, a, b, {__FILE__, __LINE__});
}
inline void ldmatrix_x4(unsigned (&to)[4], const void* row) {
    cuda_emulation::load_matrices(to, row, false, {__FILE__, __LINE__});
}
inline void ldmatrix_x4_trans(unsigned (&to)[4], const void* row) {
    cuda_emulation::load_matrices(to, row, true, {__FILE__, __LINE__});
}
inline unsigned bf16_pair(float first, float second) {
    return __float2bfloat16(first).bits | unsigned(__float2bfloat16(second).bits) << 16;
}

}  // namespace mia::detail
