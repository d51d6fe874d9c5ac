#pragma once
#include "reference/numbers.hpp"

namespace mia::reference {

using test::Numbers;

/// (H, W, r^2 K) -> (r H, r W, K): y[r i + a, r j + b, k] = x[i, j, r^2 k + r a + b]
inline Numbers pixel_shuffle(const Numbers& x, int H, int W, int K, int r) {
    Numbers y(x.size());
    for (int i = 0; i < H; ++i)
        for (int j = 0; j < W; ++j)
            for (int k = 0; k < K; ++k)
                for (int a = 0; a < r; ++a)
                    for (int b = 0; b < r; ++b)
                        y[((r * i + a) * r * W + r * j + b) * K + k] =
                            x[(i * W + j) * r * r * K + r * r * k + r * a + b];
    return y;
}

/// The way back.
inline Numbers pixel_unshuffle(const Numbers& y, int H, int W, int K, int r) {
    Numbers x(y.size());
    for (int row = 0; row < r * H; ++row)
        for (int column = 0; column < r * W; ++column)
            for (int k = 0; k < K; ++k)
                x[(row / r * W + column / r) * r * r * K + r * r * k + row % r * r + column % r] =
                    y[(row * r * W + column) * K + k];
    return x;
}

}  // namespace mia::reference
