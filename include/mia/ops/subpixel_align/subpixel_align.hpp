#pragma once
#include "mia/core/backend.hpp"
#include "mia/core/count.hpp"

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

}  // namespace mia

#include "mia/ops/subpixel_align/subpixel_align_cpu.hpp"
