#pragma once
#include <algorithm>
#include <cstddef>

#include "mia/core/simd.hpp"

namespace mia::simd {

using Row8 = float __attribute__((vector_size(32)));  ///< 8 floats, on any machine

/// Transposes an 8 x 8 block held in eight rows.
MIA_INLINE void transpose(Row8 (&r)[8]) {
    Row8 a[8], b[8];
#pragma GCC unroll 8
    for (int i = 0; i < 8; i += 2) {
        a[i] = __builtin_shufflevector(r[i], r[i + 1], 0, 8, 1, 9, 4, 12, 5, 13);
        a[i + 1] = __builtin_shufflevector(r[i], r[i + 1], 2, 10, 3, 11, 6, 14, 7, 15);
    }
#pragma GCC unroll 8
    for (int i = 0; i < 8; ++i) {  // pairs (0, 2), (1, 3), (4, 6), (5, 7)
        const int p = (i / 4) * 4 + (i / 2) % 2;
        b[i] = i % 2 == 0 ? __builtin_shufflevector(a[p], a[p + 2], 0, 1, 8, 9, 4, 5, 12, 13)
                          : __builtin_shufflevector(a[p], a[p + 2], 2, 3, 10, 11, 6, 7, 14, 15);
    }
#pragma GCC unroll 8
    for (int i = 0; i < 4; ++i) {
        r[i] = __builtin_shufflevector(b[i], b[i + 4], 0, 1, 2, 3, 8, 9, 10, 11);
        r[i + 4] = __builtin_shufflevector(b[i], b[i + 4], 4, 5, 6, 7, 12, 13, 14, 15);
    }
}

/// panel[c * width + i] = lane c of rows(i) for i < count, C elements a row; rows(i) is a pointer.
template <class T, class Rows>
MIA_INLINE void rows_to_panel(Rows rows, int count, int C, Lane<T>* panel, std::ptrdiff_t width) {
    const int whole = C / per_lane<T>, all = (C + per_lane<T> - 1) / per_lane<T>;  // lanes a row
    int i0 = 0, c_done = 0;
    if constexpr (sizeof(Lane<T>) == 4) {
        c_done = whole >= 8 ? whole : 0;
        for (; c_done > 0 && i0 + 8 <= count; i0 += 8) {
            const T* r[8];
            for (int i = 0; i < 8; ++i) r[i] = rows(i0 + i);
            for (int c = 0; c < whole; c += 8) {
                const int at = std::min(c, whole - 8);  // the last block may overlap the one before it
                Row8 block[8];
#pragma GCC unroll 8
                for (int i = 0; i < 8; ++i) std::memcpy(&block[i], r[i] + at * per_lane<T>, sizeof(Row8));
                transpose(block);
#pragma GCC unroll 8
                for (int i = 0; i < 8; ++i) std::memcpy(panel + (at + i) * width + i0, &block[i], sizeof(Row8));
            }
        }
    }
    for (int i = 0; i < count; ++i) {
        const T* row = rows(i);
        for (int c = i < i0 ? c_done : 0; c < all; ++c) panel[c * width + i] = lane_of(row, c, C);
    }
}

/// The way back: lane c of rows(i) = panel[c * width + i].
template <class T, class Rows>
MIA_INLINE void panel_to_rows(const Lane<T>* panel, std::ptrdiff_t width, int count, int C, Rows rows) {
    const int whole = C / per_lane<T>;
    int i0 = 0, c_done = 0;
    if constexpr (sizeof(Lane<T>) == 4) {
        c_done = whole >= 8 ? whole : 0;
        for (; c_done > 0 && i0 + 8 <= count; i0 += 8) {
            T* r[8];
            for (int i = 0; i < 8; ++i) r[i] = rows(i0 + i);
            for (int c = 0; c < whole; c += 8) {
                const int at = std::min(c, whole - 8);
                Row8 block[8];
#pragma GCC unroll 8
                for (int i = 0; i < 8; ++i) std::memcpy(&block[i], panel + (at + i) * width + i0, sizeof(Row8));
                transpose(block);
#pragma GCC unroll 8
                for (int i = 0; i < 8; ++i) std::memcpy(r[i] + at * per_lane<T>, &block[i], sizeof(Row8));
            }
        }
    }
    for (int i = 0; i < count; ++i) {
        T* row = rows(i);
        for (int c = (i < i0 ? c_done : 0) * per_lane<T>; c < C; ++c)  // element c lies at the start of a lane or in it
            std::memcpy(row + c, reinterpret_cast<const T*>(panel + c / per_lane<T> * width + i) + c % per_lane<T>,
                        sizeof(T));
    }
}

}  // namespace mia::simd
