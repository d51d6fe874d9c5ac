#pragma once
#include <algorithm>
#include <cmath>
#include <cstdint>
#include <span>

#include "mia/core/cpu.hpp"
#include "mia/core/error.hpp"
#include "mia/core/tensor.hpp"
#include "mia/core/view.hpp"
#include "mia/visual/colors.hpp"

namespace mia {

/// Writes `from` into `to` with its corner at (top, left); it must lie inside.
inline void paste(View<const float, 3> from, int top, int left, View<float, 3> to) {
    require(top >= 0 && left >= 0 && top + from.extent(0) <= to.extent(0) && left + from.extent(1) <= to.extent(1) &&
                from.extent(2) == to.extent(2),
            "paste: ", shape_text(from), " at row ", top, ", column ", left, " does not lie inside ", shape_text(to),
            ". Move it, or make the picture larger.");
    for (int y = 0; y < from.extent(0); ++y) std::copy_n(from[y].data, from[y].size(), &to(top + y, left, 0));
}

/// The part of `from` whose corner is at (top, left), of the size of `to`; it must lie inside.
inline void cut(View<const float, 3> from, int top, int left, View<float, 3> to) {
    require(top >= 0 && left >= 0 && top + to.extent(0) <= from.extent(0) && left + to.extent(1) <= from.extent(1) &&
                from.extent(2) == to.extent(2),
            "cut: ", shape_text(to), " at row ", top, ", column ", left, " does not lie inside ", shape_text(from),
            ". Move it, or make it smaller.");
    for (int y = 0; y < to.extent(0); ++y) std::copy_n(&from(top + y, left, 0), to[y].size(), to[y].data);
}

/// Every pixel `factor` times in both directions: from (H, W, C) -> to (factor H, factor W, C).
inline void repeat_pixels(View<const float, 3> from, int factor, View<float, 3> to) {
    require(factor >= 1 && to.extent(0) == factor * from.extent(0) && to.extent(1) == factor * from.extent(1) &&
                from.extent(2) == to.extent(2),
            "repeat_pixels: ", shape_text(from), " times ", factor, " does not give ", shape_text(to),
            ". Multiply height and width by the factor.");
    for (int y = 0; y < to.extent(0); ++y)
        for (int x = 0; x < to.extent(1); ++x)
            std::copy_n(&from(y / factor, x / factor, 0), to.extent(2), &to(y, x, 0));
}

/// Columns left of `at` from one picture, the others from the second, between them an upright line, `thickness` columns
/// wide and as far as it lies inside. All (H, W, 3).
inline void split(View<const float, 3> left, View<const float, 3> right, int at, View<float, 3> picture,
                  int thickness = 2, const Rgb& line = white) {
    require(same_shape(left, right) && same_shape(left, picture) && left.extent(2) == 3, "split: the pictures are ",
            shape_text(left), " and ", shape_text(right), ", the result ", shape_text(picture),
            ". Give all three one size, (height, width, 3).");
    const int width = picture.extent(1), first = at - thickness / 2;
    for (int y = 0; y < picture.extent(0); ++y)
        for (int x = 0; x < width; ++x)
            set_pixel(picture, y, x,
                      x >= first && x < first + thickness ? line : pixel_of(x < at ? left : right, y, x));
}

/// Where a divider that wanders from the left edge to the right and back is after `step` of `period` steps: 0 to 1,
/// slow at the edges.
inline double divider_position(std::int64_t step, int period) {
    constexpr double pi = 3.14159265358979323846;
    return 0.5 - 0.5 * std::cos(2 * pi * double(step % period) / period);
}

/// Pictures from left to right, top edges aligned, `gap` pixels of `color` between them and below shorter ones.
inline Tensor<float, 3> side_by_side(std::span<const View<const float, 3>> pictures, int gap = 8,
                                     const Rgb& color = white) {
    require(!pictures.empty() && gap >= 0, "side_by_side: ", pictures.size(), " pictures with a gap of ", gap,
            ". Give at least one, and a gap of 0 or more.");
    int height = 0, width = -gap;
    for (const auto& picture : pictures) {
        height = std::max(height, picture.extent(0));
        width += picture.extent(1) + gap;
    }
    Tensor<float, 3> all(height, width, 3);
    fill(all.view(), color);
    int left = 0;
    for (const auto& picture : pictures) {
        paste(picture, 0, left, all.view());
        left += picture.extent(1) + gap;
    }
    return all;
}

/// The same from top to bottom, left edges aligned.
inline Tensor<float, 3> one_below_the_other(std::span<const View<const float, 3>> pictures, int gap = 8,
                                            const Rgb& color = white) {
    require(!pictures.empty() && gap >= 0, "one_below_the_other: ", pictures.size(), " pictures with a gap of ", gap,
            ". Give at least one, and a gap of 0 or more.");
    int height = -gap, width = 0;
    for (const auto& picture : pictures) {
        height += picture.extent(0) + gap;
        width = std::max(width, picture.extent(1));
    }
    Tensor<float, 3> all(height, width, 3);
    fill(all.view(), color);
    int top = 0;
    for (const auto& picture : pictures) {
        paste(picture, top, 0, all.view());
        top += picture.extent(0) + gap;
    }
    return all;
}

}  // namespace mia
