#pragma once
#include <algorithm>
#include <cstddef>

#include "mia/core/simd.hpp"

/// C[m, n] += sum_k A[m, k] B[k, n] with n in lanes: A is broadcast, B is loaded from a panel (K, lanes or 2 lanes)
/// that stays in the L1 cache, C lies in registers. Every sum runs over k in order in one accumulator, so a result does
/// not depend on how the rows were cut into tiles or shared among threads.
namespace mia::simd {

template <class Integer>
constexpr Integer ceil_div(Integer a, Integer b) {
    return (a + b - 1) / b;
}
template <class Integer>
constexpr Integer round_up(Integer a, Integer b) {
    return ceil_div(a, b) * b;
}

inline constexpr int panel_vectors = 2;  ///< 2 B + 12 or 24 C + 1 or 2 A of 16 or 32 registers
/// Rows of C in registers, for panels of 2 vectors or of 1: at least 8 sums are in flight, to hide the FMA's latency.
constexpr int max_tile_rows(int vectors) { return registers == 32 || vectors == 1 ? 12 : 6; }
inline constexpr int most_tile_rows = 12;

/// A whose rows are `stride` apart and whose columns are neighbours: tokens (row-major activations). Three rows share a
/// pointer, since an address may hold base + 0, 1 or 2 times a register.
template <class T, int Rows>
struct RowsOperand {
    static constexpr int pointers = (Rows + 2) / 3;
    const T* p[pointers];
    std::ptrdiff_t stride;

    MIA_INLINE RowsOperand(const T* a, std::ptrdiff_t row_stride) : stride(row_stride) {
#pragma GCC unroll 4
        for (int i = 0; i < pointers; ++i) p[i] = a + 3 * i * row_stride;
    }
    MIA_INLINE T at(int row) const { return p[row / 3][row % 3 * stride]; }
    MIA_INLINE void next() {
#pragma GCC unroll 4
        for (int i = 0; i < pointers; ++i) ++p[i];
    }
};

/// A whose rows are neighbours and whose columns are `stride` apart: a transposed matrix.
template <class T, int Rows>
struct ColumnsOperand {
    const T* p;
    std::ptrdiff_t stride;
    MIA_INLINE ColumnsOperand(const T* a, std::ptrdiff_t column_stride) : p(a), stride(column_stride) {}
    MIA_INLINE T at(int row) const { return p[row]; }
    MIA_INLINE void next() { p += stride; }
};

/// c += A B over k = 0 ... K - 1; b: rows `b_stride` apart.
template <class T, int Rows, int Vectors, class A>
MIA_INLINE void accumulate(A a, const T* b, std::ptrdiff_t b_stride, int K, Vec<T> (&c)[Rows][Vectors]) {
#pragma GCC unroll 1
    for (int k = 0; k < K; ++k) {
        Vec<T> bk[Vectors];
#pragma GCC unroll 2
        for (int j = 0; j < Vectors; ++j) bk[j] = load(b + j * lanes<T>);
#pragma GCC unroll 12
        for (int i = 0; i < Rows; ++i) {
            const Vec<T> aik = broadcast(a.at(i));
#pragma GCC unroll 2
            for (int j = 0; j < Vectors; ++j) c[i][j] = fma(aik, bk[j], c[i][j]);
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

/// Weights (N, K) of a linear map in panels of two vectors of output channels, (K, 2 lanes) each, the last one perhaps
/// of one vector, zero beyond N.
template <class T>
struct PanelLayout {
    int N, K;
    static constexpr int width = panel_vectors * lanes<T>;
    int panels() const { return ceil_div(N, width); }
    int vectors(int panel) const { return std::min(panel_vectors, ceil_div(N - panel * width, lanes<T>)); }
    std::ptrdiff_t offset(int panel) const { return std::ptrdiff_t(panel) * width * K; }
    std::ptrdiff_t size() const { return std::ptrdiff_t(round_up(N, lanes<T>)) * K; }
};

/// packed[panel][k][lane] = scale * weight(n, k).
template <class T, class Weight>
void pack_panels(PanelLayout<T> layout, T scale, Weight weight, T* packed) {
    for (int p = 0; p < layout.panels(); ++p) {
        const int width = layout.vectors(p) * lanes<T>;
        T* panel = packed + layout.offset(p);
        for (int k = 0; k < layout.K; ++k)
            for (int i = 0; i < width; ++i) {
                const int n = p * layout.width + i;
                panel[std::ptrdiff_t(k) * width + i] = n < layout.N ? scale * weight(n, k) : T(0);
            }
    }
}

}  // namespace mia::simd
