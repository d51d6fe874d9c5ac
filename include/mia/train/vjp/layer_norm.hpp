#pragma once
#include "mia/ops/layer_norm/layer_norm.hpp"
#include "mia/train/vjp/products.hpp"

// With n = (x - mean) / sqrt(var + eps) and g = d y * weight:
//   d x = (g - mean(g) - n mean(g n)) / sqrt(var + eps);  d weight = sum of d y * n;  d bias = sum of d y.

namespace mia {

namespace detail {

/// Lane i is lane F::from(i) of a and b, one behind the other. (Spelled out: nvcc loses a pack here.)
template <class F, class V>
MIA_INLINE V shuffled(V a, V b) {
    if constexpr (F::lanes == 2)
        return __builtin_shufflevector(a, b, F::from(0), F::from(1));
    else if constexpr (F::lanes == 4)
        return __builtin_shufflevector(a, b, F::from(0), F::from(1), F::from(2), F::from(3));
    else if constexpr (F::lanes == 8)
        return __builtin_shufflevector(a, b, F::from(0), F::from(1), F::from(2), F::from(3), F::from(4), F::from(5),
                                       F::from(6), F::from(7));
    else
        return __builtin_shufflevector(a, b, F::from(0), F::from(1), F::from(2), F::from(3), F::from(4), F::from(5),
                                       F::from(6), F::from(7), F::from(8), F::from(9), F::from(10), F::from(11),
                                       F::from(12), F::from(13), F::from(14), F::from(15));
}
/// Lanes without the bit `Step` are the first vector's, the others the second's; of both halves of these lanes one.
template <int Lanes, int Step, bool OtherHalf>
struct FoldedFrom {
    static constexpr int lanes = Lanes;
    static constexpr int from(int lane) {
        const bool is_second = lane & Step;
        return (is_second ? Lanes + lane - Step : lane) + (OtherHalf ? Step : 0);
    }
};
/// Halves of two vectors are added at a time.
template <class T, int Step>
MIA_INLINE void fold_vectors(simd::Vec<T>* v) {
    constexpr int lanes = simd::lanes<T>;
#pragma GCC unroll 8
    for (int i = 0; i < Step; ++i)
        v[i] = shuffled<FoldedFrom<lanes, Step, false>>(v[i], v[i + Step]) +
               shuffled<FoldedFrom<lanes, Step, true>>(v[i], v[i + Step]);
}
/// One vector of the sums of the vectors' lanes, v[i]'s in lane i.
template <class T>
MIA_INLINE simd::Vec<T> sums_of_lanes(simd::Vec<T> (&v)[simd::lanes<T>]) {
    constexpr int lanes = simd::lanes<T>;
    if constexpr (lanes == 16) fold_vectors<T, 8>(v);
    if constexpr (lanes >= 8) fold_vectors<T, 4>(v);
    if constexpr (lanes >= 4) fold_vectors<T, 2>(v);
    fold_vectors<T, 1>(v);
    return v[0];
}

/// Rows of a matrix that are normed together, one for each lane: their sums become one vector.
template <class T>
struct RowGroup {
    static constexpr int lanes = simd::lanes<T>;
    using V = simd::Vec<T>;

    int C, rows;

