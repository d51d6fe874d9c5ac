#pragma once

/// What a program on a GPU needs besides mia/mia.hpp: the Cuda backend and the CUDA half of every op. For nvcc.

#include "mia/core/cuda.cuh"
#include "mia/ops/layer_norm/layer_norm_cuda.cuh"
