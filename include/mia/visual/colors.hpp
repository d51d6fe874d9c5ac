#pragma once
#include <algorithm>
#include <array>

#include "mia/core/view.hpp"

namespace mia {

/// Red, green, blue in [0, 1].
using Rgb = std::array<float, 3>;

inline constexpr Rgb black{0, 0, 0}, white{1, 1, 1};

/// a at t = 0, b at t = 1.
constexpr Rgb mix(const Rgb& a, const Rgb& b, float t) {
    return {a[0] + t * (b[0] - a[0]), a[1] + t * (b[1] - a[1]), a[2] + t * (b[2] - a[2])};
}

/// picture: (H, W, 3).
inline void fill(View<float, 3> picture, const Rgb& color) {
    for (std::ptrdiff_t i = 0; i < picture.size(); ++i) picture.data[i] = color[std::size_t(i % 3)];
}

inline void set_pixel(View<float, 3> picture, int y, int x, const Rgb& color) {
    std::copy_n(color.data(), 3, &picture(y, x, 0));
}

inline Rgb pixel_of(View<const float, 3> picture, int y, int x) {
    return {picture(y, x, 0), picture(y, x, 1), picture(y, x, 2)};
}

}  // namespace mia
