#pragma once
#include <algorithm>
#include <cstddef>
#include <utility>

#include "mia/core/error.hpp"
#include "mia/core/view.hpp"

namespace mia {

/// One of the 8 symmetries of a square: the flips first, then the transposition.
struct Symmetry {
    bool flip_x = false, flip_y = false, transpose = false;

    bool operator==(const Symmetry&) const = default;
};

/// x: (H, W, C) -> y: (H, W, C), or (W, H, C) where it is transposed. `y` must not overlap `x`.
inline void apply_symmetry(Symmetry symmetry, View<const float, 3> x, View<float, 3> y) {
    const int height = x.extent(0), width = x.extent(1), channels = x.extent(2);
    require(y.extent(0) == (symmetry.transpose ? width : height) &&
                y.extent(1) == (symmetry.transpose ? height : width) && y.extent(2) == channels,
            "apply_symmetry: from ", shape_text(x), " to ", shape_text(y), symmetry.transpose ? ", transposed" : "",
            ". Give y the size of the turned x.");
    for (int i = 0; i < y.extent(0); ++i)
        for (int j = 0; j < y.extent(1); ++j) {
            const int row = symmetry.transpose ? j : i, column = symmetry.transpose ? i : j;
            std::copy_n(&x(symmetry.flip_y ? height - 1 - row : row, symmetry.flip_x ? width - 1 - column : column, 0),
                        channels, &y(i, j, 0));
        }
}

/// The same for vectors (H, W, 2), x then y, such as a flow: they turn along.
inline void apply_symmetry_to_vectors(Symmetry symmetry, View<const float, 3> x, View<float, 3> y) {
    apply_symmetry(symmetry, x, y);
    for (std::ptrdiff_t i = 0; i < y.size(); i += 2) {
        if (symmetry.flip_x) y.data[i] = -y.data[i];
        if (symmetry.flip_y) y.data[i + 1] = -y.data[i + 1];
        if (symmetry.transpose) std::swap(y.data[i], y.data[i + 1]);
    }
}

}  // namespace mia
