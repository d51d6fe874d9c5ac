#pragma once
#include <algorithm>
#include <cstdint>
#include <vector>

#include "mia/core/error.hpp"
#include "mia/core/view.hpp"
#include "mia/metrics/imresize.hpp"
#include "mia/train/data/blur_degradation.hpp"
#include "mia/train/data/clip.hpp"

namespace mia {

/// How LR frames are made of HR frames.
enum class Degradation {
    bicubic,  ///< BI: MATLAB's imresize with antialiasing
    blur      ///< BD: Gaussian of sigma 1.6, subsampled
};

/// LR pixels around a region that its degraded pixels depend on.
inline int degradation_margin(Degradation degradation, int scale) {
    if (degradation == Degradation::bicubic) return 2;
    return (detail::blur_reach(blur_sigma) + 1 + scale - 1) / scale;
}

/// x: (scale H, scale W, 3) -> lr: (H, W, 3), both k / 255. `lr` must not overlap `x`.
inline void degrade(View<const float, 3> x, int scale, Degradation degradation, View<float, 3> lr) {
    require(x.extent(0) == scale * lr.extent(0) && x.extent(1) == scale * lr.extent(1), "degrade: from ", shape_text(x),
            " to ", shape_text(lr), " with scale ", scale, ". Crop x to a multiple of the scale.");
    if (degradation == Degradation::bicubic)
        imresize_8_bit(x, lr);
    else
        blur_subsample_8_bit(x, lr, scale);
}

/// The part of the degraded frame that stands for `region` (multiples of scale): the same bytes as degrading the whole
/// frame, cropped to a multiple of scale, and cutting the part out. The region is degraded with a margin, so that
/// nothing need be kept but the HR frames, and a change of degradation costs nothing. lr: (region.height / scale,
/// region.width / scale, 3).
inline void degrade_region(View<const std::uint8_t, 3> frame, const Region& region, int scale, Degradation degradation,
                           View<float, 3> lr) {
    const auto whole = [&](int pixels) { return pixels / scale * scale; };
    const int margin = scale * degradation_margin(degradation, scale);
    const int top = std::max(0, region.y - margin), left = std::max(0, region.x - margin);
    const int bottom = std::min(whole(frame.extent(0)), region.y + region.height + margin);
    const int right = std::min(whole(frame.extent(1)), region.x + region.width + margin);
    require(region.y % scale == 0 && region.x % scale == 0 && region.height == scale * lr.extent(0) &&
                region.width == scale * lr.extent(1) && region.y >= 0 && region.x >= 0 &&
                region.y + region.height <= bottom && region.x + region.width <= right,
            "degrade_region: ", region.width, " x ", region.height, " at (", region.x, ", ", region.y, ") of a frame ",
            shape_text(frame), " to ", shape_text(lr), " with scale ", scale,
            ". Give a region within the frame whose place and size are multiples of the scale.");

    const Region around{top, left, bottom - top, right - left};
    const int height = around.height / scale, width = around.width / scale;
    std::vector<float> hr(std::size_t(around.height) * std::size_t(around.width) * 3);
    std::vector<float> low(std::size_t(height) * std::size_t(width) * 3);
    const View<float, 3> hr_view{hr.data(), {around.height, around.width, 3}}, low_view{low.data(), {height, width, 3}};
    copy_region(frame, around, hr_view);
    degrade(hr_view, scale, degradation, low_view);
    for (int i = 0; i < lr.extent(0); ++i)
        std::copy_n(&low_view((region.y - top) / scale + i, (region.x - left) / scale, 0), lr[i].size(), lr[i].data);
}

}  // namespace mia
