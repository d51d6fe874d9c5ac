#pragma once
#include "mia/core/cpu.hpp"
#include "mia/ops/conv2d/conv2d_shuffle.hpp"

namespace mia {

namespace detail {
/// Some pixels of a row at a time: what the convolution makes of them lies in L2 until it is shuffled, so that the
/// image of r^2 times as many pixels is written once and the wide one is never in memory.
template <class T, class Y>
void convolve_shuffled(BasicCpu<T>& cpu, In<T, 3> x, const PackedConv2d<BasicCpu<T>>& weights, int factor, View<Y, 3> y,
                       Activation activation, View<const Y, 3> residual) {
    const int H = x.extent(0), W = x.extent(1), O = weights.out_channels, r = factor, K = y.extent(2);
    require(!weights.ready || (r >= 1 && O == r * r * K && y.extent(0) == r * H && y.extent(1) == r * W),
            "conv2d_shuffle: ", O, " channels of ", shape_text(x), " do not become y ", shape_text(y),
            " by a factor of ", r);
    require(activation != Activation::gelu, "conv2d_shuffle: gelu is not offered here; use conv2d and activate");
    const auto slope = Wide<T>(negative_slope(activation));
    const auto shuffle_row = row_shuffle<T, Y>(r, K);
    convolve_tiles<T>(cpu, "conv2d_shuffle", x, weights, O, [&](const ConvolutionPixels<T>& pixels) {
        pixels.compute(pixels.scratch);
        for (int a = 0; a < r; ++a) {
            const std::ptrdiff_t at = ((std::ptrdiff_t(pixels.row) * r + a) * W + pixels.first) * r * K;
            shuffle_row(pixels.scratch, pixels.count, r, K, a, slope, residual.data ? residual.data + at : nullptr,
                        y.data + at);
        }
    });
}
}  // namespace detail

template <class T>
void conv2d_shuffle(BasicCpu<T>& cpu, In<T, 3> x, const PackedConv2d<BasicCpu<T>>& weights, int factor, Out<T, 3> y,
                    Activation activation = Activation::none, In<T, 3> residual = {}) {
    detail::convolve_shuffled<T, T>(cpu, x, weights, factor, y, activation, residual);
}
template <class T>
requires(narrow<T>) void conv2d_shuffle(BasicCpu<T>& cpu, In<T, 3> x, const PackedConv2d<BasicCpu<T>>& weights,
                                        int factor, Out<Wide<T>, 3> y, Activation activation = Activation::none,
                                        In<Wide<T>, 3> residual = {}) {
    detail::convolve_shuffled<T, Wide<T>>(cpu, x, weights, factor, y, activation, residual);
}

}  // namespace mia
