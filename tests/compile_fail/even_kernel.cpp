// expect: only odd kernels that keep the image's size are offered
#include "mia/nn/conv2d.hpp"
mia::Conv2d<mia::Conv2dConfig{.kernel_size = 4}> conv;
