#pragma once
#include <algorithm>
#include <cstddef>

#include "mia/core/simd.hpp"

/// C[m, n] += sum_k A[m, k] B[k, n] with n in lanes: A is broadcast, B is loaded from a panel (K, lanes or 2 lanes)
/// that stays in the L1 cache, C lies in registers. Every sum runs over k in order in one accumulator, so a result does
/// not depend on how the rows were cut into tiles or shared among threads. For Bf16 a lane of A and B holds two
/// neighbours along k (core/bf16.hpp), and K counts lanes.
namespace mia::simd {

template <class Integer>
constexpr Integer ceil_div(Integer a, Integer b) {
    return (a + b - 1) / b;
}
template <class Integer>
constexpr Integer round_up(Integer a, Integer b) {
    return ceil_div(a, b) * b;
}

inline constexpr int panel_vectors = 2;  ///< of tokens
inline constexpr int widest_panel = 3;   ///< vectors, of weights
/// Rows of C in registers, for panels of 1, 2 or 3 vectors: at least 8 sums are in flight, to hide the FMA's latency.
/// Of 16 or 32 registers B takes 2 or 3, C 12 or 24, A 1 or 2.
constexpr int max_tile_rows(int vectors) { return vectors == 1 ? 12 : (registers == 32 ? 24 : 12) / vectors; }
inline constexpr int most_tile_rows = 12;

/// A whose rows are `stride` apart and whose columns are neighbours: tokens (row-major activations), read a Lane<T> at
/// a time. Three rows share a pointer, since an address may hold base + 0, 1 or 2 times a register.
template <class T, int Rows>
struct RowsOperand {
    static constexpr int pointers = (Rows + 2) / 3;
    const T* p[pointers];
    std::ptrdiff_t stride;