    /// The lanes of a vector: the sums over row r of f(r, c, count), which is 0 from lane `count` on.
    template <class F>
    MIA_INLINE V sums(F f) const {
        V parts[lanes] = {};
        for (int r = 0; r < rows; ++r) {
            V sum{};
            each([&](int c, int count) MIA_INLINE_LAMBDA { sum += f(r, c, count); });
            parts[r] = sum;
        }
        return sums_of_lanes<T>(parts);
    }
    /// f(c, count) for the vectors of a row.
    template <class F>
    MIA_INLINE void each(F&& f) const {
        int c = 0;
        for (; c + lanes <= C; c += lanes) f(c, lanes);
        if (c < C) f(c, C - c);
    }
    /// x[r, c ...] - mean[r]; in the lanes beyond a row all is 0.
    MIA_INLINE V centred(const T* x, const T* mean, int r, int c, int count) const {
        V means = simd::broadcast(mean[r]);
        if (count < lanes) {
            alignas(cache_line) T all[lanes];
            simd::store(all, means);
            means = simd::load_first(all, count);
        }
        return load_some(x + std::ptrdiff_t(r) * C + c, count) - means;
    }
};

}  // namespace detail

/// y of layer_norm, and what the gradient needs: statistics (2, R), each row's mean and 1 / sqrt(var + eps).
template <class T>
void layer_norm_with_statistics(BasicCpu<T>& cpu, In<T, 2> x, In<T, 1> weight, In<T, 1> bias, Out<T, 2> y,
                                Out<T, 2> statistics) {
    using namespace simd;
    using V = Vec<T>;
    const int R = statistics.extent(1), C = x.extent(1);
    cpu.parallel_for(R, 256, [&](std::ptrdiff_t begin, std::ptrdiff_t end, int) {
        for (std::ptrdiff_t first = begin; first < end; first += lanes<T>) {
            const detail::RowGroup<T> group{C, int(std::min<std::ptrdiff_t>(lanes<T>, end - first))};
            const T* in = x.data + first * C;
            alignas(cache_line) T mean[lanes<T>], inverse[lanes<T>];
            const V size = broadcast(T(C));
            store(mean, group.sums([&](int r, int c, int count) MIA_INLINE_LAMBDA {
                return detail::load_some(in + std::ptrdiff_t(r) * C + c, count);
            }) / size);
            const V variance = group.sums([&](int r, int c, int count) MIA_INLINE_LAMBDA {
                const V d = group.centred(in, mean, r, c, count);
                return V(d * d);
            }) / size;
            store(inverse, broadcast(T(1)) / simd::sqrt(variance + broadcast(T(layer_norm_eps))));
            for (int r = 0; r < group.rows; ++r)
                group.each([&](int c, int count) MIA_INLINE_LAMBDA {
                    const V n = group.centred(in, mean, r, c, count) * broadcast(inverse[r]);
                    detail::store_some(
                        y.data + (first + r) * C + c,
                        fma(n, detail::load_some(weight.data + c, count), detail::load_some(bias.data + c, count)),
                        count);
                });
            std::copy_n(mean, group.rows, &statistics(0, first));
            std::copy_n(inverse, group.rows, &statistics(1, first));
        }
    });
}

/// d_x (R, C) (+)=, d_weight (C) +=, d_bias (C) +=; each may be nowhere. Rows are summed in pieces of a fixed size.
/// statistics: of the forward pass.
template <class T>
void layer_norm_gradient(BasicCpu<T>& cpu, In<T, 2> x, In<T, 1> weight, In<T, 2> statistics, In<T, 2> dy,
                         Gradient<T> d_x, Gradient<T> d_weight, Gradient<T> d_bias) {
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
                const T *mean = &statistics(0, first), *inverse = &statistics(1, first);
                if (first + lanes<T> < end_row) {
                    simd::fetch(in + lanes<T> * C, lanes<T> * C);
                    if (d_x) simd::fetch(d_x.data + (first + lanes<T>)*C, lanes<T> * C);
                }
                alignas(cache_line) T mean_g[lanes<T>], mean_gn[lanes<T>];
                const auto normed = [&](int r, int c, int count) MIA_INLINE_LAMBDA {
                    return V(group.centred(in, mean, r, c, count) * broadcast(inverse[r]));
                };
                const auto scaled = [&](int r, int c, int count) MIA_INLINE_LAMBDA {
                    return V(detail::load_some(g + std::ptrdiff_t(r) * C + c, count) *
                             detail::load_some(weight.data + c, count));
                };
                const V size = broadcast(T(C));
                store(mean_g, group.sums(scaled) / size);
                store(mean_gn, group.sums([&](int r, int c, int count) MIA_INLINE_LAMBDA {
                    return V(scaled(r, c, count) * normed(r, c, count));
                }) / size);
                group.each([&](int c, int count) MIA_INLINE_LAMBDA {
                    V of_weight = load(weight_sum + c), of_bias = load(bias_sum + c);
                    for (int r = 0; r < group.rows; ++r) {
                        const V d = detail::load_some(g + std::ptrdiff_t(r) * C + c, count), n = normed(r, c, count);
                        of_weight = fma(d, n, of_weight);
                        of_bias += d;
                        if (!d_x) continue;
                        const V s = V(d * detail::load_some(weight.data + c, count)) - broadcast(mean_g[r]);
                        T* to = d_x.data + (first + r) * C + c;
                        V sum = (s - n * broadcast(mean_gn[r])) * broadcast(inverse[r]);
                        if (!d_x.is_fresh) sum += detail::load_some(to, count);
                        detail::store_some(to, sum, count);
                    }
                    store(weight_sum + c, of_weight);
                    store(bias_sum + c, of_bias);
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
    const int M = tape.computed(rows, x.extent(0));
    const In<T, 2> used = x.slice(0, M);
    const auto statistics = tape.scratch(2, M);
    layer_norm_with_statistics<T>(tape.backend(), used, weight, bias, y, statistics);
    tape.reads(used);
    tape.push(Out<T, 2>(y.slice(0, M)), [=, &tape](View<const T, 2> dy) {
        layer_norm_gradient<T>(tape.backend(), used, weight, statistics, dy, tape.whole_gradient(used),
                               tape.gradient(weight), tape.gradient(bias));
    });
}

}  // namespace mia
