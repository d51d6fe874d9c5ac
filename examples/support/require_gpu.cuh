#pragma once
#include <string>

#include "mia/cuda.cuh"

/// Error, in the programs' words, when there is no GPU that --device cuda could use.
inline void require_gpu() {
    const std::string missing = mia::missing_gpu();
    mia::require(missing.empty(), "--device cuda: ", missing,
                 ". Use --device cpu, or a machine with one of NVIDIA's GPUs.");
}
