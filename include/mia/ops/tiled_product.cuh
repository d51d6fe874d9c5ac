#pragma once
#include "mia/core/cuda.cuh"
#include "mia/ops/epilogue.cuh"

namespace mia {

/// Weights and bias of a linear map or a convolution in device memory, packed once for the product below: weights
/// (K, stride), stride = N rounded up to 4, zeros beyond N. `ready` says that they belong to the parameters as they
/// are.
template <class T>
struct DeviceWeights {
    int N = 0, K = 0, stride = 0;
    CudaBuffer<T> weights, bias;
    bool ready = false;

    /// weights[k, n] = weight(n, k), bias[n] = bias_of(n): structs with a __device__ operator().
    template <class Weight, class Bias>
    void pack(BasicCuda<T>& cuda, int rows, int depth, Weight weight, Bias bias_of);
};

namespace detail {

template <class T, class Weight, class Bias>
struct PackWeights {
    Weight weight;
    Bias bias_of;
    int N, K, stride;
    T *weights, *bias;
    __device__ void operator()(int k, int n) const {
        if (k < K)
            weights[std::ptrdiff_t(k) * stride + n] = n < N ? weight(n, k) : T(0);
        else
            bias[n] = n < N ? bias_of(n) : T(0);
    }
};

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

/// What a product reads and writes besides A.
template <class T>
struct ProductOperands {
    const T *weights, *bias;
    int capacity;  ///< rows of A
    RowCount rows;
    int N, K, stride;
    Activate<T> activate;
    const T* residual;  ///< may be y; null: none
    T* y;
};

/// y[m, n] = activation(bias[n] + sum_k A[m, k] weights[k, n]) + residual[m, n]. One block per tile of y, its parts of
/// A and weights in shared memory; the next parts are on their way in registers while the current ones are multiplied.
/// A is anything with row(m), column(k) and at(row, column): a matrix, or the taps of a convolution. With place(m, n,
/// N) it also says where in y the result lies.
template <class T, class A>
__global__ void __launch_bounds__(ProductTileSize::threads) tiled_product_kernel(A a, ProductOperands<T> p) {
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
            next_b[i] = k < p.K && n < p.stride ? p.weights[std::ptrdiff_t(k) * p.stride + n] : T(0);
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
void tiled_product(BasicCuda<T>& cuda, const char* op, A a, int M, RowCount rows, const DeviceWeights<T>& weights,
                   Activation activation, const T* residual, T* y) {
    using Size = ProductTileSize;
    launch(cuda, op,
           {.grid = {unsigned(ceil_div(M, Size::rows)), unsigned(ceil_div(weights.N, Size::columns))},
            .block = Size::threads,
            .shared_bytes = sizeof(ProductTile<T>)},
           tiled_product_kernel<T, A>, a,
           ProductOperands<T>{weights.weights.data(), weights.bias.data(), M, rows, weights.N, weights.K,
                              weights.stride, Activate<T>(activation), residual, y});
}

}  // namespace detail

template <class T>
template <class Weight, class Bias>
void DeviceWeights<T>::pack(BasicCuda<T>& cuda, int rows, int depth, Weight weight, Bias bias_of) {
    N = rows;
    K = depth;
    stride = detail::ceil_div(N, 4) * 4;
    cuda.reserve(weights, std::size_t(K) * std::size_t(stride));
    cuda.reserve(bias, std::size_t(stride));
    detail::each_in_rows(
        cuda, "pack weights", K + 1, stride,
        detail::PackWeights<T, Weight, Bias>{weight, bias_of, N, K, stride, weights.data(), bias.data()});
    ready = true;
}

}  // namespace mia
