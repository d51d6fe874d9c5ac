#pragma once
#include <cmath>

namespace mia::reference {

/// Exact; erfc keeps the digits of negative x.
inline double gelu(double x) { return x / 2 * std::erfc(-x / std::sqrt(2.0)); }
inline double relu(double x) { return x > 0 ? x : 0; }
inline double leaky_relu(double x) { return x > 0 ? x : 0.1 * x; }

}  // namespace mia::reference
