#pragma once
#include "reference/numbers.hpp"

namespace mia::reference {

using test::Numbers;

/// Bilinear, (H, W, C) -> (to_H, to_W, C).
inline Numbers resize(const Numbers& x, int H, int W, int C, int to_H, int to_W, bool align_corners) {
    const auto source = [&](int dst, int in, int out) {
        if (align_corners) return out > 1 ? double(in - 1) / (out - 1) * dst : 0.0;
        return std::max(0.0, double(in) / out * (dst + 0.5) - 0.5);
    };
    Numbers y(std::size_t(to_H) * to_W * C);
    for (int i = 0; i < to_H; ++i)
        for (int j = 0; j < to_W; ++j)
            for (int c = 0; c < C; ++c) {
                const double sy = source(i, H, to_H), sx = source(j, W, to_W);
                const int y0 = std::min(int(sy), H - 1), x0 = std::min(int(sx), W - 1);
                const int y1 = std::min(y0 + 1, H - 1), x1 = std::min(x0 + 1, W - 1);
                const double ly = sy - y0, lx = sx - x0;
                const auto at = [&](int r, int q) { return x[(r * W + q) * C + c]; };
                y[(i * to_W + j) * C + c] = (1 - ly) * ((1 - lx) * at(y0, x0) + lx * at(y0, x1)) +
                                            ly * ((1 - lx) * at(y1, x0) + lx * at(y1, x1));
            }
    return y;
}

}  // namespace mia::reference
