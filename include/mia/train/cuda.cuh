#pragma once

/// What a program that trains on a GPU needs besides mia/cuda.cuh: the tape, losses and optimisers, and the Cuda half
/// of every vjp. For nvcc.

#include "mia/cuda.cuh"
#include "mia/train/adam.hpp"
#include "mia/train/each_element.cuh"
#include "mia/train/losses.hpp"
#include "mia/train/muon_cuda.cuh"
#include "mia/train/vjp/conv2d_cuda.cuh"
#include "mia/train/vjp/elementwise_cuda.cuh"
#include "mia/train/vjp/images_cuda.cuh"
#include "mia/train/vjp/layer_norm_cuda.cuh"
#include "mia/train/vjp/linear_cuda.cuh"
#include "mia/train/vjp/warps_cuda.cuh"
#include "mia/train/vjp/window_attention_cuda.cuh"
#include "mia/train/vjp/windows_cuda.cuh"
