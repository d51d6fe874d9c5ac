#pragma once
#include "mia/core/backend.hpp"
#include "mia/core/count.hpp"
#include "mia/core/error.hpp"

// Contract. Patch alignment (MIA-VSR, Sec. 3.4, after PSRT): every pixel of an 8 x 8 patch moves by the patch's mean
// flow, and reads the nearest pixel.
//   1. the flow is continued at the right and bottom to multiples of 8 by reflection that does not repeat the edge
//   2. m = mean of each 8 x 8 block of the flow
//   3. ux, uy = sampling coordinates (sampling_grid.hpp) of the pixel moved by its block's m, for the size H, W
//   4. y[y, x, :] = x[round(uy), round(ux), :], half to even; 0 outside the image
//   x, y: (H, W, C), not overlapping; flow: (H, W, 2) float, in pixels. H, W >= 5 (the reflection), or both multiples
//   of 8.
// patch_source: (H, W), the row-major number of the pixel that each one reads, -1 outside the image.

namespace mia {

inline constexpr int patch_size = 8;

template <class T>
void patch_align(BasicCount<T>& count, In<T, 3>, View<const float, 3> flow, Out<T, 3> y) {
    const auto scope = count.scope();
    count.template scratch<float>((flow.extent(0) + 7) / 8, (flow.extent(1) + 7) / 8, 2);
    count.record({"patch_align"}, y);
}
template <class T>
void patch_source(BasicCount<T>& count, View<const float, 3> flow, View<int, 2> source) {
    const auto scope = count.scope();
    count.template scratch<float>((flow.extent(0) + 7) / 8, (flow.extent(1) + 7) / 8, 2);
    count.record({"patch_source"}, source);
}

namespace detail {
inline void check_patches(int H, int W) {
    require((H >= 5 || H % patch_size == 0) && (W >= 5 || W % patch_size == 0), "patch_align: a flow of ", H, " x ", W,
            " cannot be reflected to multiples of 8; give at least 5 x 5 pixels (pad the frames)");
}
template <class T>
void check_patch_align(View<const T, 3> x, View<const float, 3> flow, View<T, 3> y) {
    const int H = x.extent(0), W = x.extent(1);
    require(same_shape(x, y) && flow.extent(0) == H && flow.extent(1) == W && flow.extent(2) == 2, "patch_align: x ",
            shape_text(x), ", flow ", shape_text(flow), ", y ", shape_text(y),
            "; needed: (H, W, C), (H, W, 2), (H, W, C)");
    check_patches(H, W);
}
}  // namespace detail

}  // namespace mia

#include "mia/ops/patch_align/patch_align_cpu.hpp"
