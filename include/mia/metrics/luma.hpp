#pragma once
#include "mia/core/error.hpp"
#include "mia/core/view.hpp"

namespace mia {

/// Y of ITU-R BT.601 in studio range, 16 to 235 for RGB in [0, 1], not rounded: MATLAB's rgb2ycbcr, on which the field
/// measures. With Y in full range every PSNR would be 1.3 dB lower.
constexpr double luma(double red, double green, double blue) {
    return 16 + 65.481 * red + 128.553 * green + 24.966 * blue;
}

/// rgb: (H, W, 3) in [0, 1] -> y: (H, W), 16 to 235.
inline void luma(View<const float, 3> rgb, View<float, 2> y) {
    require(rgb.extent(2) == 3 && rgb.extent(0) == y.extent(0) && rgb.extent(1) == y.extent(1), "luma: the picture is ",
            shape_text(rgb), ", the result ", shape_text(y), ". Give (height, width, 3) and (height, width).");
    for (std::ptrdiff_t i = 0; i < y.size(); ++i)
        y.data[i] = float(luma(rgb.data[3 * i], rgb.data[3 * i + 1], rgb.data[3 * i + 2]));
}

}  // namespace mia
