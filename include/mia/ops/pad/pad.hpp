#pragma once
#include "mia/core/backend.hpp"
#include "mia/core/count.hpp"

// Contract.
//   pad_replicate: y[i, j] = x[min(i, H - 1), min(j, W - 1)];  x: (H, W, C), y: (H', W', C), H' >= H, W' >= W
//   crop_image:    y[i, j] = x[i, j];                          y not larger than x
//   Frames: Wide<T>.

namespace mia {

template <class T>
void pad_replicate(BasicCount<T>& count, In<Wide<T>, 3>, Out<Wide<T>, 3> y) {
    count.record({"pad_replicate"}, y);
}
template <class T>
void crop_image(BasicCount<T>& count, In<Wide<T>, 3>, Out<Wide<T>, 3> y) {
    count.record({"crop_image"}, y);
}

}  // namespace mia

#include "mia/ops/pad/pad_cpu.hpp"
