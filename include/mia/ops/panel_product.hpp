#pragma once
#include "mia/core/micro_kernel.hpp"
#include "mia/core/tensor.hpp"

namespace mia {

/// Weights (M, K) of a linear map for products with tokens in lanes: the weights are broadcast. Tiles of rows of nearly
/// one height, each as (lanes of K, rows), so that a tile reads its weights one after the other.
template <class T>
struct PackedRows {
    int M = 0, K = 0;  ///< M rounded up to whole lanes, by rows of zeros
    HostBuffer<Lane<T>> tiles;
    HostBuffer<Wide<T>> bias;

    int depth() const { return simd::ceil_div(K, per_lane<T>); }  ///< lanes along K

    /// weight(m, k), bias_of(m).
    template <class Weight, class Bias>
    void pack(int rows, int columns, Weight weight, Bias bias_of) {
        M = simd::round_up(rows, per_lane<T>);
        K = columns;
        tiles.reserve(std::size_t(M) * std::size_t(depth()));
        bias.reserve(std::size_t(M));
        simd::each_lane_tile<T>(M, simd::max_tile_rows(simd::panel_vectors), [&](int m0, int height) {
            Lane<T>* tile = tiles.data() + std::ptrdiff_t(m0) * depth();
            for (int k = 0; k < depth(); ++k)
                for (int i = 0; i < height; ++i) {
                    T element[per_lane<T>];
                    for (int e = 0; e < per_lane<T>; ++e) {
                        const int column = k * per_lane<T> + e;
                        element[e] = m0 + i < rows && column < K ? weight(m0 + i, column) : T(0);
                    }
                    tile[k * height + i] = lane_of(element, 0, per_lane<T>);
                }
        });
        for (int m = 0; m < M; ++m) bias.data()[m] = m < rows ? Wide<T>(bias_of(m)) : Wide<T>(0);
    }
};

namespace detail {

struct NothingBeforeATile {
    MIA_INLINE void operator()(int) const {}
};

/// store(m, j, v): v[e] = bias[m + e] + sum_k weight[m + e, k] panel[k, lanes of vector j], for all rows m, as many at
/// once as a lane holds elements, and the first `vectors` vectors of a panel (lanes of K, stride). before_tile(m) runs
/// before the tile that begins at row m: a place to prefetch.
template <class T, int Vectors, class Store, class BeforeTile>
MIA_INLINE void panel_product_vectors(const PackedRows<T>& w, const Lane<T>* panel, std::ptrdiff_t stride,
                                      Store& store_vectors, BeforeTile& before_tile) {
    using namespace simd;
    constexpr int most = max_tile_rows(panel_vectors), n = per_lane<T>;
    each_lane_tile<T>(w.M, most, [&](int m0, int height) MIA_INLINE_LAMBDA {
        before_tile(m0);
        with_lane_rows<T, most>(height, [&]<int Rows>() MIA_INLINE_LAMBDA {
            Vec<T> c[Rows][Vectors];
#pragma GCC unroll 12
            for (int i = 0; i < Rows; ++i)
#pragma GCC unroll 2
                for (int j = 0; j < Vectors; ++j) c[i][j] = broadcast(w.bias.data()[m0 + i]);
            const int depth = w.depth();
            accumulate<Lane<T>, Rows, Vectors>(
                ColumnsOperand<Lane<T>, Rows>(w.tiles.data() + std::ptrdiff_t(m0) * depth, Rows), panel, stride, depth,
                c);
#pragma GCC unroll 12
            for (int i = 0; i < Rows; i += n)
#pragma GCC unroll 2
                for (int j = 0; j < Vectors; ++j) {
                    Vec<T> v[n];
#pragma GCC unroll 2
                    for (int e = 0; e < n; ++e) v[e] = c[i + e][j];
                    store_vectors(m0 + i, j, v);
                }
        });
    });
}
template <class T, class Store, class BeforeTile = NothingBeforeATile>
void panel_product(const PackedRows<T>& w, const Lane<T>* panel, std::ptrdiff_t stride, int vectors,
                   Store store_vectors, BeforeTile before_tile = {}) {
    if (vectors == 1)
        panel_product_vectors<T, 1>(w, panel, stride, store_vectors, before_tile);
    else
        panel_product_vectors<T, 2>(w, panel, stride, store_vectors, before_tile);
}

/// v[e] = channel c + e of a panel's lanes, zero beyond C. x: (lanes of C, width), or (C, width) of single elements.
template <int n, class L, class V>
MIA_INLINE void load_channels(const L* x, int c, int C, std::ptrdiff_t width, V (&v)[n]) {
    if constexpr (std::is_same_v<L, Bf16Pair> || n == 1)
        simd::unpack(simd::load(x + c / n * width), v);
    else
#pragma GCC unroll 2
        for (int e = 0; e < n; ++e) v[e] = c + e < C ? simd::load(x + (c + e) * width) : V{};
}

/// y = (x - mean) / sqrt(var + eps) * weight + bias over the C channels of the first vectors of a panel, tokens in
/// lanes. x: as load_channels() takes it; y: (lanes of C, width), may be x. Lanes whose `valid` is 0 become zero
/// vectors; valid may be null.
template <class T, class L>
void panel_layer_norm(const L* x, int C, int vectors, const Wide<T>* weight, const Wide<T>* bias, Wide<T> eps,
                      const Wide<T>* valid, Lane<T>* y) {
    using namespace simd;
    using V = Vec<T>;
    using W = Wide<T>;
    constexpr std::ptrdiff_t width = panel_vectors * lanes<T>;
    constexpr int n = per_lane<T>;
    for (int j = 0; j < vectors * lanes<T>; j += lanes<T>) {
        const auto sum_over_channels = [&](auto add) MIA_INLINE_LAMBDA {
            return sum_of<T>(C, [&]<int Count>(int c, V& sum) MIA_INLINE_LAMBDA {
                V v[n];
                load_channels<n>(x + j, c, C, width, v);
#pragma GCC unroll 2
                for (int e = 0; e < Count; ++e) add(v[e], sum);
            });
        };
        const V mean = sum_over_channels([](V v, V& sum) MIA_INLINE_LAMBDA { sum += v; }) / broadcast(W(C));
        const V variance = sum_over_channels([&](V v, V& sum) MIA_INLINE_LAMBDA {
                               const V d = v - mean;
                               sum = fma(d, d, sum);
                           }) /
                           broadcast(W(C));
        const V inverse = broadcast(W(1)) / sqrt(variance + broadcast(eps));
        const V keep = valid ? load(valid + j) : broadcast(W(1));
        for (int c = 0; c < C; c += n) {
            V v[n];
            load_channels<n>(x + j, c, C, width, v);
#pragma GCC unroll 2
            for (int e = 0; e < n; ++e)
                v[e] = c + e < C ? fma((v[e] - mean) * inverse, broadcast(weight[c + e]), broadcast(bias[c + e])) * keep
                                 : V{};
            store(y + c / n * width + j, pack(v));
        }
    }
}

}  // namespace detail
}  // namespace mia
