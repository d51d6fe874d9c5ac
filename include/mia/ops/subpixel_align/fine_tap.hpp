#pragma once
#include <cmath>

#include "mia/core/view.hpp"

namespace mia::detail {

/// round(factor * displacement), half to even, and no farther than what lies outside in any case: a huge flow must not
/// overflow.
MIA_HOST_DEVICE inline int fine_displacement(float displacement, int factor, int size) {
    const float limit = float(factor) * float(size + 1), move = float(factor) * displacement;
    return int(std::nearbyint(move < -limit ? -limit : move > limit ? limit : move));
}

/// Where one of a pixel's `factor` fine positions reads along an axis of `size` pixels.
struct FineTap {
    int pixel;  ///< -1: outside
    int phase;  ///< 0 ... factor - 1
    MIA_HOST_DEVICE FineTap(int position, int phase_of_result, float displacement, int factor, int size) {
        const int moved = factor * position + phase_of_result + fine_displacement(displacement, factor, size);
        const bool is_inside = moved >= 0 && moved < factor * size;
        pixel = is_inside ? moved / factor : -1;
        phase = is_inside ? moved % factor : 0;
    }
};

}  // namespace mia::detail
