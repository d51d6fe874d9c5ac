// The cases of mia_bench that run on any backend, on a GPU. In one file: what all of them include takes nvcc longer
// than they do.
#define MIA_BENCH_CUDA
#include "main.cpp"
#include "ops/block_match_bench.cpp"
#include "ops/conv2d_bench.cpp"
#include "ops/flow_warp_bench.cpp"
#include "ops/layer_norm_bench.cpp"
#include "ops/linear_bench.cpp"
#include "ops/mask_bench.cpp"
#include "ops/patch_align_bench.cpp"
#include "ops/pixel_shuffle_bench.cpp"
#include "ops/resize_bench.cpp"
#include "ops/subpixel_align_bench.cpp"
#include "ops/window_attention_bench.cpp"
#include "ops/windows_bench.cpp"
