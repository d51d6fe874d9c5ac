#pragma once
#include "mia/core/view.hpp"

namespace mia {

/// The flows of a clip of T frames: backward[i] from frame i to i + 1, forward[i] from frame i + 1 to i;
/// (T - 1, H, W, 2) float, in pixels. Only those that the model's directions use need data.
struct ClipFlows {
    View<const float, 4> backward, forward;
};

}  // namespace mia