    MIA_INLINE RowsOperand(const T* a, std::ptrdiff_t row_stride) : stride(row_stride) {
#pragma GCC unroll 4
        for (int i = 0; i < pointers; ++i) p[i] = a + 3 * i * row_stride;
    }
    MIA_INLINE Lane<T> at(int row) const {
        Lane<T> lane;
        std::memcpy(&lane, p[row / 3] + row % 3 * stride, sizeof lane);
        return lane;
    }
    MIA_INLINE void next() {
#pragma GCC unroll 4
        for (int i = 0; i < pointers; ++i) p[i] += per_lane<T>;
    }
};

/// The last column of an odd number of them: each row's last element and a zero.
template <int Rows>
struct LastColumnOperand {
    const Bf16* p;
    std::ptrdiff_t stride;
    MIA_INLINE Bf16Pair at(int row) const { return {p[row * stride], Bf16()}; }
    MIA_INLINE void next() {}
};

/// A whose rows are neighbours and whose columns are `stride` apart: a transposed matrix. T: of its lanes.
template <class T, int Rows>
struct ColumnsOperand {
    const T* p;
    std::ptrdiff_t stride;
    MIA_INLINE ColumnsOperand(const T* a, std::ptrdiff_t column_stride) : p(a), stride(column_stride) {}
    MIA_INLINE T at(int row) const { return p[row]; }
    MIA_INLINE void next() { p += stride; }
};

/// c += A B over k = 0 ... K - 1; b: rows `b_stride` apart. L: what a lane holds, of B and of the sums.
template <class L, int Rows, int Vectors, class A, class V>
MIA_INLINE void accumulate(A a, const L* b, std::ptrdiff_t b_stride, int K, V (&c)[Rows][Vectors]) {
#pragma GCC unroll 1
    for (int k = 0; k < K; ++k) {
        Vec<L> bk[Vectors];
#pragma GCC unroll 3
        for (int j = 0; j < Vectors; ++j) bk[j] = load(b + j * lanes<L>);
#pragma GCC unroll 12
        for (int i = 0; i < Rows; ++i) {
            const Vec<L> aik = broadcast(a.at(i));
#pragma GCC unroll 3
            for (int j = 0; j < Vectors; ++j) c[i][j] = dot(aik, bk[j], c[i][j]);
        }
        a.next();
        b += b_stride;
    }
}

/// Calls f.template operator()<Rows>() for a number of rows known at run time, 1 <= rows <= Most.
template <int Most, class F>
MIA_INLINE void with_rows(int rows, F&& f) {
    if constexpr (Most == 1) {
        f.template operator()<1>();
    } else {
        if (rows == Most)
            f.template operator()<Most>();
        else
            with_rows<Most - 1>(rows, f);
    }
}

/// Calls f.template operator()<Rows, Vectors>() for a tile of a product with a panel of weights.
template <class F>
MIA_INLINE void with_tile(int rows, int vectors, F&& f) {
    with_rows<most_tile_rows>(rows, [&]<int Rows>() MIA_INLINE_LAMBDA {
        if (vectors == 1) return f.template operator()<Rows, 1>();
        if constexpr (Rows <= max_tile_rows(2))
            if (vectors == 2) return f.template operator()<Rows, 2>();
        if constexpr (Rows <= max_tile_rows(3)) f.template operator()<Rows, 3>();
    });
}

/// Cuts M rows into tiles of at most `most` rows, the last ones of nearly one height: f(first, rows).
template <class F>
MIA_INLINE void each_tile(int M, int most, F&& f) {
    int m = 0;
    for (; M - m >= 2 * most; m += most) f(m, most);
    while (m < M) {
        const int left = M - m, rows = ceil_div(left, ceil_div(left, most));
        f(m, rows);
        m += rows;
    }
}

/// each_tile() of M rows that are packed into lanes later: f(first, rows), both multiples of what a lane holds.
template <class T, class F>
MIA_INLINE void each_lane_tile(int M, int most, F&& f) {
    constexpr int n = per_lane<T>;
    each_tile(ceil_div(M, n), most / n, [&](int m, int rows) MIA_INLINE_LAMBDA { f(n * m, n * rows); });
}
/// with_rows() for such tiles.
template <class T, int Most, class F>
MIA_INLINE void with_lane_rows(int rows, F&& f) {
    constexpr int n = per_lane<T>;
    with_rows<Most / n>(rows / n, [&]<int Rows>() MIA_INLINE_LAMBDA { f.template operator()<n * Rows>(); });
}

/// Weights (N, K) of a linear map in panels, (lanes of K, a few vectors of output channels) each, of nearly one width,
/// zero beyond N. K is cut into `segments` of one length, each of whole lanes.
template <class T>
struct PanelLayout {
    int N, K, segments = 1;
    int panels() const { return ceil_div(all_vectors(), widest_panel); }
    int first(int panel) const { return panel * all_vectors() / panels() * lanes<T>; }  ///< output channel
    int vectors(int panel) const { return (first(panel + 1) - first(panel)) / lanes<T>; }
    int depth() const { return segments * ceil_div(K / segments, per_lane<T>); }  ///< lanes along K
    std::ptrdiff_t offset(int panel) const { return std::ptrdiff_t(first(panel)) * depth(); }
    std::ptrdiff_t size() const { return std::ptrdiff_t(round_up(N, lanes<T>)) * depth(); }

private:
    int all_vectors() const { return ceil_div(N, lanes<T>); }
};

/// packed[panel][k][lane] = scale * weight(n, k).
template <class T, class Weight>
void pack_panels(PanelLayout<T> layout, T scale, Weight weight, Lane<T>* packed) {
    const int run = layout.K / layout.segments, run_lanes = ceil_div(run, per_lane<T>);
    for (int p = 0; p < layout.panels(); ++p) {
        const int width = layout.vectors(p) * lanes<T>;
        Lane<T>* panel = packed + layout.offset(p);
        for (int k = 0; k < layout.depth(); ++k)
            for (int i = 0; i < width; ++i) {
                const int n = layout.first(p) + i, s = k / run_lanes, first = k % run_lanes * per_lane<T>;
                T element[per_lane<T>];
                for (int e = 0; e < per_lane<T>; ++e)
                    element[e] = n < layout.N && first + e < run ? T(scale * weight(n, s * run + first + e)) : T(0);
                panel[std::ptrdiff_t(k) * width + i] = lane_of(element, 0, per_lane<T>);
            }
    }
}

}  // namespace mia::simd
