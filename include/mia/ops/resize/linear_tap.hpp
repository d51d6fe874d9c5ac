#pragma once
#include "mia/core/view.hpp"

namespace mia {

/// PyTorch's align_corners.
enum class Corners { apart, aligned };

namespace detail {

/// Where one output coordinate reads along an axis.
struct LinearTap {
    int i0, i1;
    float l0, l1;
    LinearTap() = default;
    MIA_HOST_DEVICE LinearTap(int dst, int in, int out, Corners corners) {
        float s;
        if (corners == Corners::aligned)
            s = out > 1 ? float(in - 1) / float(out - 1) * float(dst) : 0.0f;
        else
            s = float(in) / float(out) * (float(dst) + 0.5f) - 0.5f;
        s = s > 0 ? s : 0;
        i0 = int(s) < in - 1 ? int(s) : in - 1;
        i1 = i0 + (i0 < in - 1 ? 1 : 0);
        l1 = s - float(i0);
        l0 = 1.0f - l1;
    }
};

}  // namespace detail

}  // namespace mia
