#pragma once
#include "reference/numbers.hpp"

namespace mia::reference {

using test::Numbers;

/// y[r, o] = bias[o] + sum_i weight[o, i] x[r, i]
inline Numbers linear(const Numbers& x, const Numbers& weight, const Numbers& bias, int R, int I, int O) {
    Numbers y(std::size_t(R) * O);
    for (int r = 0; r < R; ++r)
        for (int o = 0; o < O; ++o) {
            double sum = bias.empty() ? 0 : bias[o];
            for (int i = 0; i < I; ++i) sum += weight[o * I + i] * x[r * I + i];
            y[r * O + o] = sum;
        }
    return y;
}

}  // namespace mia::reference
