#pragma once
#include "mia/ops/layer_norm/layer_norm.hpp"
#include "mia/train/vjp/products.hpp"

// With n = (x - mean) / sqrt(var + eps) and g = d y * weight:
//   d x = (g - mean(g) - n mean(g n)) / sqrt(var + eps);  d weight = sum of d y * n;  d bias = sum of d y.

namespace mia {

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
            for (std::ptrdiff_t r = p * piece; r < std::min<std::ptrdiff_t>(R, (p + 1) * piece); ++r) {
                const T *in = x.data + r * C, *g = dy.data + r * C;
                const T mean = detail::row_sum(in, C, [](V v) MIA_INLINE_LAMBDA { return v; }) / T(C);
                const V means = broadcast(mean);
                const T variance =
                    detail::row_sum(in, C, [&](V v) MIA_INLINE_LAMBDA { return (v - means) * (v - means); }) / T(C);
                const V inverse = broadcast(T(1) / std::sqrt(variance + T(layer_norm_eps)));
                V sums{}, products{};
                const auto each = [&](auto&& f) MIA_INLINE_LAMBDA {
                    int c = 0;
                    for (; c + lanes<T> <= C; c += lanes<T>) f(c, lanes<T>);
                    if (c < C) f(c, C - c);
                };
                each([&](int c, int count) MIA_INLINE_LAMBDA {
                    const V n = (detail::load_some(in + c, count) - means) * inverse,
                            d = detail::load_some(g + c, count);
                    store(weight_sum + c, fma(d, n, load(weight_sum + c)));  // d is 0 beyond the row
                    store(bias_sum + c, load(bias_sum + c) + d);
                    const V scaled = d * detail::load_some(weight.data + c, count);
                    sums += scaled;
                    products = fma(scaled, n, products);
                });
                if (!d_x) continue;
                const V mean_g = broadcast(sum<T>(sums) / T(C)), mean_gn = broadcast(sum<T>(products) / T(C));
                T* out = d_x.data + r * C;
                each([&](int c, int count) MIA_INLINE_LAMBDA {
                    const V n = (detail::load_some(in + c, count) - means) * inverse;
                    const V scaled = detail::load_some(g + c, count) * detail::load_some(weight.data + c, count);
                    V d = (scaled - mean_g - n * mean_gn) * inverse;
                    if (!d_x.is_fresh) d += detail::load_some(out + c, count);
                    if (count == lanes<T>)
                        store(out + c, d);
                    else
                        store_first(out + c, d, count);
                });
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
