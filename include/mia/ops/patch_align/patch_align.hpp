#pragma once
#include "mia/core/backend.hpp"
#include "mia/core/count.hpp"

// Contract. Patch alignment (MIA-VSR, Sec. 3.4, after PSRT): every pixel of an 8 x 8 patch moves by the patch's mean
// flow, and reads the nearest pixel.
//   1. the flow is continued at the right and bottom to multiples of 8 by reflection that does not repeat the edge
//   2. m = mean of each 8 x 8 block of the flow
//   3. ux, uy = sampling coordinates (sampling_grid.hpp) of the pixel moved by its block's m, for the size H, W
//   4. y[y, x, :] = x[round(uy), round(ux), :], half to even; 0 outside the image
//   x, y: (H, W, C), not overlapping; flow: (H, W, 2) float, in pixels. H, W >= 5 (the reflection), or both multiples
//   of 8.

namespace mia {

inline constexpr int patch_size = 8;

template <class T>
void patch_align(BasicCount<T>& count, In<T, 3>, View<const float, 3> flow, Out<T, 3> y) {
    const auto scope = count.scope();
    count.template scratch<float>((flow.extent(0) + 7) / 8, (flow.extent(1) + 7) / 8, 2);
    count.record({"patch_align"}, y);
}

}  // namespace mia

#include "mia/ops/patch_align/patch_align_cpu.hpp"
