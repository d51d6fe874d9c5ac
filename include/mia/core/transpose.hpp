#pragma once
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

/// panel[c * width + i] = rows(i)[c] for i < count, c < C; rows(i) is a pointer.
template <class T, class Rows>
MIA_INLINE void rows_to_panel(Rows rows, int count, int C, T* panel, std::ptrdiff_t width) {
    int i0 = 0, c_done = 0;
    if constexpr (sizeof(T) == 4) {
        c_done = C / 8 * 8;
        for (; i0 + 8 <= count; i0 += 8) {
            const T* r[8];
            for (int i = 0; i < 8; ++i) r[i] = rows(i0 + i);
            for (int c = 0; c < c_done; c += 8) {
                Row8 block[8];
#pragma GCC unroll 8
                for (int i = 0; i < 8; ++i) std::memcpy(&block[i], r[i] + c, sizeof(Row8));
                transpose(block);
#pragma GCC unroll 8
                for (int i = 0; i < 8; ++i) std::memcpy(panel + (c + i) * width + i0, &block[i], sizeof(Row8));
            }
        }
    }
    for (int i = 0; i < count; ++i) {
        const T* row = rows(i);
        for (int c = i < i0 ? c_done : 0; c < C; ++c) panel[c * width + i] = row[c];
    }
}

/// The way back: rows(i)[c] = panel[c * width + i].
template <class T, class Rows>
MIA_INLINE void panel_to_rows(const T* panel, std::ptrdiff_t width, int count, int C, Rows rows) {
    int i0 = 0, c_done = 0;
    if constexpr (sizeof(T) == 4) {
        c_done = C / 8 * 8;
        for (; i0 + 8 <= count; i0 += 8) {
            T* r[8];
            for (int i = 0; i < 8; ++i) r[i] = rows(i0 + i);
            for (int c = 0; c < c_done; c += 8) {
                Row8 block[8];
#pragma GCC unroll 8
                for (int i = 0; i < 8; ++i) std::memcpy(&block[i], panel + (c + i) * width + i0, sizeof(Row8));
                transpose(block);
#pragma GCC unroll 8
                for (int i = 0; i < 8; ++i) std::memcpy(r[i] + c, &block[i], sizeof(Row8));
            }
        }
    }
    for (int i = 0; i < count; ++i) {
        T* row = rows(i);
        for (int c = i < i0 ? c_done : 0; c < C; ++c) row[c] = panel[c * width + i];
    }
}

}  // namespace mia::simd
