#pragma once

/// What a program on a GPU needs besides mia/mia.hpp: the Cuda backend and the CUDA half of every op. For nvcc.

#include "mia/core/cuda.cuh"
#include "mia/ops/avg_pool2d/avg_pool2d_cuda.cuh"
#include "mia/ops/block_match/block_match_cuda.cuh"
#include "mia/ops/channels/channels_cuda.cuh"
#include "mia/ops/conv2d/conv2d_cuda.cuh"
#include "mia/ops/conv2d/conv2d_shuffle_cuda.cuh"
#include "mia/ops/elementwise/elementwise_cuda.cuh"
#include "mia/ops/flow_warp/flow_warp_cuda.cuh"
#include "mia/ops/layer_norm/layer_norm_cuda.cuh"
#include "mia/ops/linear/linear_cuda.cuh"
#include "mia/ops/mask/mask_cuda.cuh"
#include "mia/ops/pad/pad_cuda.cuh"
#include "mia/ops/patch_align/patch_align_cuda.cuh"
#include "mia/ops/pixel_shuffle/pixel_shuffle_cuda.cuh"
#include "mia/ops/resize/resize_cuda.cuh"
#include "mia/ops/subpixel_align/subpixel_align_cuda.cuh"
#include "mia/ops/window/windows_cuda.cuh"
#include "mia/ops/window_attention/window_attention_cuda.cuh"
