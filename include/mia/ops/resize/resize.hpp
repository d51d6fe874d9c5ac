#pragma once
#include "mia/core/backend.hpp"
#include "mia/core/count.hpp"
#include "mia/ops/resize/linear_tap.hpp"

// Contract. Bilinear, no anti-aliasing when the image shrinks. Per axis, in float:
//   corners apart:    s = max(0, in / out * (dst + 0.5) - 0.5)
//   corners aligned:  s = (in - 1) / (out - 1) * dst            (0 when out = 1)
//   i0 = floor(s), i1 = min(i0 + 1, in - 1), l1 = s - i0, l0 = 1 - l1
//   y[y, x, c] = factor[c] * (l0y (l0x p00 + l1x p01) + l1y (l0x p10 + l1x p11))
//   x: (H, W, C); y: (H', W', C), not overlapping x. Frames and flows: Wide<T>.

namespace mia {

/// What the first two channels are multiplied by: a flow's x and y grow with the image.
struct ChannelFactors {
    float first = 1, second = 1;
};

template <class T>
void resize_bilinear(BasicCount<T>& count, In<Wide<T>, 3>, Corners, Out<Wide<T>, 3> y, ChannelFactors = {}) {
    const auto scope = count.scope();
    count.template scratch<detail::LinearTap>(y.extent(1));
    count.record({"resize_bilinear"}, y);
}

}  // namespace mia

#include "mia/ops/resize/resize_cpu.hpp"
