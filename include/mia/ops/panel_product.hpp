#pragma once
#include "mia/core/micro_kernel.hpp"
#include "mia/core/tensor.hpp"

namespace mia {

/// Weights (M, K) of a linear map for products with tokens in lanes: the weights are broadcast. Tiles of rows of nearly
/// one height, each as (K, rows), so that a tile reads its weights one after the other.
template <class T>
struct PackedRows {
    int M = 0, K = 0;
    HostBuffer<T> tiles, bias;

    /// weight(m, k), bias_of(m); both multiplied by scale.
    template <class Weight, class Bias>
    void pack(int rows, int columns, T scale, Weight weight, Bias bias_of) {
        M = rows;
        K = columns;
        tiles.reserve(std::size_t(M) * std::size_t(K));
        bias.reserve(std::size_t(M));
        simd::each_tile(M, simd::max_tile_rows(simd::panel_vectors), [&](int m0, int height) {
            T* tile = tiles.data() + std::ptrdiff_t(m0) * K;
            for (int k = 0; k < K; ++k)
                for (int i = 0; i < height; ++i) tile[k * height + i] = scale * weight(m0 + i, k);
        });
        for (int m = 0; m < M; ++m) bias.data()[m] = scale * bias_of(m);
    }
};

namespace detail {

struct NothingBeforeATile {
    MIA_INLINE void operator()(int) const {}
};

/// store(m, j, v): v = bias[m] + sum_k weight[m, k] panel[k, lanes of vector j], for all rows m and the first `vectors`
/// vectors of a panel (K, width). before_tile(m) runs before the tile that begins at row m: a place to prefetch.
template <class T, int Vectors, class Store, class BeforeTile>
MIA_INLINE void panel_product_vectors(const PackedRows<T>& w, const T* panel, Store& store_vector,
                                      BeforeTile& before_tile) {
    using namespace simd;
    constexpr std::ptrdiff_t width = panel_vectors * lanes<T>;
    each_tile(w.M, max_tile_rows(panel_vectors), [&](int m0, int height) MIA_INLINE_LAMBDA {
        before_tile(m0);
        with_rows<max_tile_rows(panel_vectors)>(height, [&]<int Rows>() MIA_INLINE_LAMBDA {
            Vec<T> c[Rows][Vectors];
#pragma GCC unroll 12
            for (int i = 0; i < Rows; ++i)
#pragma GCC unroll 2
                for (int j = 0; j < Vectors; ++j) c[i][j] = broadcast(w.bias.data()[m0 + i]);
            accumulate<T, Rows, Vectors>(ColumnsOperand<T, Rows>(w.tiles.data() + std::ptrdiff_t(m0) * w.K, Rows),
                                         panel, width, w.K, c);
#pragma GCC unroll 12
            for (int i = 0; i < Rows; ++i)
#pragma GCC unroll 2
                for (int j = 0; j < Vectors; ++j) store_vector(m0 + i, j, c[i][j]);
        });
    });
}
template <class T, class Store, class BeforeTile = NothingBeforeATile>
void panel_product(const PackedRows<T>& w, const T* panel, int vectors, Store store_vector,
                   BeforeTile before_tile = {}) {
    if (vectors == 1)
        panel_product_vectors<T, 1>(w, panel, store_vector, before_tile);
    else
        panel_product_vectors<T, 2>(w, panel, store_vector, before_tile);
}

/// y = (x - mean) / sqrt(var + eps) * weight + bias over the C rows of the first vectors of a panel (C, width), tokens
/// in lanes; y may be x. Lanes whose `valid` is 0 become zero vectors; valid may be null.
template <class T>
void panel_layer_norm(const T* x, int C, int vectors, const T* weight, const T* bias, T eps, const T* valid, T* y) {
    using namespace simd;
    constexpr std::ptrdiff_t width = panel_vectors * lanes<T>;
    for (int j = 0; j < vectors * lanes<T>; j += lanes<T>) {
        Vec<T> sums[4] = {}, squares[4] = {};
        for (int c = 0; c < C; ++c) sums[c % 4] += load(x + c * width + j);
        const Vec<T> mean = ((sums[0] + sums[1]) + (sums[2] + sums[3])) / broadcast(T(C));
        for (int c = 0; c < C; ++c) {
            const Vec<T> d = load(x + c * width + j) - mean;
            squares[c % 4] = fma(d, d, squares[c % 4]);
        }
        const Vec<T> variance = ((squares[0] + squares[1]) + (squares[2] + squares[3])) / broadcast(T(C));
        const Vec<T> inverse = broadcast(T(1)) / sqrt(variance + broadcast(eps));
        const Vec<T> keep = valid ? load(valid + j) : broadcast(T(1));
        for (int c = 0; c < C; ++c) {
            const Vec<T> normed = (load(x + c * width + j) - mean) * inverse;
            store(y + c * width + j, fma(normed, broadcast(weight[c]), broadcast(bias[c])) * keep);
        }
    }
}

}  // namespace detail
}  // namespace mia
