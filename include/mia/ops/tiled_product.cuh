#pragma once
#include "mia/ops/device_weights.cuh"

namespace mia::detail {

/// The sizes of a block's tile: each thread computes 4 x 4 results.
struct ProductTileSize {
    static constexpr int rows = 64, columns = 64, depth = 16, threads = rows / 4 * columns / 4;
};

template <class T>
struct ProductTile {
    using Size = ProductTileSize;
    T a[Size::depth][Size::rows + 4];  // transposed; + 4: the lanes that store a row's depth meet fewer banks
    T b[Size::depth][Size::columns];
};

/// y[m, n] = activation(bias[n] + sum_k A[m, k] weights[k, n]) + residual[m, n]. One block per tile of y, its parts of
/// A and weights in shared memory; the next parts are on their way in registers while the current ones are multiplied.
/// A is anything with row(m), column(k) and at(row, column): a matrix, or the taps of a convolution. With place(m, n,
/// N) it also says where in y the result lies.
template <class T, class A>
__global__ void __launch_bounds__(ProductTileSize::threads) tiled_product_kernel(A a, ProductOperands<T, T> p) {
    using Size = ProductTileSize;
    constexpr int loads = Size::rows * Size::depth / Size::threads;  // of each thread, in each part
    constexpr int row_step = Size::threads / Size::depth, k_step = Size::threads / Size::columns;
    auto& tile = shared_memory<ProductTile<T>>();
    const int M = row_count(p.rows, p.capacity), m0 = int(blockIdx.x) * Size::rows,
              n0 = int(blockIdx.y) * Size::columns;
    if (m0 >= M) return;  // the whole block
    const int thread = int(threadIdx.x);

    // What this thread loads: of A one k and rows row_step apart, of the weights one n and k's k_step apart.
    const int load_k = thread % Size::depth, load_row = thread / Size::depth;
    const int load_n = thread % Size::columns, load_b_k = thread / Size::columns;
    typename A::Row rows[loads];
#pragma unroll
    for (int i = 0; i < loads; ++i) rows[i] = a.row(m0 + load_row + i * row_step);
    T next_a[loads], next_b[loads];
    const auto load = [&](int k0) {
        const auto column = a.column(k0 + load_k);
#pragma unroll
        for (int i = 0; i < loads; ++i) {
            const bool is_in_a = k0 + load_k < p.K && m0 + load_row + i * row_step < M;
            next_a[i] = is_in_a ? a.at(rows[i], column) : T(0);
            const int k = k0 + load_b_k + i * k_step, n = n0 + load_n;
            next_b[i] = k < p.K && n < p.columns ? p.weights[std::ptrdiff_t(k) * p.columns + n] : T(0);
        }
    };

    // What this thread computes.
    const int row = thread / (Size::columns / 4) * 4, column = thread % (Size::columns / 4) * 4;
    const bool has_work = m0 + row < M && n0 + column < p.N;
    T sum[4][4] = {};
    load(0);
    for (int k0 = 0; k0 < p.K; k0 += Size::depth) {
        if (k0 > 0) __syncthreads();  // the tile has been read
#pragma unroll
        for (int i = 0; i < loads; ++i) {
            tile.a[load_k][load_row + i * row_step] = next_a[i];
            tile.b[load_b_k + i * k_step][load_n] = next_b[i];
        }
        __syncthreads();
        if (k0 + Size::depth < p.K) load(k0 + Size::depth);
        if (!has_work) continue;
#pragma unroll
        for (int k = 0; k < Size::depth; ++k) {
            const auto left = *reinterpret_cast<const Quad<T>*>(&tile.a[k][row]);
            const auto right = *reinterpret_cast<const Quad<T>*>(&tile.b[k][column]);
#pragma unroll
            for (int i = 0; i < 4; ++i)
#pragma unroll
                for (int j = 0; j < 4; ++j) sum[i][j] += left.v[i] * right.v[j];
        }
    }
    if (!has_work) return;

#pragma unroll
    for (int i = 0; i < 4; ++i) {
        if (m0 + row + i >= M) break;
#pragma unroll
        for (int j = 0; j < 4; ++j) {
            const int n = n0 + column + j;
            if (n >= p.N) break;
            std::ptrdiff_t at;
            if constexpr (requires { a.place(0, 0, 0); })
                at = a.place(m0 + row + i, n, p.N);
            else
                at = std::ptrdiff_t(m0 + row + i) * p.N + n;
            const T value = p.activate(sum[i][j] + p.bias[n]);
            p.y[at] = p.residual ? value + p.residual[at] : value;
        }
    }
}

template <class T, class A>
requires(!narrow<T>) void product(BasicCuda<T>& cuda, const char* op, const A& a, int M, RowCount rows,
                                  const DeviceWeights<T>& weights, Activation activation, const T* residual, T* y) {
    using Size = ProductTileSize;
    launch(cuda, op,
           {.grid = {unsigned(ceil_div(M, Size::rows)), unsigned(ceil_div(weights.N, Size::columns))},
            .block = Size::threads,
            .shared_bytes = sizeof(ProductTile<T>)},
           tiled_product_kernel<T, A>, a, weights.operands(M, rows, activation, residual, y));
}

}  // namespace mia::detail
