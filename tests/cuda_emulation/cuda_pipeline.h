#pragma once
#include <cuda_runtime.h>

/// Asynchronous copies from device to shared memory (cp.async). A copy happens when its own thread waits for it, as
/// late as CUDA allows: code that reads before the wait, or without a barrier after it, is found as for any other
/// access.
namespace cuda_emulation {
void pipeline_copy(void* to, const void* from, std::size_t bytes, std::size_t zero_fill);
void pipeline_commit();
void pipeline_wait(std::size_t batches_left);
}  // namespace cuda_emulation

/// The last `zero_fill` of the bytes are set to 0 instead of copied.
inline void __pipeline_memcpy_async(void* to, const void* from, std::size_t bytes, std::size_t zero_fill = 0) {
    cuda_emulation::pipeline_copy(to, from, bytes, zero_fill);
}
inline void __pipeline_commit() { cuda_emulation::pipeline_commit(); }
inline void __pipeline_wait_prior(std::size_t batches) { cuda_emulation::pipeline_wait(batches); }
