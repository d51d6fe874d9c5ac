#pragma once
#include "reference/numbers.hpp"

namespace mia::reference {

using test::Numbers;

/// Y of RGB values 0 ... 255, (H, W, 3) -> (H, W).
inline Numbers luma(const Numbers& rgb) {
    Numbers y(rgb.size() / 3);
    for (std::size_t i = 0; i < y.size(); ++i)
        y[i] = 16 + (65.481 * rgb[3 * i] + 128.553 * rgb[3 * i + 1] + 24.966 * rgb[3 * i + 2]) / 255;
    return y;
}

/// Of two arrays of values 0 ... 255.
inline double psnr(const Numbers& a, const Numbers& b) {
    double sum = 0;
    for (std::size_t i = 0; i < a.size(); ++i) sum += (a[i] - b[i]) * (a[i] - b[i]);
    return 10 * std::log10(255. * 255. / (sum / double(a.size())));
}

/// Of two planes (H, W) of values 0 ... 255, window by window.
inline double ssim(const Numbers& a, const Numbers& b, int H, int W) {
    double g[11][11], total = 0, sum = 0;
    for (int i = 0; i < 11; ++i)
        for (int j = 0; j < 11; ++j) total += g[i][j] = std::exp(-((i - 5) * (i - 5) + (j - 5) * (j - 5)) / 4.5);
    const double c1 = 6.5025, c2 = 58.5225;
    for (int y = 0; y + 11 <= H; ++y)
        for (int x = 0; x + 11 <= W; ++x) {
            double ma = 0, mb = 0, aa = 0, bb = 0, ab = 0;
            for (int i = 0; i < 11; ++i)
                for (int j = 0; j < 11; ++j) {
                    const double w = g[i][j] / total, p = a[(y + i) * W + x + j], q = b[(y + i) * W + x + j];
                    ma += w * p;
                    mb += w * q;
                    aa += w * p * p;
                    bb += w * q * q;
                    ab += w * p * q;
                }
            sum += (2 * ma * mb + c1) * (2 * (ab - ma * mb) + c2) /
                   ((ma * ma + mb * mb + c1) * (aa - ma * ma + bb - mb * mb + c2));
        }
    return sum / (H - 10) / (W - 10);
}

/// imresize with the cubic kernel, both axes at once, every input sample asked: (H, W, C) -> (to_H, to_W, C).
inline Numbers imresize(const Numbers& x, int H, int W, int C, int to_H, int to_W) {
    const auto cubic = [](double t) {
        t = std::abs(t);
        if (t <= 1) return 1.5 * t * t * t - 2.5 * t * t + 1;
        return t < 2 ? -0.5 * t * t * t + 2.5 * t * t - 4 * t + 2 : 0.;
    };
    const auto mirror = [](int j, int n) {
        while (j < 0 || j >= n) j = j < 0 ? -1 - j : 2 * n - 1 - j;
        return j;
    };
    const auto weights = [&](int i, int in, int out) {
        const double s = double(out) / in, z = std::min(1., s), u = (i + 0.5) / s - 0.5;
        Numbers w(std::size_t(in), 0.);
        double sum = 0;
        const int reach = int(2 / z) + 2;
        for (int j = int(u) - reach; j <= int(u) + reach; ++j) {
            w[std::size_t(mirror(j, in))] += cubic(z * (u - j));
            sum += cubic(z * (u - j));
        }
        for (double& v : w) v /= sum;
        return w;
    };
    Numbers y(std::size_t(to_H) * to_W * C, 0.);
    for (int i = 0; i < to_H; ++i)
        for (int j = 0; j < to_W; ++j) {
            const Numbers down = weights(i, H, to_H), across = weights(j, W, to_W);
            for (int p = 0; p < H; ++p)
                for (int q = 0; q < W; ++q)
                    for (int c = 0; c < C; ++c)
                        y[(i * to_W + j) * C + c] += down[p] * across[q] * x[(p * W + q) * C + c];
        }
    return y;
}

}  // namespace mia::reference
