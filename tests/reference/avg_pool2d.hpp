#pragma once
#include "reference/numbers.hpp"

namespace mia::reference {

using test::Numbers;

/// The mean of k x k cells, stride k: (H, W, C) -> (H / k, W / k, C).
inline Numbers avg_pool2d(const Numbers& x, int H, int W, int C, int k) {
    Numbers y(std::size_t(H / k) * (W / k) * C);
    for (int row = 0; row < H / k * k; ++row)
        for (int column = 0; column < W / k * k; ++column)
            for (int c = 0; c < C; ++c)
                y[(row / k * (W / k) + column / k) * C + c] += x[(row * W + column) * C + c] / (k * k);
    return y;
}

}  // namespace mia::reference
