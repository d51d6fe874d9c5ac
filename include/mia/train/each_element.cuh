#pragma once
#include <vector>

#include "mia/core/cuda.cuh"
#include "mia/core/warp.cuh"
#include "mia/train/each_element.hpp"

namespace mia::detail {

struct SumSize {
    static constexpr int threads = 256, piece = 1 << 12;  ///< elements of a block
};
struct SumTile {
    double warps[SumSize::threads / 32];
};

/// A block per piece: each thread sums every 256th element, a fixed tree the threads.
template <class F>
__global__ void __launch_bounds__(SumSize::threads) sum_over_kernel(F f, std::ptrdiff_t size, double* parts) {
    using Size = SumSize;
    auto& tile = shared_memory<SumTile>();
    const int thread = int(threadIdx.x);
    const std::ptrdiff_t begin = std::ptrdiff_t(blockIdx.x) * Size::piece;
    const std::ptrdiff_t end = begin + Size::piece < size ? begin + Size::piece : size;
    double sum = 0;
    for (std::ptrdiff_t i = begin + thread; i < end; i += Size::threads) sum += f(i);
    sum = warp_sum(sum);
    if (thread % 32 == 0) tile.warps[thread / 32] = sum;
    __syncthreads();
    if (thread != 0) return;
    sum = 0;
    for (int w = 0; w < Size::threads / 32; ++w) sum += tile.warps[w];
    parts[blockIdx.x] = sum;
}

template <class T, class F>
double sum_over(BasicCuda<T>& cuda, const char* op, std::ptrdiff_t size, F f) {
    const auto scope = cuda.scope();
    const int pieces = int(ceil_div(size, std::ptrdiff_t(SumSize::piece)));
    const View<double, 1> parts = cuda.template scratch<double>(pieces);
    launch(cuda, op, {.grid = unsigned(pieces), .block = unsigned(SumSize::threads), .shared_bytes = sizeof(SumTile)},
           sum_over_kernel<F>, f, size, parts.data);
    std::vector<double> on_host(static_cast<std::size_t>(pieces));
    download(cuda, parts, View<double, 1>{on_host.data(), {pieces}});
    synchronize(cuda);
    double sum = 0;
    for (const double part : on_host) sum += part;
    return sum;
}

}  // namespace mia::detail
