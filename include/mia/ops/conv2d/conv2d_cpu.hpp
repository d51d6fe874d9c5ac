#pragma once
#include "mia/core/cpu.hpp"
#include "mia/ops/conv2d/conv2d.hpp"
#include "mia/ops/packed_product.hpp"

namespace mia {

/// Where a result has few channels, `together` neighbouring pixels of a row are one row of the product: its columns are
/// their channels, its sums run over the taps of all, and weights where a pixel has no tap are zero. A vector's lanes
/// are full then, for (k + together - 1) / (k together) of the multiply-adds.
template <class T>
struct PackedConv2d<BasicCpu<T>> : PackedWeights<T> {
    int in_channels = 0, out_channels = 0, kernel_size = 0, together = 1;

    /// weight(o, i, u, v), bias(o).
    template <class Weight, class Bias>
    void pack_taps(int O, int I, int k, Weight weight, Bias bias) {
        in_channels = I;
        out_channels = O;
        kernel_size = k;
        together = k > 1 ? std::max(1, simd::lanes<T> / O) : 1;
        const int across = k + together - 1;  // taps of a row
        this->pack(
            together * O, k * across * I, T(1),
            [&](int n, int at) {  // (u, v, i): as the image lies
                const int v = at / I % across - n / O;
                return v < 0 || v >= k ? T(0) : weight(n % O, at % I, at / (across * I), v);
            },
            [&](int n) { return bias(n % O); }, k);
    }
};

template <class T>
void pack_conv2d(BasicCpu<T>&, In<T, 4> weight, In<T, 1> bias, PackedConv2d<BasicCpu<T>>& packed) {
    packed.pack_taps(
        weight.extent(0), weight.extent(1), weight.extent(2),
        [&](int o, int i, int u, int v) { return weight(o, i, u, v); }, [&](int o) { return bias(o); });
}

namespace detail {

/// to: (h, w, C), the part of `x` whose first pixel is (top, left); zeros beyond the image.
template <class T>
void copy_region(In<T, 3> x, int top, int left, Out<T, 3> to) {
    const int H = x.extent(0), W = x.extent(1), C = x.extent(2), h = to.extent(0), w = to.extent(1);
    const int from = std::clamp(-left, 0, w), until = std::clamp(W - left, from, w);
    for (int i = 0; i < h; ++i) {
        T* out = to.data + std::ptrdiff_t(i) * w * C;
        const bool inside = top + i >= 0 && top + i < H;
        const int begin = inside ? from : w, end = inside ? until : w;
        std::fill(out, out + std::ptrdiff_t(begin) * C, T(0));
        if (begin < end)
            std::memcpy(out + std::ptrdiff_t(begin) * C, x.data + (std::ptrdiff_t(top + i) * W + left + begin) * C,
                        std::size_t(end - begin) * std::size_t(C) * sizeof(T));
        std::fill(out + std::ptrdiff_t(end) * C, out + std::ptrdiff_t(w) * C, T(0));
    }
}

/// Neighbours in a row of a convolution's result, all that they need at hand: the taps of as many as are computed
/// together, also beyond the last one.
template <class T>
struct ConvolutionPixels {
    const PackedConv2d<BasicCpu<T>>& weights;
    const T* a;                ///< the first pixel's first tap
    std::ptrdiff_t image_row;  ///< elements from one row of taps to the next
    int row, first, count;     ///< the pixels (row, first) ... (row, first + count - 1)
    T* scratch;                ///< as much as was asked for

