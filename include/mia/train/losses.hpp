#pragma once
#include <cmath>
#include <concepts>

#include "mia/train/tape.hpp"

namespace mia {

inline constexpr double charbonnier_eps = 1e-6;  ///< the official code's; the paper says 1e-3
inline constexpr double sparsity_weight = 1e-4;

namespace detail {

/// Sum over i of value(i), in pieces of a fixed size, in double.
template <class T, class F>
double sum_over(BasicCpu<T>& cpu, std::ptrdiff_t size, F value) {
    constexpr std::ptrdiff_t piece = 1 << 14;
    const auto scope = cpu.scope();
    const auto parts = cpu.template scratch<double>(int(simd::ceil_div(size, piece)));
    cpu.parallel_for(size, piece, [&](std::ptrdiff_t begin, std::ptrdiff_t end, int) {
        double sum = 0;
        for (std::ptrdiff_t i = begin; i < end; ++i) sum += value(i);
        parts[begin / piece] = sum;
    });
    double sum = 0;
    for (std::ptrdiff_t i = 0; i < parts.extent(0); ++i) sum += parts[i];
    return sum;
}

/// A loss that is the mean over all elements of value(output - target); slope is its derivative.
template <class B, class U, class V, int Rank, class Value, class Slope>
double mean_loss(Tape<B>& tape, View<U, Rank> output, View<V, Rank> target, double weight, Value value, Slope slope) {
    using T = typename B::Scalar;
    static_assert(std::same_as<std::remove_const_t<U>, T> && std::same_as<std::remove_const_t<V>, T>);
    require(same_shape(output, target) && output.size() > 0, "loss: output ", shape_text(output), " and target ",
            shape_text(target), "; give both one shape, with elements");
    require(
        tape.has_gradient(output),
        "loss: the output does not lie in the tape's memory and would get no gradient; take it from tape.scratch()");
    const std::ptrdiff_t size = output.size();
    const T *a = output.data, *b = target.data;
    tape.reads(output);
    tape.push_always([=](Tape<B>& t) {
        const auto d = t.gradient(output);
        t.backend().parallel_for(size, 1 << 14, [&](std::ptrdiff_t begin, std::ptrdiff_t end, int) {
            for (std::ptrdiff_t i = begin; i < end; ++i) d.data[i] += T(weight / double(size)) * slope(T(a[i] - b[i]));
        });
    });
    const double sum =
        sum_over(tape.backend(), size, [=](std::ptrdiff_t i) { return value(double(a[i]) - double(b[i])); });
    return weight * sum / double(size);
}

}  // namespace detail

/// Each loss returns its value, `weight` included, and sends its gradient into `output` when the tape plays backwards.
/// Losses add up. output, target: the same shape; output lies in the tape's memory.

/// weight * mean of sqrt(d^2 + eps^2).
template <class B, class U, class V, int Rank>
double charbonnier_loss(Tape<B>& tape, View<U, Rank> output, View<V, Rank> target, double weight = 1,
                        double eps = charbonnier_eps) {
    using T = typename B::Scalar;
    const double square = eps * eps;
    return detail::mean_loss(
        tape, output, target, weight, [=](double d) { return std::sqrt(d * d + square); },
        [=](T d) { return d / std::sqrt(d * d + T(square)); });
}

/// weight * mean of |d|; the slope at 0 is 0.
template <class B, class U, class V, int Rank>
double l1_loss(Tape<B>& tape, View<U, Rank> output, View<V, Rank> target, double weight = 1) {
    using T = typename B::Scalar;
    return detail::mean_loss(
        tape, output, target, weight, [](double d) { return std::abs(d); }, [](T d) { return T(d > 0) - T(d < 0); });
}

/// weight * mean of d^2.
template <class B, class U, class V, int Rank>
double mse_loss(Tape<B>& tape, View<U, Rank> output, View<V, Rank> target, double weight = 1) {
    using T = typename B::Scalar;
    return detail::mean_loss(
        tape, output, target, weight, [](double d) { return d * d; }, [](T d) { return 2 * d; });
}

/// weight * mean over the masked blocks of this step of the share of tokens that they keep, which teaches the masks to
/// keep few. 0 if no block had a mask. After forward().
template <class B>
double sparsity_loss(Tape<B>& tape, double weight = sparsity_weight) {
    const MaskShare share = tape.mask_share();
    if (share.blocks == 0) return 0;
    tape.add_share_gradient(weight / share.blocks);
    return weight * share.mean();
}

}  // namespace mia
