#pragma once
#include "reference/numbers.hpp"

namespace mia::reference {

using test::Numbers;

/// y[y, x, o] = bias[o] + sum_{i, u, v} weight[o, i, u, v] x[y + u - p, x + v - p, i], zeros outside, p = (k - 1) / 2.
inline Numbers conv2d(const Numbers& x, const Numbers& weight, const Numbers& bias, int H, int W, int I, int O, int k) {
    const int p = (k - 1) / 2;
    Numbers y(std::size_t(H) * W * O);
    for (int row = 0; row < H; ++row)
        for (int column = 0; column < W; ++column)
            for (int o = 0; o < O; ++o) {
                double sum = bias[o];
                for (int i = 0; i < I; ++i)
                    for (int u = 0; u < k; ++u)
                        for (int v = 0; v < k; ++v) {
                            const int r = row + u - p, c = column + v - p;
                            if (r < 0 || r >= H || c < 0 || c >= W) continue;
                            sum += weight[((o * I + i) * k + u) * k + v] * x[(r * W + c) * I + i];
                        }
                y[(row * W + column) * O + o] = sum;
            }
    return y;
}

}  // namespace mia::reference
