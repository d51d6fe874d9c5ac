#pragma once
#include "mia/core/cpu.hpp"
#include "mia/ops/pixel_shuffle/pixel_shuffle.hpp"

namespace mia {

namespace detail {

/// One output row, a = row mod r: activation by `slope`, plus `rest` if there is one. With R > 0 and Channels > 0 these
/// are r and K, known to the compiler.
template <int R, int Channels, class T, class Y>
void shuffle_row(const T* in, int W, int r, int K, int a, Wide<T> slope, const Y* rest, Y* out) {
    if constexpr (R > 0) r = R;
    if constexpr (Channels > 0) K = Channels;
    in += a * r;
    for (int j = 0; j < W; ++j, in += r * r * K)
        for (int b = 0; b < r; ++b)
            for (int k = 0; k < K; ++k) {
                const Wide<T> v = in[k * r * r + b];
                *out++ = Y(std::max(v, v * slope) + (rest ? Wide<T>(*rest++) : Wide<T>(0)));
            }
}

/// The function above for a factor and a number of channels.
template <class T, class Y = T>
auto row_shuffle(int r, int K) {
    if (r == 4 && K == 3) return shuffle_row<4, 3, T, Y>;
    if (r == 2 && K == 64) return shuffle_row<2, 64, T, Y>;
    return shuffle_row<0, 0, T, Y>;
}

}  // namespace detail

template <class T>
void pixel_shuffle(BasicCpu<T>& cpu, In<T, 3> x, int factor, Out<T, 3> y, Activation activation = Activation::none,
                   In<T, 3> residual = {}) {
    const int r = factor, H = x.extent(0), W = x.extent(1), K = y.extent(2);
    require(r >= 1 && x.extent(2) == r * r * K && y.extent(0) == r * H && y.extent(1) == r * W, "pixel_shuffle: x ",
            shape_text(x), " does not become y ", shape_text(y), " by a factor of ", r);
    require(activation != Activation::gelu, "pixel_shuffle: gelu is not offered here; use activate");
    const auto slope = Wide<T>(negative_slope(activation));
    const auto shuffle_row = detail::row_shuffle<T>(r, K);
    cpu.parallel_for(r * H, 4, [&](std::ptrdiff_t begin, std::ptrdiff_t end, int) {
        for (std::ptrdiff_t row = begin; row < end; ++row)
            shuffle_row(x.data + row / r * W * r * r * K, W, r, K, int(row % r), slope,
                        residual.data ? residual.data + row * r * W * K : nullptr, y.data + row * r * W * K);
    });
}

}  // namespace mia