    /// -> y: (count, O).
    template <class Y>
    void compute(Y* y, Activation activation = Activation::none, const Y* residual = nullptr) const {
        const int I = weights.in_channels, k = weights.kernel_size, together = weights.together;
        const std::ptrdiff_t N = weights.layout.N;
        RowsProduct<T, Y> product{.weights = weights,
                                  .a = a,
                                  .a_stride = together * I,
                                  .segments = k,
                                  .run = (k + together - 1) * I,
                                  .segment_stride = image_row,
                                  .y = y,
                                  .y_stride = N,
                                  .activation = activation,
                                  .residual = residual};
        const int rows = count / together, left = count % together * weights.out_channels;
        product_rows(product, rows);
        if (left == 0) return;
        Y last[simd::lanes<T>], added[simd::lanes<T>] = {};
        product.a += rows * product.a_stride;
        product.y = last;
        if (residual) {
            std::copy_n(residual + rows * N, left, added);
            product.residual = added;
        }
        product_rows(product, 1);
        std::copy_n(last, left, y + rows * N);
    }
};

/// What a convolution has to find before it begins; its work is recorded.
template <class T>
void begin_convolution(BasicCpu<T>& cpu, const char* op, In<T, 3> x, const PackedConv2d<BasicCpu<T>>& weights) {
    require(weights.ready, op,
            ": the parameters are not packed; call prepare(backend, model) after loading or changing them");
    require(x.extent(2) == weights.in_channels, op, ": x ", shape_text(x), " does not fit a convolution of ",
            weights.in_channels, " to ", weights.out_channels, " channels");
    const std::int64_t macs = std::int64_t(x.extent(0)) * x.extent(1) * weights.kernel_size * weights.kernel_size *
                              weights.in_channels * weights.out_channels;
    cpu.record({"conv2d", &weights, macs, macs});
}

/// A convolution of 1 x 1: a linear map of the pixels.
template <class T, class Y>
RowsProduct<T, Y> pixel_product(In<T, 3> x, const PackedConv2d<BasicCpu<T>>& weights, View<Y, 3> y,
                                Activation activation, View<const Y, 3> residual) {
    const int I = weights.in_channels;
    return {.weights = weights,
            .a = x.data,
            .a_stride = I,
            .segments = 1,
            .run = I,
            .segment_stride = 0,
            .y = y.data,
            .y_stride = weights.layout.N,
            .activation = activation,
            .residual = residual.data,
            .a_is_far = true};
}

inline constexpr int convolution_rows =
    4 * simd::most_tile_rows;  ///< of a product: a row of a tile of the image, at most

/// Calls f(ConvolutionPixels) for all pixels of the result. The image is worked off in tiles, which each thread copies
/// with their surroundings, or zeros, into its part of L2: there the taps of a pixel's kernel rows are neighbours, and
/// no copy of the whole image is needed. scratch: elements wanted for each pixel.
template <class T, class F>
void convolve_tiles(BasicCpu<T>& cpu, const char* op, In<T, 3> x, const PackedConv2d<BasicCpu<T>>& weights, int scratch,
                    F f) {
    begin_convolution(cpu, op, x, weights);
    const int H = x.extent(0), W = x.extent(1), I = weights.in_channels, border = weights.kernel_size - 1;
    constexpr int tile_bytes = 256 << 10;  // beside the weights in L2
    const int together = weights.together, most = together > 1 ? convolution_rows / 2 * together : convolution_rows,
              columns = std::min(W, most), across = simd::ceil_div(W, columns);
    const int row_bytes = (simd::round_up(columns, together) + border) * I * int(sizeof(T));
    const int rows = std::clamp(std::min(tile_bytes / row_bytes - border, H * across / (4 * cpu.threads())), 1, 8);
    const std::size_t image = std::size_t(rows + border) * std::size_t(row_bytes);
    const std::size_t rest = std::size_t(columns) * std::size_t(scratch) * sizeof(T);
    cpu.reserve_worker_scratch(image + rest + 2 * cache_line);
    const int tiles = simd::ceil_div(H, rows) * across;
    cpu.parallel_for(tiles, 1, [&](std::ptrdiff_t begin, std::ptrdiff_t end, int worker) {
        const ScratchScope<Arena> scope(cpu.worker_scratch(worker));
        T* taps = static_cast<T*>(cpu.worker_scratch(worker).take(image));
        T* own = static_cast<T*>(cpu.worker_scratch(worker).take(rest));
        for (std::ptrdiff_t tile = begin; tile < end; ++tile) {
            const int top = int(tile) / across * rows, left = int(tile) % across * columns;
            const int h = std::min(rows, H - top), w = std::min(columns, W - left);
            const int with_border = simd::round_up(w, together) + border;
            copy_region<T>(x, top - border / 2, left - border / 2, {taps, {h + border, with_border, I}});
            const std::ptrdiff_t image_row = std::ptrdiff_t(with_border) * I;
            for (int i = 0; i < h; ++i)
                f(ConvolutionPixels<T>{weights, taps + i * image_row, image_row, top + i, left, w, own});
        }
    });
}

template <class T, class Y>
void convolve(BasicCpu<T>& cpu, In<T, 3> x, const PackedConv2d<BasicCpu<T>>& weights, View<Y, 3> y,
              Activation activation, View<const Y, 3> residual) {
    const int H = x.extent(0), W = x.extent(1), I = weights.in_channels, O = weights.out_channels;
    require(!weights.ready || (x.extent(2) == I && y.extent(2) == O && y.extent(0) == H && y.extent(1) == W),
            "conv2d: x ", shape_text(x), " and y ", shape_text(y), " do not fit a convolution of ", I, " to ", O,
            " channels");
    require(activation != Activation::gelu || !residual.data,
            "conv2d: gelu with a residual is not offered; add it afterwards");
    if (weights.kernel_size == 1) {
        begin_convolution(cpu, "conv2d", x, weights);
        return products(cpu, std::array{pixel_product(x, weights, y, activation, residual)}, H * W);
    }
    convolve_tiles<T>(cpu, "conv2d", x, weights, 0, [&](const ConvolutionPixels<T>& pixels) {
        const std::ptrdiff_t at = (std::ptrdiff_t(pixels.row) * W + pixels.first) * O;
        pixels.compute(y.data + at, activation, residual.data ? residual.data + at : nullptr);
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
