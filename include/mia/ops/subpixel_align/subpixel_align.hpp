#pragma once
#include <algorithm>

#include "mia/core/backend.hpp"
#include "mia/core/count.hpp"
#include "mia/core/error.hpp"

// Contract. Features move by fractions of a pixel without being blurred: x stands for the image
//   X[r i + a, r j + b, k] = x[i, j, r^2 k + r a + b],  0 <= a, b < r     (pixel_shuffle of x),
// r times as large, of which every pixel of y reads the nearest one to where its flow leads:
//   y[i, j, r^2 k + r a + b] = X[r i + a + dy, r j + b + dx, k],   dx, dy = round(r flow(i, j)), half to even;
//   0 outside the image.
//   x, y: (H, W, r^2 K), not overlapping; flow: (H, W, 2) float, in pixels of x.

namespace mia {

template <class T>
void subpixel_align(BasicCount<T>& count, In<T, 3>, View<const float, 3>, int, Out<T, 3> y) {
    count.record({"subpixel_align"}, y);
}

namespace detail {
template <class T>
void check_subpixel_align(View<const T, 3> x, View<const float, 3> flow, int factor, View<T, 3> y) {
    const int H = x.extent(0), W = x.extent(1), C = x.extent(2), fine = factor * factor;
    require(factor >= 1 && C % std::max(1, fine) == 0 && same_shape(x, y) && flow.extent(0) == H &&
                flow.extent(1) == W && flow.extent(2) == 2,
            "subpixel_align: x ", shape_text(x), ", flow ", shape_text(flow), ", y ", shape_text(y),
            " and a factor of ", factor, "; needed: (H, W, C), (H, W, 2), (H, W, C), C a multiple of factor^2");
}
}  // namespace detail

}  // namespace mia

#include "mia/ops/subpixel_align/subpixel_align_cpu.hpp"
