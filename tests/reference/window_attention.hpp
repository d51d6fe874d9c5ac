#pragma once
#include "reference/windows.hpp"

namespace mia::reference {

/// q: (windows, N, C), the current frame's; kv: (windows, F * N, 2C), keys then values; table: (F (2wh-1)(2ww-1),
/// heads) -> (windows, N, C), heads side by side. weighting: what becomes of softmax's weights.
inline Numbers window_attention(
    const Windows& windows, const Numbers& q, const Numbers& kv, const Numbers& table, int F, int C, int heads,
    void (*weighting)(Numbers&) = [](Numbers&) {}) {
    const int N = windows.tokens(), keys = F * N, d = C / heads;
    Numbers out(q.size()), p(std::size_t(keys), 0.0);
    for (int w = 0; w < windows.count(); ++w)
        for (int h = 0; h < heads; ++h)
            for (int i = 0; i < N; ++i) {
                double largest = -1e300, sum = 0;
                for (int j = 0; j < keys; ++j) {
                    double s = table[relative_position(F, windows.wh, windows.ww, i, j) * heads + h];
                    for (int c = h * d; c < (h + 1) * d; ++c)
                        s += q[(w * N + i) * C + c] / std::sqrt(double(d)) * kv[(w * keys + j) * 2 * C + c];
                    if (windows.region(w, i) != windows.region(w, j % N)) s -= 100;
                    p[j] = s;
                    largest = std::max(largest, s);
                }
                for (double& s : p) sum += s = std::exp(s - largest);
                for (double& s : p) s /= sum;
                weighting(p);
                for (int c = h * d; c < (h + 1) * d; ++c)
                    for (int j = 0; j < keys; ++j)
                        out[(w * N + i) * C + c] += p[j] * kv[(w * keys + j) * 2 * C + C + c];
            }
    return out;
}

}  // namespace mia::reference
