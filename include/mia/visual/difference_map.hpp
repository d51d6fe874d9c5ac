#pragma once
#include <algorithm>
#include <cmath>

#include "mia/core/error.hpp"
#include "mia/core/view.hpp"
#include "mia/metrics/luma.hpp"
#include "mia/visual/colors.hpp"

namespace mia {

/// The colour of a difference that is a share of the largest one, -1 to 1: white at 0, red at 1, blue at -1; clamped.
inline Rgb difference_color(float share) {
    constexpr Rgb red{0.79f, 0, 0.13f}, blue{0.02f, 0.44f, 0.69f};  // told apart also by who does not see red or green
    return mix(white, share > 0 ? red : blue, std::min(1.f, std::abs(share)));
}

/// Difference of two pixels' luma in 8-bit codes of studio range.
inline float luma_difference(const Rgb& a, const Rgb& b) {
    return float(luma(a[0], a[1], a[2]) - luma(b[0], b[1], b[2]));
}

/// a, b: (H, W, 3) RGB in [0, 1] -> picture: (H, W, 3), red where the luma of `a` is above that of `b` and blue where
/// it is below; `full` codes (of 8 bits, > 0) and more get the full colour. Returns the largest difference, unsigned.
inline float draw_difference(View<const float, 3> a, View<const float, 3> b, float full, View<float, 3> picture) {
    require(same_shape(a, b) && same_shape(a, picture) && a.extent(2) == 3, "draw_difference: the pictures are ",
            shape_text(a), " and ", shape_text(b), ", the result ", shape_text(picture),
            ". Give all three one size, (height, width, 3).");
    require(full > 0, "draw_difference: ", full, " codes were to have the full colour. Give more than 0.");
    float largest = 0;
    for (int y = 0; y < a.extent(0); ++y)
        for (int x = 0; x < a.extent(1); ++x) {
            const float difference = luma_difference(pixel_of(a, y, x), pixel_of(b, y, x));
            largest = std::max(largest, std::abs(difference));
            set_pixel(picture, y, x, difference_color(difference / full));
        }
    return largest;
}

/// A bar for a legend: from -1 at the left edge to 1 at the right. picture: (H, W, 3).
inline void draw_difference_legend(View<float, 3> picture) {
    for (int y = 0; y < picture.extent(0); ++y)
        for (int x = 0; x < picture.extent(1); ++x)
            set_pixel(picture, y, x, difference_color(2 * (float(x) + 0.5f) / float(picture.extent(1)) - 1));
}

}  // namespace mia
