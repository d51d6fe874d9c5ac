#pragma once
#include "reference/numbers.hpp"

namespace mia::reference {

using test::Numbers;

/// Every 8 x 8 patch of x (H, W, C) moves by its mean flow (continued by reflection), to the nearest pixel. The
/// coordinate takes PyTorch's way through [-1, 1], in float: that decides ties. Means must be exact in any order.
inline Numbers patch_align(const Numbers& x, const Numbers& flow, int H, int W, int C) {
    const auto reflect = [](int i, int size) { return i < size ? i : 2 * (size - 1) - i; };
    const auto read_from = [](int position, double move, int size) {
        const float moved = float(position) + float(move);
        const float normalised = 2 * moved / float(std::max(size - 1, 1)) - 1;
        const double u = (normalised + 1) * (float(size - 1) / 2);
        const double down = std::floor(u), part = u - down;
        const bool up = part > 0.5 || (part == 0.5 && std::fmod(down, 2) != 0);  // half to even
        return down + up;
    };
    Numbers y(x.size());
    for (int i = 0; i < H; ++i)
        for (int j = 0; j < W; ++j) {
            double mean[2] = {};
            for (int r = i / 8 * 8; r < i / 8 * 8 + 8; ++r)
                for (int q = j / 8 * 8; q < j / 8 * 8 + 8; ++q)
                    for (int axis = 0; axis < 2; ++axis)
                        mean[axis] += flow[(reflect(r, H) * W + reflect(q, W)) * 2 + axis] / 64;
            const double column = read_from(j, mean[0], W), row = read_from(i, mean[1], H);
            if (column < 0 || column >= W || row < 0 || row >= H) continue;
            for (int c = 0; c < C; ++c) y[(i * W + j) * C + c] = x[(int(row) * W + int(column)) * C + c];
        }
    return y;
}

}  // namespace mia::reference
