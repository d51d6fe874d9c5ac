#pragma once
#include "reference/numbers.hpp"

namespace mia::reference {

using test::Numbers;

/// (x - mean) / sqrt(var + 1e-5) * weight + bias over each row of C; var is the mean of (x - mean)^2.
inline Numbers layer_norm(const Numbers& x, const Numbers& weight, const Numbers& bias, int R, int C) {
    Numbers y(x.size());
    for (int r = 0; r < R; ++r) {
        double mean = 0, var = 0;
        for (int c = 0; c < C; ++c) mean += x[r * C + c] / C;
        for (int c = 0; c < C; ++c) var += (x[r * C + c] - mean) * (x[r * C + c] - mean) / C;
        for (int c = 0; c < C; ++c) y[r * C + c] = (x[r * C + c] - mean) / std::sqrt(var + 1e-5) * weight[c] + bias[c];
    }
    return y;
}

}  // namespace mia::reference
