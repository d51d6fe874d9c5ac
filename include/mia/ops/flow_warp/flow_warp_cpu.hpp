#pragma once
#include "mia/core/cpu.hpp"
#include "mia/ops/flow_warp/flow_warp.hpp"
#include "mia/ops/flow_warp/sampling_grid.hpp"

namespace mia {

namespace detail {
/// The weighted sum of a pixel's four neighbours. Fixed: C, if it is known when this is compiled, or 0.
template <int Fixed, class U>
void sum_of_taps(const U* const (&taps)[4], const Wide<U> (&weights)[4], int C, U* out) {
    const int channels = Fixed > 0 ? Fixed : C;
    for (int c = 0; c < channels; ++c)
        out[c] =
            U(weights[0] * taps[0][c] + weights[1] * taps[1][c] + weights[2] * taps[2][c] + weights[3] * taps[3][c]);
}
}  // namespace detail

/// The element type of what is warped need not be the backend's: flows are warped too, and stay float. With two or
/// three channels (frames, flows) most of the time goes into coordinates, whose order of operations is the contract's,
/// with a division each: a tenth of the bandwidth of a copy, on less than a hundredth of a model's time.
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
                U* out = y.data + (i * W + j) * C;
                const U* taps[4];
                Wide<U> weights[4];
                int count = 0;
                for (int n = 0; n < 4; ++n) {
                    const float row = y0 + float(n / 2), column = x0 + float(n % 2);  // as floats: they may be huge
                    if (!(row >= 0 && row <= float(H - 1) && column >= 0 && column <= float(W - 1))) continue;
                    weights[count] = Wide<U>(wx[n % 2] * wy[n / 2]);
                    taps[count++] = x.data + (std::ptrdiff_t(row) * W + std::ptrdiff_t(column)) * C;
                }
                if (count < 4) {  // at the edge
                    for (int c = 0; c < C; ++c) {
                        Wide<U> sum = 0;
                        for (int n = 0; n < count; ++n) sum += weights[n] * taps[n][c];
                        out[c] = U(sum);
                    }
                } else if (C == 2) {
                    detail::sum_of_taps<2>(taps, weights, C, out);
                } else if (C == 3) {
                    detail::sum_of_taps<3>(taps, weights, C, out);
                } else {
                    detail::sum_of_taps<0>(taps, weights, C, out);
                }
            }
    });
}

}  // namespace mia
