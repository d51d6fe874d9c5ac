#pragma once
#include "reference/numbers.hpp"

namespace mia::reference {

using test::Numbers;

/// An image cut into windows step by step: pad, roll, partition; and back.
struct Windows {
    int H, W, wh, ww;
    bool shifted;

    int padded_H() const { return (H + wh - 1) / wh * wh; }
    int padded_W() const { return (W + ww - 1) / ww * ww; }
    int count() const { return padded_H() / wh * (padded_W() / ww); }
    int tokens() const { return wh * ww; }
    int by_y() const { return shifted ? wh / 2 : 0; }
    int by_x() const { return shifted ? ww / 2 : 0; }

    /// (F, H, W, C) -> (windows, F * tokens, C)
    Numbers partition(const Numbers& x, int F, int C) const {
        const int Hp = padded_H(), Wp = padded_W();
        Numbers out(std::size_t(count()) * F * tokens() * C);
        for (int f = 0; f < F; ++f)
            for (int y = 0; y < Hp; ++y)
                for (int q = 0; q < Wp; ++q) {
                    const int from_y = (y + by_y()) % Hp, from_x = (q + by_x()) % Wp;
                    if (from_y >= H || from_x >= W) continue;  // padding
                    const int w = y / wh * (Wp / ww) + q / ww, n = f * tokens() + y % wh * ww + q % ww;
                    for (int c = 0; c < C; ++c)
                        out[(w * F * tokens() + n) * C + c] = x[((f * H + from_y) * W + from_x) * C + c];
                }
        return out;
    }

    /// One frame: (windows, tokens, C) -> (H, W, C)
    Numbers reverse(const Numbers& x, int C) const {
        const int Hp = padded_H(), Wp = padded_W();
        Numbers rolled(std::size_t(Hp) * Wp * C), out(std::size_t(H) * W * C);
        for (int w = 0; w < count(); ++w)
            for (int n = 0; n < tokens(); ++n)
                for (int c = 0; c < C; ++c)
                    rolled[((w / (Wp / ww) * wh + n / ww) * Wp + w % (Wp / ww) * ww + n % ww) * C + c] =
                        x[(w * tokens() + n) * C + c];
        for (int y = 0; y < Hp; ++y)
            for (int q = 0; q < Wp; ++q) {
                const int to_y = (y + by_y()) % Hp, to_x = (q + by_x()) % Wp;
                for (int c = 0; c < C && to_y < H && to_x < W; ++c)
                    out[(to_y * W + to_x) * C + c] = rolled[(y * Wp + q) * C + c];
            }
        return out;
    }

    /// 3 * region(y) + region(x) of token n of window w, on the padded and rolled grid.
    int region(int w, int n) const {
        if (!shifted) return 0;
        const auto of = [](int p, int P, int window, int shift) { return p < P - window ? 0 : p < P - shift ? 1 : 2; };
        const int across = padded_W() / ww;
        return 3 * of(w / across * wh + n / ww, padded_H(), wh, wh / 2) +
               of(w % across * ww + n % ww, padded_W(), ww, ww / 2);
    }
};

/// Row of the relative position bias table for query q of the current frame and key k of wt frames.
inline int relative_position(int wt, int wh, int ww, int q, int k) {
    const int tk = k / (wh * ww), yk = k % (wh * ww) / ww, xk = k % ww, yq = q / ww, xq = q % ww;
    return (wt - 1 - tk) * (2 * wh - 1) * (2 * ww - 1) + (yq - yk + wh - 1) * (2 * ww - 1) + (xq - xk + ww - 1);
}

}  // namespace mia::reference
