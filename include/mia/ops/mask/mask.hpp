#pragma once
#include "mia/core/backend.hpp"
#include "mia/core/count.hpp"
#include "mia/ops/window/window_grid.hpp"

// Contract. Which tokens changed since the last frame, 1 = computed anew, 0 = the last result is reused.
//   predict_mask (MIA-VSR, Sec. 3.3, Eq. 6-8; inference):
//     keep[p] = sigmoid((bias + sum_c weight[0, c] |q[p, c] - previous[p, c]|) / tau) >= 0.5, tau = 2/3, in float: zero
//     is kept, and since the sigmoid rounds, so is a logit down to about -1e-7
//   threshold_mask (a variant without parameters):
//     keep[p] = mean_c |q[p, c] - previous[p, c]| >= threshold
//   q, previous: (P, C), normed tokens; weight: (1, C); bias: (1); keep: (P) bytes. grid: the windows of the block; a
//   backend that trains draws noise for each of their tokens (train/vjp/mask.hpp).

namespace mia {

inline constexpr float gumbel_temperature = 2.0f / 3.0f;  ///< tau

template <class T>
void predict_mask(BasicCount<T>& count, const WindowGrid&, In<T, 2>, In<T, 2>, In<T, 2> weight, In<T, 1>,
                  View<std::uint8_t, 1> keep) {
    const std::int64_t macs = std::int64_t(keep.extent(0)) * weight.extent(1);
    count.record({"predict_mask", weight.data, macs, macs}, keep);
}
template <class T>
void threshold_mask(BasicCount<T>& count, In<T, 2>, In<T, 2>, float, View<std::uint8_t, 1> keep) {
    count.record({"threshold_mask"}, keep);
}

}  // namespace mia

#include "mia/ops/mask/mask_cpu.hpp"
