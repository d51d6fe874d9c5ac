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
        [&](int o) { return bias(o); }, k);
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

/// A convolution of one image, a stretch of a row at a time. Lives inside a scope of the caller's.
template <class T>
class RowConvolution {
public:
    RowConvolution(BasicCpu<T>& cpu, const char* op, In<T, 3> x, const PackedConv2d<BasicCpu<T>>& weights)
        : weights_(weights) {
        require(weights.ready, op,
                ": the parameters are not packed; call prepare(backend, model) after loading or changing them");
        const int H = x.extent(0), W = x.extent(1), I = weights.in_channels, k = weights.kernel_size;
        require(x.extent(2) == I, op, ": x ", shape_text(x), " does not fit a convolution of ", I, " to ",
                weights.layout.N, " channels");
        const std::int64_t macs = std::int64_t(H) * W * weights.layout.K * weights.layout.N;
        cpu.record({"conv2d", &weights, macs, macs});
        const int border = 2 * ((k - 1) / 2);
        padded_ = cpu.scratch(H + border, W + border, I);
        pad_image<T>(cpu, x, border / 2, padded_);
    }

    /// The pixels (row, first) ... (row, first + count - 1) -> y: (count, O), neighbours.
    template <class Y>
    void run(std::ptrdiff_t row, int first, int count, Y* y, Activation activation = Activation::none,
             const Y* residual = nullptr) const {
        const int I = weights_.in_channels, k = weights_.kernel_size;
        const std::ptrdiff_t padded_row = std::ptrdiff_t(padded_.extent(1)) * I;
        product_rows<T, Y>({.weights = weights_,
                            .a = padded_.data + row * padded_row + std::ptrdiff_t(first) * I,
                            .a_stride = I,
                            .segments = k,
                            .run = k * I,
                            .segment_stride = padded_row,
                            .y = y,
                            .y_stride = weights_.layout.N,
                            .activation = activation,
                            .residual = residual},
                           count);
    }

private:
    const PackedConv2d<BasicCpu<T>>& weights_;
    View<T, 3> padded_;
};

template <class T, class Y>
void convolve(BasicCpu<T>& cpu, In<T, 3> x, const PackedConv2d<BasicCpu<T>>& weights, View<Y, 3> y,
              Activation activation, View<const Y, 3> residual) {
    const int H = x.extent(0), W = x.extent(1), I = weights.in_channels, O = weights.layout.N;
    require(!weights.ready || (x.extent(2) == I && y.extent(2) == O && y.extent(0) == H && y.extent(1) == W),
            "conv2d: x ", shape_text(x), " and y ", shape_text(y), " do not fit a convolution of ", I, " to ", O,
            " channels");
    require(activation != Activation::gelu || !residual.data,
            "conv2d: gelu with a residual is not offered; add it afterwards");
    const auto scope = cpu.scope();
    const RowConvolution<T> convolution(cpu, "conv2d", x, weights);
    cpu.parallel_for(H, 1, [&](std::ptrdiff_t begin, std::ptrdiff_t end, int) {
        for (std::ptrdiff_t row = begin; row < end; ++row)
            convolution.run(row, 0, W, y.data + row * W * O, activation,
                            residual.data ? residual.data + row * W * O : nullptr);
    });
}

}  // namespace detail

template <class T>
void conv2d(BasicCpu<T>& cpu, In<T, 3> x, const PackedConv2d<BasicCpu<T>>& weights, Out<T, 3> y,
            Activation activation = Activation::none, In<T, 3> residual = {}) {
    detail::convolve<T, T>(cpu, x, weights, y, activation, residual);
}
template <class T>
requires(narrow<T>) void conv2d(BasicCpu<T>& cpu, In<T, 3> x, const PackedConv2d<BasicCpu<T>>& weights,
                                Out<Wide<T>, 3> y, Activation activation = Activation::none,
                                In<Wide<T>, 3> residual = {}) {
    detail::convolve<T, Wide<T>>(cpu, x, weights, y, activation, residual);
}

}  // namespace mia
