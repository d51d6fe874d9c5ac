#pragma once
#include "mia/core/cuda.cuh"
#include "mia/train/each_element.cuh"
#include "mia/train/gradient.hpp"

// What the vjps of several ops are made of on Cuda: sums of outer products and of rows, taken in pieces of a fixed
// size, so that there is work for many blocks; then the pieces are added in order.

namespace mia {

namespace detail {

template <class T>
struct AddGradient {
    const T* g;
    Gradient<T> d;
    __device__ void operator()(std::ptrdiff_t i) const { d.add(i, g[i]); }
};

/// Each thread computes 4 x 4 sums of a tile.
struct OuterSize {
    static constexpr int rows = 64, columns = 64, depth = 16, threads = rows / 4 * columns / 4;
    static constexpr int piece = 256;  ///< rows of a part
};
template <class T>
struct OuterTile {
    T a[OuterSize::depth][OuterSize::rows];
    T b[OuterSize::depth][OuterSize::columns];
};

/// parts[p, m, n] = sum over the rows k of piece p of a(k, m) b[k, n]. Both operands lie as the sum runs, so neighbours
/// are loaded together. A has at(k, column(m)); b: (K, N).
template <class T, class A>
__global__ void __launch_bounds__(OuterSize::threads)
    outer_products_kernel(A a, const T* b, int K, int M, int N, T* parts) {
    using Size = OuterSize;
    auto& tile = shared_memory<OuterTile<T>>();
    constexpr int loads = Size::rows * Size::depth / Size::threads, k_step = Size::threads / Size::rows;
    const int m0 = int(blockIdx.x) * Size::rows, n0 = int(blockIdx.y) * Size::columns, thread = int(threadIdx.x);
    const int begin = int(blockIdx.z) * Size::piece, end = min(K, begin + Size::piece);
    const int load_m = m0 + thread % Size::rows, load_n = n0 + thread % Size::columns, load_k = thread / Size::rows;
    const auto column = a.column(load_m);
    const int row = thread / (Size::columns / 4) * 4, across = thread % (Size::columns / 4) * 4;
    T sum[4][4] = {};
    for (int k0 = begin; k0 < end; k0 += Size::depth) {
        if (k0 > begin) __syncthreads();  // the tile has been read
#pragma unroll
        for (int i = 0; i < loads; ++i) {
            const int k = load_k + i * k_step;
            const bool is_inside = k0 + k < end;
            tile.a[k][thread % Size::rows] = is_inside && load_m < M ? a.at(k0 + k, column) : T(0);
            tile.b[k][thread % Size::columns] = is_inside && load_n < N ? b[std::ptrdiff_t(k0 + k) * N + load_n] : T(0);
        }
        __syncthreads();
#pragma unroll
        for (int k = 0; k < Size::depth; ++k) {
            const auto left = *reinterpret_cast<const Quad<T>*>(&tile.a[k][row]);
            const auto right = *reinterpret_cast<const Quad<T>*>(&tile.b[k][across]);
#pragma unroll
            for (int i = 0; i < 4; ++i)
#pragma unroll
                for (int j = 0; j < 4; ++j) sum[i][j] += left.v[i] * right.v[j];
        }
    }
    parts += std::ptrdiff_t(blockIdx.z) * M * N;
#pragma unroll
    for (int i = 0; i < 4; ++i)
#pragma unroll
        for (int j = 0; j < 4; ++j)
            if (m0 + row + i < M && n0 + across + j < N)
                parts[std::ptrdiff_t(m0 + row + i) * N + n0 + across + j] = sum[i][j];
}

/// The columns of a matrix (K, M).
template <class T>
struct MatrixColumns {
    const T* x;
    int M;
    __device__ int column(int m) const { return m; }
    __device__ T at(int k, int m) const { return x[std::ptrdiff_t(k) * M + m]; }
};

/// parts[p, n] = sum over the rows of piece p of x[k, n].
template <class T>
struct ColumnSums {
    View<const T, 2> x;
    int piece;
    View<T, 2> parts;
    __device__ void operator()(int p, int n) const {
        const int end = min(x.extent(0), (p + 1) * piece);
        T sum = 0;
        for (int k = p * piece; k < end; ++k) sum += x(k, n);
        parts(p, n) = sum;
    }
};

/// d[place(i)] += scale * sum over p of parts[p, i].
template <class T, class Place>
struct AddParts {
    View<const T, 2> parts;
    T scale;
    Place place;
    T* d;
    __device__ void operator()(std::ptrdiff_t i) const {
        T sum = 0;
        for (int p = 0; p < parts.extent(0); ++p) sum += parts(p, i);
        d[place(i)] += scale * sum;
    }
};
struct InOrder {
    __device__ std::ptrdiff_t operator()(std::ptrdiff_t i) const { return i; }
};

/// d[place(m N + n)] += scale * sum over k of a(k, m) b[k, n]; d may be nowhere.
template <class T, class A, class Place>
void add_outer_products(BasicCuda<T>& cuda, const char* op, A a, int M, In<T, 2> b, T scale, Place place,
                        Gradient<T> d) {
    using Size = OuterSize;
    const int K = b.extent(0), N = b.extent(1), pieces = ceil_div(K, Size::piece);
    if (!d || K == 0) return;
    const auto scope = cuda.scope();
    const View<T, 2> parts = cuda.scratch(pieces, M * N);
    launch(cuda, op,
           {.grid = {unsigned(ceil_div(M, Size::rows)), unsigned(ceil_div(N, Size::columns)), unsigned(pieces)},
            .block = unsigned(Size::threads),
            .shared_bytes = sizeof(OuterTile<T>)},
           outer_products_kernel<T, A>, a, b.data, K, M, N, parts.data);
    each_element(cuda, op, std::ptrdiff_t(M) * N, AddParts<T, Place>{parts, scale, place, d.data});
}

/// d (N) += scale * the column sums of x; d may be nowhere.
template <class T>
void add_column_sums(BasicCuda<T>& cuda, const char* op, In<T, 2> x, T scale, Gradient<T> d) {
    constexpr int piece = 64;
    if (!d) return;
    const auto scope = cuda.scope();
    const View<T, 2> parts = cuda.scratch(ceil_div(x.extent(0), piece), x.extent(1));
    each_in_rows(cuda, op, parts.extent(0), parts.extent(1), ColumnSums<T>{x, piece, parts});
    each_element(cuda, op, parts.extent(1), AddParts<T, InOrder>{parts, scale, {}, d.data});
}

}  // namespace detail

template <class T>
void add_gradient(BasicCuda<T>& cuda, const T* g, std::ptrdiff_t size, Gradient<T> d) {
    if (d) detail::each_element(cuda, "add_gradient", size, detail::AddGradient<T>{g, d});
}

}  // namespace mia
