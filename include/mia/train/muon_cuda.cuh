#pragma once
#include "mia/core/cuda.cuh"
#include "mia/core/warp.cuh"
#include "mia/train/muon.hpp"

namespace mia {

namespace detail {

struct MuonSize {
    static constexpr int threads = 256;
};
template <class T>
struct MuonTile {
    T warps[MuonSize::threads / 32];
};
/// Scratch, four buffers as long as the parameters': a matrix works where its own would be.
template <class T>
struct MuonScratch {
    T *x, *next, *squares, *change;
};

/// A block per matrix, which it orients so that it is not tall: (rows, columns). orthogonalized() of muon.hpp, a thread
/// per element of each product; the matrices of a model are small and stay in the second-level cache.
template <class T>
__global__ void __launch_bounds__(MuonSize::threads)
    muon_kernel(const WeightMatrix* matrices, MuonStep<T> step, MuonScratch<T> scratch) {
    constexpr int threads = MuonSize::threads;
    auto& tile = shared_memory<MuonTile<T>>();
    const WeightMatrix matrix = matrices[blockIdx.x];
    const bool is_tall = matrix.rows > matrix.columns;
    const int thread = int(threadIdx.x), size = int(matrix.size());
    const int rows = is_tall ? matrix.columns : matrix.rows, columns = is_tall ? matrix.rows : matrix.columns;
    T *x = scratch.x + matrix.begin, *next = scratch.next + matrix.begin;
    T *squares = scratch.squares + matrix.begin, *change = scratch.change + matrix.begin;
    // Where element i of the matrix lies in x.
    const auto place = [&](int i) { return is_tall ? i % matrix.columns * columns + i / matrix.columns : i; };

    T sum = 0;
    for (int i = thread; i < size; i += threads) {
        const T g = step.gradients[matrix.begin + i];
        T& m = step.m[matrix.begin + i];
        m = step.keep * m + step.rest * g;
        const T direction = step.keep * m + step.rest * g;
        x[place(i)] = direction;
        sum += direction * direction;
    }
    sum = warp_sum(sum);
    if (thread % 32 == 0) tile.warps[thread / 32] = sum;
    __syncthreads();
    sum = 0;
    for (int w = 0; w < threads / 32; ++w) sum += tile.warps[w];
    if (!(sum > 0)) return;  // the whole block
    const T length = std::sqrt(sum);
    for (int i = thread; i < size; i += threads) x[i] /= length;

    for (int iteration = 0; iteration < 5; ++iteration) {
        __syncthreads();
        for (int at = thread; at < rows * rows; at += threads) {
            const T *a = x + at / rows * columns, *b = x + at % rows * columns;
            T product = 0;
            for (int k = 0; k < columns; ++k) product += a[k] * b[k];
            squares[at] = product;
        }
        __syncthreads();
        for (int at = thread; at < rows * rows; at += threads) {
            T product = 0;
            for (int k = 0; k < rows; ++k) product += squares[at / rows * rows + k] * squares[k * rows + at % rows];
            change[at] = T(2.0315) * product - T(4.7750) * squares[at];
        }
        __syncthreads();
        for (int i = thread; i < size; i += threads) {
            T product = 0;
            for (int k = 0; k < rows; ++k) product += change[i / columns * rows + k] * x[k * columns + i % columns];
            next[i] = T(3.4445) * x[i] + product;
        }
        T* before = x;
        x = next;
        next = before;
    }
    __syncthreads();
    const T scale = T(step.rate * std::sqrt(double(columns)));
    for (int i = thread; i < size; i += threads) step.parameters[matrix.begin + i] -= scale * x[place(i)];
}

}  // namespace detail

template <class T>
void muon_step(BasicCuda<T>& cuda, View<const WeightMatrix, 1> matrices, const detail::MuonStep<T>& step) {
    const auto scope = cuda.scope();
    const View<T, 2> scratch = cuda.scratch(4, int(step.size));
    detail::launch(cuda, "muon",
                   {.grid = unsigned(matrices.extent(0)),
                    .block = unsigned(detail::MuonSize::threads),
                    .shared_bytes = sizeof(detail::MuonTile<T>)},
                   detail::muon_kernel<T>, matrices.data, step,
                   detail::MuonScratch<T>{scratch[0].data, scratch[1].data, scratch[2].data, scratch[3].data});
}

}  // namespace mia
