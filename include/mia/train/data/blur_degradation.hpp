#pragma once
#include <algorithm>
#include <cmath>
#include <cstddef>

#include "mia/core/error.hpp"
#include "mia/core/view.hpp"
#include "mia/metrics/imresize.hpp"

namespace mia {

inline constexpr double blur_sigma = 1.6;  ///< HR pixels, of the degradation BD at scale 4

namespace detail {

/// Samples that the Gaussian of the degradation BD takes on either side of its centre.
inline int blur_reach(double sigma) { return int(std::ceil(3 * sigma)); }

/// Output i is the Gaussian around the middle of input samples scale * i ... scale * i + scale - 1: on a sample where
/// scale is odd, between two where it is even. Beyond the edge its sample repeats.
inline Taps blur_taps(int inputs, int scale, double sigma) {
    const int reach = blur_reach(sigma), even = scale % 2 == 0;
    Taps taps;
    taps.count = 2 * reach + 1 + even;
    double sum = 0;
    const auto weight = [&](int k) {
        const double distance = k - reach - 0.5 * even;
        return std::exp(-distance * distance / (2 * sigma * sigma));
    };
    for (int k = 0; k < taps.count; ++k) sum += weight(k);
    for (int i = 0; i < inputs / scale; ++i)
        for (int k = 0; k < taps.count; ++k) {
            taps.index.push_back(std::clamp(scale * i + (scale - 1) / 2 - reach + k, 0, inputs - 1));
            taps.weight.push_back(weight(k) / sum);
        }
    return taps;
}

}  // namespace detail

/// The field's degradation BD on pictures of 8 bits: a Gaussian blur, then one sample out of scale x scale, rounded
/// once, half up. Each sample lies in the middle of the scale x scale block that it stands for, as in the degradation
/// BI (BasicVSR's and RCAN's choice: 12 x 12 taps for scale 4; DUF's has 13 x 13 about each block's first pixel, half a
/// LR pixel off). x: (H, W, C) -> y: (H / scale, W / scale, C), both k / 255 with k = 0 ... 255. `y` must not overlap
/// `x`.
inline void blur_subsample_8_bit(View<const float, 3> x, View<float, 3> y, int scale, double sigma = blur_sigma) {
    require(scale >= 1 && sigma > 0, "blur_subsample: scale ", scale, ", sigma ", sigma,
            ". Give a scale of 1 or more and a positive sigma.");
    require(y.size() > 0 && x.extent(0) == scale * y.extent(0) && x.extent(1) == scale * y.extent(1) &&
                x.extent(2) == y.extent(2),
            "blur_subsample: from ", shape_text(x), " to ", shape_text(y), " with scale ", scale,
            ". Crop x to a multiple of the scale.");
    detail::resample_8_bit(x, y, detail::blur_taps(x.extent(0), scale, sigma),
                           detail::blur_taps(x.extent(1), scale, sigma));
}

}  // namespace mia
