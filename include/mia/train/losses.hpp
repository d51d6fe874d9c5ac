#pragma once
#include <cmath>
#include <concepts>

#include "mia/ops/flow_warp/flow_warp.hpp"
#include "mia/train/tape.hpp"

namespace mia {

inline constexpr double charbonnier_eps = 1e-6;  ///< the official code's; the paper says 1e-3
inline constexpr double sparsity_weight = 1e-4;
inline constexpr double end_point_eps = 1e-3;    ///< LR pixels: keeps the slope finite where a flow is right
inline constexpr double photometric_eps = 1e-3;  ///< of values in [0, 1]

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

/// Error unless a loss can send its gradient into output.
template <class B, class U, class V, int Rank>
void check_loss(const Tape<B>& tape, View<U, Rank> output, View<V, Rank> target) {
    require(same_shape(output, target) && output.size() > 0, "loss: output ", shape_text(output), " and target ",
            shape_text(target), "; give both one shape, with elements");
    require(
        tape.has_gradient(output),
        "loss: the output does not lie in the tape's memory and would get no gradient; take it from tape.scratch()");
}

/// A loss that is the mean over all elements of value(output - target); slope is its derivative.
template <class B, class U, class V, int Rank, class Value, class Slope>
double mean_loss(Tape<B>& tape, View<U, Rank> output, View<V, Rank> target, double weight, Value value, Slope slope) {
    using T = typename B::Scalar;
    static_assert(std::same_as<std::remove_const_t<U>, T> && std::same_as<std::remove_const_t<V>, T>);
    check_loss(tape, output, target);
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

/// weight * mean over pixels of sqrt(du^2 + dv^2 + eps^2), (du, dv) = flow - target: the end-point error, on which the
/// field trains flow networks (Dosovitskiy et al., "FlowNet", 2015; SpyNet, section 4). flow, target: (H, W, 2) float,
/// pixels.
template <class B>
double end_point_error(Tape<B>& tape, View<const float, 3> flow, View<const float, 3> target, double weight = 1,
                       double eps = end_point_eps) {
    detail::check_loss(tape, flow, target);
    const std::ptrdiff_t pixels = flow.size() / 2;
    const double square = eps * eps;
    const auto length = [=](std::ptrdiff_t p) {
        const double u = double(flow.data[2 * p]) - double(target.data[2 * p]);
        const double v = double(flow.data[2 * p + 1]) - double(target.data[2 * p + 1]);
        return std::sqrt(u * u + v * v + square);
    };
    tape.reads(flow);
    tape.push_always([=](Tape<B>& t) {
        float* d = t.gradient(flow).data;
        t.backend().parallel_for(pixels, 1 << 13, [&](std::ptrdiff_t begin, std::ptrdiff_t end, int) {
            for (std::ptrdiff_t p = begin; p < end; ++p) {
                const double slope = weight / double(pixels) / length(p);
                for (std::ptrdiff_t i = 2 * p; i < 2 * p + 2; ++i)
                    d[i] += float(slope * (double(flow.data[i]) - double(target.data[i])));
            }
        });
    });
    return weight * detail::sum_over(tape.backend(), pixels, length) / double(pixels);
}

/// weight * mean of sqrt(d^2 + eps^2), d = flow_warp(supp, flow) - ref, over the channels of the pixels that `flow`
/// leaves inside the frame (Yu, Harley and Derpanis, "Back to basics: Unsupervised learning of optical flow via
/// brightness constancy and motion smoothness", 2016, section 3; Meister et al., "UnFlow", 2018, for leaving out those
/// that leave). 0 if all leave. ref, supp: (H, W, C); flow: (H, W, 2) float, pixels, from ref to supp.
template <class B>
double photometric_loss(Tape<B>& tape, In<typename B::Scalar, 3> ref, In<typename B::Scalar, 3> supp,
                        View<const float, 3> flow, double weight = 1, double eps = photometric_eps) {
    using T = typename B::Scalar;
    const int H = ref.extent(0), W = ref.extent(1), C = ref.extent(2);
    const View<T, 3> warped = tape.scratch(H, W, C);
    flow_warp(tape, supp, flow, Padding::border, warped);  // reports other shapes
    detail::check_loss(tape, View<const T, 3>(warped), ref);
    require(tape.has_gradient(flow),
            "photometric_loss: the flow does not lie in the tape's memory and would get no gradient; take it from "
            "tape.scratch<float>()");
    const double square = eps * eps;
    const auto stays = [=](std::ptrdiff_t p) {
        const float x = float(p % W) + flow.data[2 * p], y = float(p / W) + flow.data[2 * p + 1];
        return x >= 0 && x <= float(W - 1) && y >= 0 && y <= float(H - 1);
    };
    const std::ptrdiff_t pixels = std::ptrdiff_t(H) * W;
    const double count = detail::sum_over(tape.backend(), pixels, [=](std::ptrdiff_t p) { return double(stays(p)); });
    if (count == 0) return 0;
    const double share = weight / (count * C);
    tape.reads(warped);
    tape.push_always([=](Tape<B>& t) {
        T* d = t.gradient(warped).data;
        t.backend().parallel_for(pixels, 1 << 12, [&](std::ptrdiff_t begin, std::ptrdiff_t end, int) {
            for (std::ptrdiff_t p = begin; p < end; ++p)
                for (std::ptrdiff_t i = p * C; i < (stays(p) ? (p + 1) * C : p * C); ++i) {
                    const T difference = warped.data[i] - ref.data[i];
                    d[i] += T(share) * difference / std::sqrt(difference * difference + T(square));
                }
        });
    });
    return share * detail::sum_over(tape.backend(), pixels, [=](std::ptrdiff_t p) {
               double sum = 0;
               for (std::ptrdiff_t i = p * C; i < (stays(p) ? (p + 1) * C : p * C); ++i) {
                   const double difference = double(warped.data[i]) - double(ref.data[i]);
                   sum += std::sqrt(difference * difference + square);
               }
               return sum;
           });
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
