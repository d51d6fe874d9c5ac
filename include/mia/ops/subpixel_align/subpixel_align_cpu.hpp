#pragma once
#include <algorithm>
#include <cstdint>
#include <cstring>

#include "mia/core/cpu.hpp"
#include "mia/ops/subpixel_align/fine_tap.hpp"
#include "mia/ops/subpixel_align/subpixel_align.hpp"

namespace mia {

namespace detail {

/// Where the first of a pixel's fine positions reads: a pixel, which may lie outside, and a place inside it.
struct FineOrigin {
    int top, left, y_phase, x_phase;
};
MIA_INLINE FineOrigin fine_origin(View<const float, 3> flow, int factor, int i, int j) {
    const int H = flow.extent(0), W = flow.extent(1);
    // From 0 on in a coordinate that begins far outside: the quotient rounds down.
    const int beyond = factor * (std::max(H, W) + 2);
    const int y = factor * i + fine_displacement(flow(i, j, 1), factor, H) + beyond,
              x = factor * j + fine_displacement(flow(i, j, 0), factor, W) + beyond;
    return {y / factor - beyond / factor, x / factor - beyond / factor, y % factor, x % factor};
}

/// visit(to, row, column, from, n): a pixel's fine positions to, to + 1, ..., to + n - 1 (r a + b), which are
/// neighbours in a row, read from, from + 1, ... of pixel (row, column); not called for what lies outside.
template <class Visit>
void each_run_of(const FineOrigin& at, int factor, int H, int W, Visit&& visit) {
    for (int a = 0; a < factor; ++a) {
        const bool wraps = at.y_phase + a >= factor;
        const int row = at.top + wraps, from = factor * (at.y_phase + a - (wraps ? factor : 0));
        if (row < 0 || row >= H) continue;
        if (at.left >= 0 && at.left < W) visit(factor * a, row, at.left, from + at.x_phase, factor - at.x_phase);
        if (at.x_phase > 0 && at.left + 1 >= 0 && at.left + 1 < W)
            visit(factor * a + factor - at.x_phase, row, at.left + 1, from, at.x_phase);
    }
}
/// visit(i, j, to, row, column, from, n) for the pixels (i, j) of some rows.
template <class Visit>
void each_fine_run(View<const float, 3> flow, int factor, int begin, int end, Visit&& visit) {
    const int H = flow.extent(0), W = flow.extent(1);
    for (int i = begin; i < end; ++i)
        for (int j = 0; j < W; ++j)
            each_run_of(fine_origin(flow, factor, i, j), factor, H, W,
                        [&](int to, int row, int column, int from, int n) { visit(i, j, to, row, column, from, n); });
}

/// Four neighbours of a row, by the size of one: they only move.
template <std::size_t Size>
struct FourOf;
template <>
struct FourOf<2> {
    using Type = std::uint16_t __attribute__((vector_size(8)));
};
template <>
struct FourOf<4> {
    using Type = float __attribute__((vector_size(16)));
};
template <>
struct FourOf<8> {
    using Type = double __attribute__((vector_size(32)));
};

/// A pixel by a factor of 4 all of whose sources lie inside: each row of four fine positions is cut from eight
/// neighbours, four of one pixel and four of the next one. x: the pixel (top, left) of an image of W columns.
template <int Phase, class T>
void align_four_by_four(const T* x, std::ptrdiff_t W, int C, int y_phase, T* y) {
    for (int a = 0; a < 4; ++a) {
        const bool wraps = y_phase + a >= 4;
        const T* left = x + (wraps ? W * C : 0) + 4 * ((y_phase + a) % 4);
        for (int k = 0; k < C; k += 16) {
            typename FourOf<sizeof(T)>::Type four, next;
            std::memcpy(&four, left + k, sizeof four);
            if constexpr (Phase > 0) {
                std::memcpy(&next, left + C + k, sizeof next);
                four = __builtin_shufflevector(four, next, Phase, Phase + 1, Phase + 2, Phase + 3);
            }
            std::memcpy(y + k + 4 * a, &four, sizeof four);
        }
    }
}

}  // namespace detail

template <class T>
void subpixel_align(BasicCpu<T>& cpu, In<T, 3> x, View<const float, 3> flow, int factor, Out<T, 3> y) {
    using namespace detail;
    const int H = x.extent(0), W = x.extent(1), C = x.extent(2), fine = factor * factor;
    check_subpixel_align<T>(x, flow, factor, y);
    const auto pixel = [&](const FineOrigin& at, T* out) {
        std::fill(out, out + C, T(0));
        each_run_of(at, factor, H, W, [&](int to, int row, int column, int from, int n) {
            const T* in = x.data + (std::ptrdiff_t(row) * W + column) * C + from;
            for (int b = 0; b < n; ++b)
                for (int k = 0; k < C; k += fine) out[to + b + k] = in[b + k];
        });
    };
    cpu.parallel_for(H, 4, [&](std::ptrdiff_t begin, std::ptrdiff_t end, int) {
        for (int i = int(begin); i < int(end); ++i)
            for (int j = 0; j < W; ++j) {
                const FineOrigin at = factor == 4 ? fine_origin(flow, 4, i, j) : fine_origin(flow, factor, i, j);
                T* out = y.data + (std::ptrdiff_t(i) * W + j) * C;
                const bool inside =
                    at.top >= 0 && at.top + (at.y_phase > 0) < H && at.left >= 0 && at.left + (at.x_phase > 0) < W;
                if (factor != 4 || !inside) {
                    pixel(at, out);
                    continue;
                }
                const T* in = x.data + (std::ptrdiff_t(at.top) * W + at.left) * C;
                switch (at.x_phase) {
                    case 0:
                        align_four_by_four<0>(in, W, C, at.y_phase, out);
                        break;
                    case 1:
                        align_four_by_four<1>(in, W, C, at.y_phase, out);
                        break;
                    case 2:
                        align_four_by_four<2>(in, W, C, at.y_phase, out);
                        break;
                    default:
                        align_four_by_four<3>(in, W, C, at.y_phase, out);
                }
            }
    });
}

}  // namespace mia
