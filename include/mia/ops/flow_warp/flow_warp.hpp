#pragma once
#include "mia/core/backend.hpp"
#include "mia/core/count.hpp"
#include "mia/core/error.hpp"

// Contract. Bilinear sampling of x at (x + flow_x, y + flow_y), coordinates as in sampling_grid.hpp:
//   y[y, x, c] = sum of the four neighbours of the sampled point, weighted by its distances
//   zeros:  a neighbour outside the image contributes 0, each on its own
//   border: the point is first moved to the nearest one inside the image
//   x, y: (H, W, C), not overlapping; flow: (H, W, 2) float, in pixels, x then y.

namespace mia {

/// PyTorch's padding_mode.
enum class Padding { zeros, border };

template <class T, class U>
void flow_warp(BasicCount<T>& count, In<U, 3>, View<const float, 3>, Padding, View<U, 3> y) {
    count.record({"flow_warp"}, y);
}

namespace detail {
template <class U>
void check_flow_warp(View<const U, 3> x, View<const float, 3> flow, View<U, 3> y) {
    const int H = x.extent(0), W = x.extent(1);
    require(same_shape(x, y) && flow.extent(0) == H && flow.extent(1) == W && flow.extent(2) == 2, "flow_warp: x ",
            shape_text(x), ", flow ", shape_text(flow), ", y ", shape_text(y),
            "; needed: (H, W, C), (H, W, 2), (H, W, C)");
}
}  // namespace detail

}  // namespace mia

#include "mia/ops/flow_warp/flow_warp_cpu.hpp"
