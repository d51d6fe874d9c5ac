#pragma once
#include "mia/core/view.hpp"

namespace mia {

/// Where an output coordinate reads, in pixels of an axis of `size`: position + displacement, through the normalised
/// coordinates of PyTorch's grid_sample and back. The round trip moves the value by an ulp or so, which decides ties in
/// nearest sampling; it is kept in float, in this order, with a division (the official code on a CPU).
MIA_HOST_DEVICE inline float sampling_coordinate(int position, float displacement, int size) {
    const float moved = float(position) + displacement;
    const float normalised = 2.0f * moved / float(size > 1 ? size - 1 : 1) - 1.0f;
    return (normalised + 1.0f) * (float(size - 1) / 2.0f);
}

}  // namespace mia
