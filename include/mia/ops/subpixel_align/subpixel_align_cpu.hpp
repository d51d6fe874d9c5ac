#pragma once
#include <algorithm>
#include <cstring>

#include "mia/core/cpu.hpp"
#include "mia/ops/subpixel_align/fine_tap.hpp"
#include "mia/ops/subpixel_align/subpixel_align.hpp"

namespace mia {

namespace detail {

/// visit(i, j, to, row, column, from, n): the fine positions to, to + 1, ..., to + n - 1 (r a + b) of pixel (i, j),
/// which are neighbours in a row, read from, from + 1, ... of pixel (row, column); not called for what lies outside.
template <class Visit>
void each_fine_run(View<const float, 3> flow, int factor, int begin, int end, Visit&& visit) {
    const int H = flow.extent(0), W = flow.extent(1);
    for (int i = begin; i < end; ++i)
        for (int j = 0; j < W; ++j) {
            // From 0 on in a coordinate that begins far outside: the quotient rounds down.
            const int beyond = factor * (std::max(H, W) + 2);
            const int y = factor * i + fine_displacement(flow(i, j, 1), factor, H) + beyond,
                      x = factor * j + fine_displacement(flow(i, j, 0), factor, W) + beyond;
            const int top = y / factor - beyond / factor, left = x / factor - beyond / factor;
            const int y_phase = y % factor, x_phase = x % factor;
            for (int a = 0; a < factor; ++a) {
                const bool wraps = y_phase + a >= factor;
                const int row = top + wraps, from = factor * (y_phase + a - (wraps ? factor : 0));
                if (row < 0 || row >= H) continue;
                if (left >= 0 && left < W) visit(i, j, factor * a, row, left, from + x_phase, factor - x_phase);
                if (x_phase > 0 && left + 1 >= 0 && left + 1 < W)
                    visit(i, j, factor * a + factor - x_phase, row, left + 1, from, x_phase);
            }
        }
}

template <int N, class T>
void copy_runs(const T* in, int stride, int C, T* out) {
    for (int k = 0; k < C; k += stride) std::memcpy(out + k, in + k, N * sizeof(T));
}

}  // namespace detail

template <class T>
void subpixel_align(BasicCpu<T>& cpu, In<T, 3> x, View<const float, 3> flow, int factor, Out<T, 3> y) {
    const int H = x.extent(0), W = x.extent(1), C = x.extent(2), fine = factor * factor;
    detail::check_subpixel_align<T>(x, flow, factor, y);
    cpu.parallel_for(H, 4, [&](std::ptrdiff_t begin, std::ptrdiff_t end, int) {
        std::fill(y.data + begin * W * C, y.data + end * W * C, T(0));
        detail::each_fine_run(flow, factor, int(begin), int(end),
                              [&](int i, int j, int to, int row, int column, int from, int n) {
                                  T* out = y.data + (std::ptrdiff_t(i) * W + j) * C + to;
                                  const T* in = x.data + (std::ptrdiff_t(row) * W + column) * C + from;
                                  switch (n) {  // of a known length, a run is one or two moves
                                      case 1:
                                          return detail::copy_runs<1>(in, fine, C, out);
                                      case 2:
                                          return detail::copy_runs<2>(in, fine, C, out);
                                      case 3:
                                          return detail::copy_runs<3>(in, fine, C, out);
                                      case 4:
                                          return detail::copy_runs<4>(in, fine, C, out);
                                      default:
                                          for (int b = 0; b < n; ++b) detail::copy_runs<1>(in + b, fine, C, out + b);
                                  }
                              });
    });
}

}  // namespace mia
