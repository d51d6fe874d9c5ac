#pragma once
#include <cstdint>

#include "mia/core/error.hpp"
#include "mia/core/view.hpp"
#include "mia/visual/colors.hpp"

namespace mia {

/// Share of the tokens that a mask keeps, 0 to 1; 1 for an empty mask, which stands for every token.
inline double kept_share(View<const std::uint8_t, 2> keep) {
    if (keep.data == nullptr || keep.size() == 0) return 1;
    std::ptrdiff_t kept = 0;
    for (std::ptrdiff_t i = 0; i < keep.size(); ++i) kept += keep.data[i] != 0;
    return double(kept) / double(keep.size());
}

/// A frame with the kept tokens in colour: frame (H, W, 3) and keep (H', W'), at least as large -> picture (H, W, 3),
/// which may be the frame. Kept pixels are mixed with `color`, `opacity` of it; the others stay. An empty mask keeps
/// all.
inline void draw_mask(View<const float, 3> frame, View<const std::uint8_t, 2> keep, View<float, 3> picture,
                      const Rgb& color = {1, 0.25f, 0}, float opacity = 0.5f) {
    const bool all = keep.data == nullptr || keep.size() == 0;
    require(same_shape(frame, picture) && frame.extent(2) == 3 &&
                (all || (keep.extent(0) >= frame.extent(0) && keep.extent(1) >= frame.extent(1))),
            "draw_mask: the frame is ", shape_text(frame), ", the mask ", shape_text(keep), ", the picture ",
            shape_text(picture), ". Give frame and picture one size, (height, width, 3), and a mask as large.");
    for (int y = 0; y < frame.extent(0); ++y)
        for (int x = 0; x < frame.extent(1); ++x) {
            const Rgb before = pixel_of(frame, y, x);
            set_pixel(picture, y, x, all || keep(y, x) != 0 ? mix(before, color, opacity) : before);
        }
}

}  // namespace mia
