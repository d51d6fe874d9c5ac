#pragma once
#include <cuda_runtime.h>

/// CUB's device-wide selection: same signature, same two-call protocol, sequential.
namespace cub {
struct DeviceSelect {
    template <class Input, class Flags, class Output, class Count>
    static cudaError_t Flagged(void* storage, std::size_t& storage_bytes, Input in, Flags flags, Output out,
                               Count count, std::int64_t items, cudaStream_t stream) {
        const std::size_t needed = 256 + std::size_t(items) / 32;  // of the order that CUB asks for
        if (storage == nullptr) return storage_bytes = needed, cudaSuccess;
        if (storage_bytes < needed) return cudaErrorInvalidValue;
        cuda_emulation::enqueue_library(stream, [=] {
            using cuda_emulation::library_access;
            library_access(storage, needed, 'w');
            int selected = 0;
            for (std::int64_t i = 0; i < items; ++i) {
                library_access(&flags[i], sizeof flags[i], 'r');
                if (!flags[i]) continue;
                library_access(&out[selected], sizeof out[selected], 'w');
                out[selected++] = in[i];
            }
            library_access(&*count, sizeof *count, 'w');
            *count = selected;
        });
        return cudaSuccess;
    }
};
}  // namespace cub
