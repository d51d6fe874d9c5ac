#pragma once
#include "mia/core/cpu.hpp"
#include "mia/ops/conv2d/conv2d.hpp"
#include "mia/ops/packed_product.hpp"

namespace mia {

template <class T>
struct PackedConv2d<BasicCpu<T>> : PackedWeights<T> {
    int in_channels = 0, kernel_size = 0;
};

template <class T>
void pack_conv2d(BasicCpu<T>&, In<T, 4> weight, In<T, 1> bias, PackedConv2d<BasicCpu<T>>& packed) {
    const int O = weight.extent(0), I = weight.extent(1), k = weight.extent(2);
    packed.in_channels = I;
    packed.kernel_size = k;
    packed.pack(
        O, k * k * I, T(1),
        [&](int o, int at) { return weight(o, at % I, at / (k * I), at / I % k); },  // (u, v, i): as the image lies
        [&](int o) { return bias(o); });
}

namespace detail {

/// to: (H + 2p, W + 2p, C), `x` with a border of zeros.
template <class T>
void pad_image(BasicCpu<T>& cpu, In<T, 3> x, int p, Out<T, 3> to) {
    const int H = x.extent(0), W = x.extent(1), C = x.extent(2);
    const std::size_t row = std::size_t(W) * C, border = std::size_t(p) * C;
    cpu.parallel_for(H + 2 * p, 8, [&](std::ptrdiff_t begin, std::ptrdiff_t end, int) {
        for (std::ptrdiff_t i = begin; i < end; ++i) {
            T* out = to.data + std::size_t(i) * (row + 2 * border);
            if (i < p || i >= H + p) {
                std::fill(out, out + row + 2 * border, T(0));
                continue;
            }
            std::fill(out, out + border, T(0));
            std::memcpy(out + border, x.data + std::size_t(i - p) * row, row * sizeof(T));
            std::fill(out + border + row, out + row + 2 * border, T(0));
        }
    });
}

}  // namespace detail

template <class T>
void conv2d(BasicCpu<T>& cpu, In<T, 3> x, const PackedConv2d<BasicCpu<T>>& weights, Out<T, 3> y,
            Activation activation = Activation::none, In<T, 3> residual = {}) {
    require(weights.ready,
            "conv2d: the parameters are not packed; call prepare(backend, model) after loading or changing them");
    const int H = x.extent(0), W = x.extent(1), I = weights.in_channels, O = weights.layout.N, k = weights.kernel_size;
    require(x.extent(2) == I && y.extent(2) == O && y.extent(0) == H && y.extent(1) == W, "conv2d: x ", shape_text(x),
            " and y ", shape_text(y), " do not fit a convolution of ", I, " to ", O, " channels");
    require(activation != Activation::gelu || !residual.data,
            "conv2d: gelu with a residual is not offered; add it afterwards");
    const std::int64_t macs = std::int64_t(H) * W * weights.layout.K * O;
    cpu.record({"conv2d", &weights, macs, macs});
    const auto scope = cpu.scope();
    const int p = (k - 1) / 2;
    const auto padded = cpu.scratch(H + 2 * p, W + 2 * p, I);
    detail::pad_image<T>(cpu, x, p, padded);
    const std::ptrdiff_t padded_row = std::ptrdiff_t(W + 2 * p) * I;
    cpu.parallel_for(H, 1, [&](std::ptrdiff_t begin, std::ptrdiff_t end, int) {
        for (std::ptrdiff_t row = begin; row < end; ++row)
            detail::product_rows<T>({.weights = weights,
                                     .a = padded.data + row * padded_row,
                                     .a_stride = I,
                                     .segments = k,
                                     .run = k * I,
                                     .segment_stride = padded_row,
                                     .y = y.data + row * W * O,
                                     .y_stride = O,
                                     .activation = activation,
                                     .residual = residual.data ? residual.data + row * W * O : nullptr},
                                    W);
    });
}

}  // namespace mia
