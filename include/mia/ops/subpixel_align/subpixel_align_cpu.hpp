#pragma once
#include <algorithm>
#include <cmath>

#include "mia/core/cpu.hpp"
#include "mia/ops/subpixel_align/subpixel_align.hpp"

namespace mia {

namespace detail {

/// Where the r fine positions of one pixel read along an axis.
struct FineTap {
    int pixel;  ///< -1: outside
    int phase;  ///< 0 ... r - 1
    MIA_HOST_DEVICE FineTap(int position, int phase_of_result, float displacement, int factor, int size) {
        // Beyond the image in any case; a huge flow must not overflow.
        const float limit = float(factor) * float(size + 1), move = float(factor) * displacement;
        const int moved = factor * position + phase_of_result +
                          int(std::nearbyint(move < -limit  ? -limit
                                             : move > limit ? limit
                                                            : move));
        const bool is_inside = moved >= 0 && moved < factor * size;
        pixel = is_inside ? moved / factor : -1;
        phase = is_inside ? moved % factor : 0;
    }
};

/// visit(i, j, to, row, column, from): fine position `to` (r a + b) of pixel (i, j) reads fine position `from` of pixel
/// (row, column); not called for what lies outside.
template <class Visit>
void each_fine_position(View<const float, 3> flow, int factor, int begin, int end, Visit&& visit) {
    const int H = flow.extent(0), W = flow.extent(1);
    for (int i = begin; i < end; ++i)
        for (int j = 0; j < W; ++j)
            for (int a = 0; a < factor; ++a) {
                const FineTap y(i, a, flow(i, j, 1), factor, H);
                if (y.pixel < 0) continue;
                for (int b = 0; b < factor; ++b) {
                    const FineTap x(j, b, flow(i, j, 0), factor, W);
                    if (x.pixel >= 0) visit(i, j, factor * a + b, y.pixel, x.pixel, factor * y.phase + x.phase);
                }
            }
}

}  // namespace detail

template <class T>
void subpixel_align(BasicCpu<T>& cpu, In<T, 3> x, View<const float, 3> flow, int factor, Out<T, 3> y) {
    const int H = x.extent(0), W = x.extent(1), C = x.extent(2), fine = factor * factor;
    require(factor >= 1 && C % std::max(1, fine) == 0 && same_shape(x, y) && flow.extent(0) == H &&
                flow.extent(1) == W && flow.extent(2) == 2,
            "subpixel_align: x ", shape_text(x), ", flow ", shape_text(flow), ", y ", shape_text(y),
            " and a factor of ", factor, "; needed: (H, W, C), (H, W, 2), (H, W, C), C a multiple of factor^2");
    cpu.parallel_for(H, 4, [&](std::ptrdiff_t begin, std::ptrdiff_t end, int) {
        std::fill(y.data + begin * W * C, y.data + end * W * C, T(0));
        detail::each_fine_position(flow, factor, int(begin), int(end),
                                   [&](int i, int j, int to, int row, int column, int from) {
                                       T* out = y.data + (std::ptrdiff_t(i) * W + j) * C + to;
                                       const T* in = x.data + (std::ptrdiff_t(row) * W + column) * C + from;
                                       for (int k = 0; k < C; k += fine) out[k] = in[k];
                                   });
    });
}

}  // namespace mia
