#pragma once
#include "mia/ops/conv2d/conv2d.hpp"
#include "mia/ops/mma_product.cuh"
#include "mia/ops/tiled_product.cuh"

namespace mia {

template <class T>
struct PackedConv2d<BasicCuda<T>> : DeviceWeights<T> {
    int in_channels = 0, kernel_size = 0;
};

namespace detail {
/// k = (u, v, i): as the image lies.
template <class T>
struct ConvolutionWeight {
    const T* weight;  // (O, I, size, size)
    int I, size;
    __device__ Wide<T> operator()(int o, int k) const {
        const int i = k % I, v = k / I % size, u = k / (I * size);
        return weight[((std::ptrdiff_t(o) * I + i) * size + u) * size + v];
    }
};
template <class T>
struct ConvolutionBias {
    const T* bias;
    __device__ Wide<T> operator()(int o) const { return bias[o]; }
};

/// The left side of an implicit matrix product: row m is a pixel, column k a tap and an input channel. Nothing is
/// copied or padded; taps beyond the image are zero.
template <class T>
struct ConvolutionTaps {
    const T* x;  // (H, W, I)
    int H, W, I, size;
    static constexpr int warp_rows = 32;  // of mma_product.cuh's tile: arithmetic decides, so few loads for it
    int run() const { return I; }
    struct Row {
        int y, x;
    };
    struct Column {
        int dy, dx, i;
    };
    __device__ Row row(int m) const { return {m / W, m % W}; }
    __device__ Column column(int k) const {
        const int tap = k / I;
        return {tap / size - size / 2, tap % size - size / 2, k % I};
    }
    /// Null beyond the image.
    __device__ const T* find(Row row, Column column) const {
        const int py = row.y + column.dy, px = row.x + column.dx;
        if (py < 0 || py >= H || px < 0 || px >= W) return nullptr;
        return x + (std::ptrdiff_t(py) * W + px) * I + column.i;
    }
    __device__ T at(Row row, Column column) const {
        const T* found = find(row, column);
        return found ? *found : T(0);
    }
};

template <class T>
void check_packed(const PackedConv2d<BasicCuda<T>>& weights) {
    require(weights.ready,
            "conv2d: the parameters are not packed; call prepare(backend, model) after loading or changing them");
}

/// A: ConvolutionTaps, or what derives from it; Y: T or Wide<T>.
template <class T, class A, class Y>
void convolve(BasicCuda<T>& cuda, const char* op, const A& taps, const PackedConv2d<BasicCuda<T>>& weights,
              Activation activation, const Y* residual, Y* y) {
    const std::int64_t macs = std::int64_t(taps.H) * taps.W * weights.K * weights.N;
    cuda.record({op, &weights, macs, macs});
    product(cuda, op, taps, taps.H * taps.W, {}, weights, activation, residual, y);
}

template <class T, class Y>
void convolve_image(BasicCuda<T>& cuda, In<T, 3> x, const PackedConv2d<BasicCuda<T>>& weights, View<Y, 3> y,
                    Activation activation, View<const Y, 3> residual) {
    check_packed(weights);
    const int H = x.extent(0), W = x.extent(1), I = weights.in_channels, O = weights.N;
    require(x.extent(2) == I && y.extent(2) == O && y.extent(0) == H && y.extent(1) == W, "conv2d: x ", shape_text(x),
            " and y ", shape_text(y), " do not fit a convolution of ", I, " to ", O, " channels");
    require(activation != Activation::gelu || !residual.data,
            "conv2d: gelu with a residual is not offered; add it afterwards");
    convolve(cuda, "conv2d", ConvolutionTaps<T>{x.data, H, W, I, weights.kernel_size}, weights, activation,
             residual.data, y.data);
}
}  // namespace detail

template <class T>
void pack_conv2d(BasicCuda<T>& cuda, In<T, 4> weight, In<T, 1> bias, PackedConv2d<BasicCuda<T>>& packed) {
    const int O = weight.extent(0), I = weight.extent(1), k = weight.extent(2);
    packed.in_channels = I;
    packed.kernel_size = k;
    packed.pack(cuda, O, k * k * I, detail::ConvolutionWeight<T>{weight.data, I, k},
                detail::ConvolutionBias<T>{bias.data});
}

template <class T>
void conv2d(BasicCuda<T>& cuda, In<T, 3> x, const PackedConv2d<BasicCuda<T>>& weights, Out<T, 3> y,
            Activation activation = Activation::none, In<T, 3> residual = {}) {
    detail::convolve_image<T, T>(cuda, x, weights, y, activation, residual);
}
template <class T>
requires(narrow<T>) void conv2d(BasicCuda<T>& cuda, In<T, 3> x, const PackedConv2d<BasicCuda<T>>& weights,
                                Out<Wide<T>, 3> y, Activation activation = Activation::none,
                                In<Wide<T>, 3> residual = {}) {
    detail::convolve_image<T, Wide<T>>(cuda, x, weights, y, activation, residual);
}

}  // namespace mia
