#pragma once
#include "reference/numbers.hpp"

namespace mia::reference {

using test::Numbers;

/// x: (H, W, C) sampled bilinearly at (column + flow[0], row + flow[1]); an axis of one pixel has coordinate 0.
inline Numbers flow_warp(const Numbers& x, const Numbers& flow, int H, int W, int C, bool border) {
    Numbers y(x.size());
    for (int i = 0; i < H; ++i)
        for (int j = 0; j < W; ++j) {
            double ux = W > 1 ? j + flow[(i * W + j) * 2] : 0, uy = H > 1 ? i + flow[(i * W + j) * 2 + 1] : 0;
            if (border) {
                ux = std::clamp(ux, 0.0, W - 1.0);
                uy = std::clamp(uy, 0.0, H - 1.0);
            }
            for (int r = 0; r < H; ++r)  // each pixel weighs by how near it is
                for (int q = 0; q < W; ++q) {
                    const double weight = std::max(0.0, 1 - std::abs(r - uy)) * std::max(0.0, 1 - std::abs(q - ux));
                    for (int c = 0; c < C; ++c) y[(i * W + j) * C + c] += weight * x[(r * W + q) * C + c];
                }
        }
    return y;
}

}  // namespace mia::reference
