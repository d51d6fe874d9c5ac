#pragma once
#include "mia/core/cpu.hpp"
#include "mia/ops/flow_warp/flow_warp.hpp"
#include "mia/ops/flow_warp/sampling_grid.hpp"

namespace mia {

/// The element type of what is warped need not be the backend's: flows are warped too, and stay float.
template <class T, class U>
void flow_warp(BasicCpu<T>& cpu, In<U, 3> x, View<const float, 3> flow, Padding padding, View<U, 3> y) {
    const int H = x.extent(0), W = x.extent(1), C = x.extent(2);
    detail::check_flow_warp<U>(x, flow, y);
    cpu.parallel_for(H, 4, [&](std::ptrdiff_t begin, std::ptrdiff_t end, int) {
        for (std::ptrdiff_t i = begin; i < end; ++i)
            for (int j = 0; j < W; ++j) {
                const float* f = flow.data + (i * W + j) * 2;
                float ux = sampling_coordinate(j, f[0], W), uy = sampling_coordinate(int(i), f[1], H);
                if (padding == Padding::border) {
                    ux = std::min(std::max(ux, 0.0f), float(W - 1));
                    uy = std::min(std::max(uy, 0.0f), float(H - 1));
                }
                const float x0 = std::floor(ux), y0 = std::floor(uy);
                const float wx[] = {x0 + 1 - ux, ux - x0}, wy[] = {y0 + 1 - uy, uy - y0};
                const U* taps[4];
                Wide<U> weights[4];
                int count = 0;
                for (int a = 0; a < 2; ++a)
                    for (int b = 0; b < 2; ++b) {
                        const float row = y0 + float(a),
                                    column = x0 + float(b);  // compared as floats: they may be huge
                        if (!(row >= 0 && row <= float(H - 1) && column >= 0 && column <= float(W - 1))) continue;
                        weights[count] = Wide<U>(wx[b] * wy[a]);
                        taps[count++] = x.data + (std::ptrdiff_t(row) * W + std::ptrdiff_t(column)) * C;
                    }
                U* out = y.data + (i * W + j) * C;
                if constexpr (narrow<U>) {  // rounded once
                    for (int c = 0; c < C; ++c) {
                        Wide<U> sum = 0;
                        for (int n = 0; n < count; ++n) sum += weights[n] * taps[n][c];
                        out[c] = U(sum);
                    }
                } else {
                    std::fill(out, out + C, U(0));
                    for (int n = 0; n < count; ++n)
                        for (int c = 0; c < C; ++c) out[c] += weights[n] * taps[n][c];
                }
            }
    });
}

}  // namespace mia
