#pragma once
#include "mia/core/transpose.hpp"
#include "mia/ops/layer_norm/layer_norm.hpp"
#include "mia/train/vjp/products.hpp"

// With n = (x - mean) / sqrt(var + eps) and g = d y * weight:
//   d x = (g - mean(g) - n mean(g n)) / sqrt(var + eps);  d weight = sum of d y * n;  d bias = sum of d y.

namespace mia {

namespace detail {

/// Rows of a matrix that go through the gradient together, one for each lane: their sums become one vector.
template <class T>
struct RowGroup {
    static constexpr int lanes = simd::lanes<T>;
    using V = simd::Vec<T>;

    int C, rows;

    /// The lanes of a vector: the sums over row r of f(r, c, count), which is 0 from lane `count` on.
    template <class F>
    MIA_INLINE V sums(F f) const {
        alignas(cache_line) T parts[lanes * lanes] = {}, panel[lanes * lanes];
        for (int r = 0; r < rows; ++r) {
            V sum{};
            each([&](int c, int count) MIA_INLINE_LAMBDA { sum += f(r, c, count); });
            simd::store(parts + r * lanes, sum);
        }
        return add_columns(parts, panel);
    }
    /// f(c, count) for the vectors of a row.
    template <class F>
    MIA_INLINE void each(F&& f) const {
        int c = 0;
        for (; c + lanes <= C; c += lanes) f(c, lanes);
        if (c < C) f(c, C - c);
    }

private:
    MIA_INLINE static V add_columns(const T* parts, T* panel) {
        simd::rows_to_panel<T>([&](int r) { return parts + r * lanes; }, lanes, lanes, panel, lanes);
        V sums[2] = {};
        for (int i = 0; i < lanes; ++i) sums[i % 2] += simd::load(panel + i * lanes);
        return sums[0] + sums[1];
    }
};

}  // namespace detail

/// d_x (R, C) (+)=, d_weight (C) +=, d_bias (C) +=; each may be nowhere. Rows are summed in pieces of a fixed size.
template <class T>
void layer_norm_gradient(BasicCpu<T>& cpu, In<T, 2> x, In<T, 1> weight, In<T, 2> dy, Gradient<T> d_x,
                         Gradient<T> d_weight, Gradient<T> d_bias) {
    using namespace simd;
    using V = Vec<T>;
    constexpr int piece = 256;
    const int R = x.extent(0), C = x.extent(1), padded = round_up(C, lanes<T>), pieces = ceil_div(R, piece);
    const auto scope = cpu.scope();
    const auto parts = cpu.scratch(pieces, 2, padded);
    cpu.parallel_for(pieces, 1, [&](std::ptrdiff_t begin, std::ptrdiff_t end, int) {
        for (std::ptrdiff_t p = begin; p < end; ++p) {
            T *weight_sum = parts[p][0].data, *bias_sum = parts[p][1].data;
            std::fill(weight_sum, weight_sum + 2 * padded, T(0));
            const std::ptrdiff_t end_row = std::min<std::ptrdiff_t>(R, (p + 1) * piece);
            for (std::ptrdiff_t first = p * piece; first < end_row; first += lanes<T>) {
                const detail::RowGroup<T> group{C, int(std::min<std::ptrdiff_t>(lanes<T>, end_row - first))};
                const T *in = x.data + first * C, *g = dy.data + first * C;
                const V size = broadcast(T(C));
                alignas(cache_line) T mean[lanes<T>], inverse[lanes<T>], mean_g[lanes<T>], mean_gn[lanes<T>];
                // In the lanes beyond a row x and its mean are 0, and so is all that follows.
                const auto centred = [&](int r, int c, int count) MIA_INLINE_LAMBDA {
                    V means = broadcast(mean[r]);
                    if (count < lanes<T>) {
                        alignas(cache_line) T all[lanes<T>];
                        store(all, means);
                        means = load_first(all, count);
                    }
                    return V(detail::load_some(in + std::ptrdiff_t(r) * C + c, count) - means);
                };
                store(mean, group.sums([&](int r, int c, int count) MIA_INLINE_LAMBDA {
                    return detail::load_some(in + std::ptrdiff_t(r) * C + c, count);
                }) / size);
                const V variance = group.sums([&](int r, int c, int count) MIA_INLINE_LAMBDA {
                    const V d = centred(r, c, count);
                    return V(d * d);
                }) / size;
                store(inverse, broadcast(T(1)) / simd::sqrt(variance + broadcast(T(layer_norm_eps))));
                const auto scaled = [&](int r, int c, int count) MIA_INLINE_LAMBDA {
                    return V(detail::load_some(g + std::ptrdiff_t(r) * C + c, count) *
                             detail::load_some(weight.data + c, count));
                };
                store(mean_g, group.sums(scaled) / size);
                store(mean_gn, group.sums([&](int r, int c, int count) MIA_INLINE_LAMBDA {
                    const V n = centred(r, c, count) * broadcast(inverse[r]);
                    const V d = detail::load_some(g + std::ptrdiff_t(r) * C + c, count);
                    store(weight_sum + c, fma(d, n, load(weight_sum + c)));
                    store(bias_sum + c, load(bias_sum + c) + d);
                    return V(scaled(r, c, count) * n);
                }) / size);
                for (int r = 0; d_x && r < group.rows; ++r) {
                    T* out = d_x.data + (first + r) * C;
                    const V scale = broadcast(inverse[r]), of_g = broadcast(mean_g[r]), of_gn = broadcast(mean_gn[r]);
                    group.each([&](int c, int count) MIA_INLINE_LAMBDA {
                        const V n = centred(r, c, count) * scale;
                        V d = (scaled(r, c, count) - of_g - n * of_gn) * scale;
                        if (!d_x.is_fresh) d += detail::load_some(out + c, count);
                        if (count == lanes<T>)
                            store(out + c, d);
                        else
                            store_first(out + c, d, count);
                    });
                }
            }
        }
    });
    if (d_weight) detail::add_parts(cpu, parts.data, pieces, 2 * padded, 1, C, padded, d_weight.data);
    if (d_bias) detail::add_parts(cpu, parts.data + padded, pieces, 2 * padded, 1, C, padded, d_bias.data);
}

template <class B>
void layer_norm(Tape<B>& tape, In<typename B::Scalar, 2> x, In<typename B::Scalar, 1> weight,
                In<typename B::Scalar, 1> bias, Out<typename B::Scalar, 2> y, RowCount rows = {}) {
    using T = typename B::Scalar;
    layer_norm(tape.backend(), x, weight, bias, y, rows);
    const int M = rows.value ? *rows.value * rows.times : x.extent(0);
    const In<T, 2> used = x.slice(0, M);
    tape.reads(used);
    tape.push(Out<T, 2>(y.slice(0, M)), [=, &tape](View<const T, 2> dy) {
        layer_norm_gradient<T>(tape.backend(), used, weight, dy, tape.whole_gradient(used), tape.gradient(weight),
                               tape.gradient(bias));
    });
}

}  // namespace mia
