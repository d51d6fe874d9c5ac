#pragma once
#include "mia/core/backend.hpp"
#include "mia/core/count.hpp"
#include "mia/core/error.hpp"

// Contract. One whole-pixel vector per 8 x 8 patch, the flow of every pixel of the patch: the content of `ref` at p is
// found in `supp` at p + flow(p).
//   luma (integers): v = round(255 clamp(x, 0, 1)), half to even; g = (77 R + 150 G + 29 B + 128) / 256, rounded down
//   cost(dx, dy) = sum over the 16 x 16 square around the patch (4 beyond it on each side) of
//                  |g_ref(x, y) - g_supp(x + dx, y + dy)|  +  4 (|dx| + |dy|),   |dx|, |dy| <= 8;
//   both positions are clamped to the frame, each on its own. The smallest cost wins, ties go to the smallest
//   dx^2 + dy^2, then the smallest dy, then the smallest dx. All integers: every backend gives the same vectors.
//   In quarters of a pixel, with c the cost's sum alone and d the winner, along each axis where d is not at the range's
//   end:
//     t = max(c(d - 1), c(d + 1)) - c(d);  d += round(2 (c(d - 1) - c(d + 1)) / t) / 4, half away from 0, at most 2 /
//     4, where t > 0: two lines of one slope through the three costs.
//   ref, supp: (H, W, 3) in [0, 1]; flow: (H, W, 2).

namespace mia {

enum class MatchPrecision { pixel, quarter };

template <class T>
void block_match(BasicCount<T>& count, In<Wide<T>, 3>, In<Wide<T>, 3>, View<float, 3> flow,
                 MatchPrecision = MatchPrecision::pixel) {
    const auto scope = count.scope();
    count.template scratch<std::uint8_t>(2, flow.extent(0) + 40, flow.extent(1) + 40);
    count.record({"block_match"}, flow);
}

namespace detail {
template <class T>
void check_block_match(View<const T, 3> ref, View<const T, 3> supp, View<float, 3> flow) {
    const int H = ref.extent(0), W = ref.extent(1);
    require(same_shape(ref, supp) && ref.extent(2) == 3 && flow.extent(0) == H && flow.extent(1) == W &&
                flow.extent(2) == 2,
            "block_match: ref ", shape_text(ref), ", supp ", shape_text(supp), ", flow ", shape_text(flow),
            "; needed: (H, W, 3), (H, W, 3), (H, W, 2)");
}
}  // namespace detail

}  // namespace mia

#include "mia/ops/block_match/block_match_cpu.hpp"
