#pragma once
#include <cuda_runtime.h>

/// CUB's device-wide sum of all before: same signature, same two-call protocol, sequential.
namespace cub {
struct DeviceScan {
    template <class Input, class Output>
    static cudaError_t ExclusiveSum(void* storage, std::size_t& storage_bytes, Input in, Output out, std::int64_t items,
                                    cudaStream_t stream) {
        const std::size_t needed = 256 + std::size_t(items) / 32;  // of the order that CUB asks for
        if (storage == nullptr) return storage_bytes = needed, cudaSuccess;
        if (storage_bytes < needed) return cudaErrorInvalidValue;
        cuda_emulation::enqueue_library(stream, [=] {
            using cuda_emulation::library_access;
            library_access(storage, needed, 'w');
            std::decay_t<decltype(in[0])> sum = 0;
            for (std::int64_t i = 0; i < items; ++i) {
                library_access(&in[i], sizeof in[i], 'r');
                const auto value = in[i];
                library_access(&out[i], sizeof out[i], 'w');
                out[i] = sum;
                sum += value;
            }
        });
        return cudaSuccess;
    }
};
}  // namespace cub
