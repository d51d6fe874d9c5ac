#pragma once
#include "mia/core/backend.hpp"
#include "mia/core/count.hpp"

// Contract. y[i, j, c] = mean of x[k i ... k i + k - 1, k j ... k j + k - 1, c]: window k x k, stride k, no padding.
//   x: (H, W, C); y: (H / k, W / k, C), rounded down. Frames: Wide<T>.

namespace mia {

template <class T>
void avg_pool2d(BasicCount<T>& count, In<Wide<T>, 3>, int, Out<Wide<T>, 3> y) {
    count.record({"avg_pool2d"}, y);
}

}  // namespace mia

#include "mia/ops/avg_pool2d/avg_pool2d_cpu.hpp"
