#pragma once
#include <array>

#include "mia/core/cpu.hpp"
#include "mia/core/micro_kernel.hpp"
#include "mia/core/tensor.hpp"
#include "mia/ops/epilogue.hpp"

namespace mia {

/// Weights and bias of a linear map or a convolution, packed once for the product below. `ready` says that they belong
/// to the parameters as they are now.
template <class T>
struct PackedWeights {
    simd::PanelLayout<T> layout{};
    HostBuffer<Lane<T>> panels;
    HostBuffer<Wide<T>> bias;
    bool ready = false;

    /// weight(n, k); bias(n). segments: those of the product.
    template <class Weight, class Bias>
    void pack(int N, int K, T scale, Weight weight, Bias bias_of, int segments = 1) {
        layout = {N, K, segments};
        panels.reserve(std::size_t(layout.size()));
        simd::pack_panels<T>(layout, scale, weight, panels.data());
        const int padded = simd::round_up(N, simd::lanes<T>);
        bias.reserve(std::size_t(padded));
        for (int n = 0; n < padded; ++n) bias.data()[n] = n < N ? Wide<T>(scale * bias_of(n)) : Wide<T>(0);
        ready = true;
    }
};

namespace detail {
inline namespace MIA_INSTRUCTIONS {  // see mia/kernels.cpp

/// y[m, n] = activation(bias[n] + sum_k A[m, k] weight[n, k]) + residual[m, n]. A's row m begins at a + m * a_stride
/// and consists of `segments` runs of `run` neighbours, `segment_stride` apart: one run for a linear map, one per
/// kernel row for a convolution, whose taps along x lie side by side in a channels-last image. Y: T, or Wide<T> for a
/// result that is not to be rounded.
template <class T, class Y = T>
struct RowsProduct {
    const PackedWeights<T>& weights;
    const T* a;
    std::ptrdiff_t a_stride;
    int segments, run;
    std::ptrdiff_t segment_stride;
    Y* y;
    std::ptrdiff_t y_stride;
    Activation activation = Activation::none;
    const Y* residual = nullptr;  ///< rows as far apart as those of y; may be y
    bool a_is_far = false;        ///< in memory or a cache that other cores share: fetched two tiles ahead
};

/// Fetches where a tile's results go, and what is added to them, while the sums are computed: rows may begin anywhere
/// in a cache line, so the last one too.
template <int Rows, int Vectors, class T, class Y>
MIA_INLINE void prefetch_results(const RowsProduct<T, Y>& p, std::ptrdiff_t at) {
    constexpr int last = Vectors * simd::lanes<T> - 1;
    const auto each = [&](auto f) MIA_INLINE_LAMBDA {
#pragma GCC unroll 12
        for (int i = 0; i < Rows; ++i) {
#pragma GCC unroll 3
            for (int j = 0; j < Vectors; ++j) f(at + i * p.y_stride + j * simd::lanes<T>);
            f(at + i * p.y_stride + last);
        }
    };
    each([&](std::ptrdiff_t i) MIA_INLINE_LAMBDA { __builtin_prefetch(p.y + i, 1); });
    if (p.residual) each([&](std::ptrdiff_t i) MIA_INLINE_LAMBDA { __builtin_prefetch(p.residual + i); });
}

template <int Rows, int Vectors, class T, class Y>
void product_tile(const RowsProduct<T, Y>& p, int m, int panel) {
    using namespace simd;
    using V = Vec<T>;
    const auto& layout = p.weights.layout;
    const Lane<T>* b = p.weights.panels.data() + layout.offset(panel);
    const Wide<T>* bias = p.weights.bias.data() + layout.first(panel);
    V c[Rows][Vectors];
#pragma GCC unroll 12
    for (int i = 0; i < Rows; ++i)
#pragma GCC unroll 3
        for (int j = 0; j < Vectors; ++j) c[i][j] = load(bias + j * lanes<T>);
    prefetch_results<Rows, Vectors>(p, m * p.y_stride + layout.first(panel));
    // The processor's own prefetching sees a dozen rows read in turn, and does little for them.
    const bool fetch = p.a_is_far && panel == 0;
    for (int s = 0; s < p.segments; ++s) {
        const T* a = p.a + m * p.a_stride + s * p.segment_stride;
        const int whole = p.run / per_lane<T>;
        const int piece = fetch ? cache_line / int(sizeof(Lane<T>)) : whole;  // a line of each row at a time
        for (int k = 0; k < whole; k += piece) {
            const T* at = a + k * per_lane<T>;
            if (fetch)
#pragma GCC unroll 12
                for (int i = 0; i < Rows; ++i) __builtin_prefetch(at + (i + 2 * most_tile_rows) * p.a_stride);
            accumulate<Lane<T>, Rows, Vectors>(RowsOperand<T, Rows>(at, p.a_stride), b + k * Vectors * lanes<T>,
                                               Vectors * lanes<T>, std::min(piece, whole - k), c);
        }
        b += whole * Vectors * lanes<T>;
        if constexpr (per_lane<T> == 2) {
            if (p.run % 2 == 0) continue;
            accumulate<Lane<T>, Rows, Vectors>(LastColumnOperand<Rows>{a + p.run - 1, p.a_stride}, b, 0, 1, c);
            b += Vectors * lanes<T>;
        }
    }
    const int n0 = layout.first(panel), last = layout.N - n0 - (Vectors - 1) * lanes<T>;  // lanes of the last vector
    const std::ptrdiff_t y_stride = p.y_stride;  // a copy: stores to y might alias p
    Y* y = p.y + m * y_stride + n0;
    const Y* residual = p.residual ? p.residual + m * y_stride + n0 : nullptr;
    const auto write = [&](auto finish) MIA_INLINE_LAMBDA {
#pragma GCC unroll 12
        for (int i = 0; i < Rows; ++i) {
            const std::ptrdiff_t at = i * y_stride, tail = at + (Vectors - 1) * lanes<T>;
#pragma GCC unroll 2
            for (int j = 0; j + 1 < Vectors; ++j)
                store(y + at + j * lanes<T>, finish(c[i][j], at + j * lanes<T>, lanes<T>));
            if (last >= lanes<T>)
                store(y + tail, finish(c[i][Vectors - 1], tail, lanes<T>));
            else
                store_first(y + tail, finish(c[i][Vectors - 1], tail, last), last);
        }
    };
    if (p.activation == Activation::gelu) {
        // In a second pass over what was just written: unrolled for each tile it would be most of the code. (So Bf16 is
        // rounded before, as by an op of its own.)
        write([](V v, std::ptrdiff_t, int) MIA_INLINE_LAMBDA { return v; });
#pragma GCC unroll 1
        for (int i = 0; i < Rows; ++i)
            for (int j = 0; j < Vectors; ++j) {
                const std::ptrdiff_t at = i * y_stride + j * lanes<T>;
                const int count = j + 1 < Vectors ? lanes<T> : std::min(last, lanes<T>);
                store_first(y + at, gelu(load_first(y + at, count)), count);
            }
        return;
    }
    if (p.activation == Activation::none && !residual)
        return write([](V v, std::ptrdiff_t, int) MIA_INLINE_LAMBDA { return v; });
    const V slope = broadcast(Wide<T>(negative_slope(p.activation)));
    if (!residual) return write([&](V v, std::ptrdiff_t, int) MIA_INLINE_LAMBDA { return max(v, v * slope); });
    write([&](V v, std::ptrdiff_t at, int count) MIA_INLINE_LAMBDA {
        return max(v, v * slope) + (count == lanes<T> ? load(residual + at) : load_first(residual + at, count));
    });
}

/// Rows [0, M) of the product.
template <class T, class Y = T>
void product_rows(const RowsProduct<T, Y>& p, int M) {
    using namespace simd;
    const auto& layout = p.weights.layout;
    for (int panel = 0; panel < layout.panels(); ++panel) {
        const int vectors = layout.vectors(panel);
        each_tile(M, max_tile_rows(vectors), [&](int m, int rows) {
            with_tile(rows, vectors, [&]<int Rows, int Vectors>() { product_tile<Rows, Vectors>(p, m, panel); });
        });
    }
}

#ifdef MIA_COMPILED_KERNELS
extern template void product_rows(const RowsProduct<float>&, int);
extern template void product_rows(const RowsProduct<double>&, int);
extern template void product_rows(const RowsProduct<Bf16>&, int);
extern template void product_rows(const RowsProduct<Bf16, float>&, int);
#endif

}  // namespace MIA_INSTRUCTIONS

/// Products of M rows each, one after the other, all in pieces of rows that stay in L2 while the weights' panels pass:
/// a product whose residual is the result of the one before it finds it there.
template <class T, class Y, std::size_t N>
void products(BasicCpu<T>& cpu, const std::array<RowsProduct<T, Y>, N>& all, int M) {
    constexpr int tile = simd::most_tile_rows;
    const int grain = std::clamp(simd::round_up(M / (4 * cpu.threads()), tile), tile, 8 * tile);
    cpu.parallel_for(M, grain, [&](std::ptrdiff_t begin, std::ptrdiff_t end, int) {
        for (RowsProduct<T, Y> p : all) {
            p.a += begin * p.a_stride;
            p.y += begin * p.y_stride;
            if (p.residual) p.residual += begin * p.y_stride;
            product_rows(p, int(end - begin));
        }
    });
}

}  // namespace detail
}  // namespace mia
