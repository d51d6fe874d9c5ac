#pragma once
#include <cmath>
#include <concepts>

#include "mia/ops/flow_warp/flow_warp.hpp"
#include "mia/train/each_element.hpp"
#include "mia/train/tape.hpp"

namespace mia {

inline constexpr double charbonnier_eps = 1e-6;  ///< the official code's; the paper says 1e-3
inline constexpr double sparsity_weight = 1e-4;
inline constexpr double end_point_eps = 1e-3;    ///< LR pixels: keeps the slope finite where a flow is right
inline constexpr double photometric_eps = 1e-3;  ///< of values in [0, 1]

namespace detail {

/// Error unless a loss can send its gradient into output.
template <class B, class U, class V, int Rank>
void check_loss(const Tape<B>& tape, View<U, Rank> output, View<V, Rank> target) {
    require(same_shape(output, target) && output.size() > 0, "loss: output ", shape_text(output), " and target ",
            shape_text(target), "; give both one shape, with elements");
    require(
        tape.has_gradient(output),
        "loss: the output does not lie in the tape's memory and would get no gradient; take it from tape.scratch()");
}

// Losses of one element's difference d, and their derivatives.

struct CharbonnierCurve {
    double square;  ///< of eps
    MIA_HOST_DEVICE double value(double d) const { return std::sqrt(d * d + square); }
    template <class T>
    MIA_HOST_DEVICE T slope(T d) const {
        return d / std::sqrt(d * d + T(square));
    }
};
struct AbsoluteCurve {
    MIA_HOST_DEVICE double value(double d) const { return std::abs(d); }
    template <class T>
    MIA_HOST_DEVICE T slope(T d) const {
        return T(d > 0) - T(d < 0);
    }
};
struct SquareCurve {
    MIA_HOST_DEVICE double value(double d) const { return d * d; }
    template <class T>
    MIA_HOST_DEVICE T slope(T d) const {
        return 2 * d;
    }
};

template <class T, class Curve>
struct ValueOfDifference {
    Curve curve;
    const T *a, *b;
    MIA_HOST_DEVICE double operator()(std::ptrdiff_t i) const { return curve.value(double(a[i]) - double(b[i])); }
};
template <class T, class Curve>
struct AddSlopeOfDifference {
    Curve curve;
    T weight;
    const T *a, *b;
    T* d;
    MIA_HOST_DEVICE void operator()(std::ptrdiff_t i) const { d[i] += weight * curve.slope(T(a[i] - b[i])); }
};

/// A loss that is the mean over all elements of curve.value(output - target).
template <class B, class U, class V, int Rank, class Curve>
double mean_loss(Tape<B>& tape, View<U, Rank> output, View<V, Rank> target, double weight, Curve curve) {
    using T = typename B::Scalar;
    static_assert(std::same_as<std::remove_const_t<U>, T> && std::same_as<std::remove_const_t<V>, T>);
    check_loss(tape, output, target);
    const std::ptrdiff_t size = output.size();
    const T *a = output.data, *b = target.data;
    tape.reads(output);
    tape.push_always([=](Tape<B>& t) {
        each_element(t.backend(), "loss", size,
                     AddSlopeOfDifference<T, Curve>{curve, T(weight / double(size)), a, b, t.gradient(output).data});
    });
    return weight * sum_over(tape.backend(), "loss", size, ValueOfDifference<T, Curve>{curve, a, b}) / double(size);
}

/// Of the pixels (H, W) of a flow's loss.
struct FlowError {
    const float *flow, *target;
    double square;  ///< of eps
    MIA_HOST_DEVICE double operator()(std::ptrdiff_t p) const {
        const double u = double(flow[2 * p]) - double(target[2 * p]);
        const double v = double(flow[2 * p + 1]) - double(target[2 * p + 1]);
        return std::sqrt(u * u + v * v + square);
    }
};
struct AddFlowErrorSlope {
    FlowError error;
    double weight;
    float* d;
    MIA_HOST_DEVICE void operator()(std::ptrdiff_t p) const {
        const double slope = weight / error(p);
        for (std::ptrdiff_t i = 2 * p; i < 2 * p + 2; ++i)
            d[i] += float(slope * (double(error.flow[i]) - double(error.target[i])));
    }
};

/// Whether a pixel's flow leads to a place inside the frame, as a number.
struct StaysInside {
    View<const float, 3> flow;
    MIA_HOST_DEVICE double operator()(std::ptrdiff_t p) const {
        const int H = flow.extent(0), W = flow.extent(1);
        const float x = float(p % W) + flow.data[2 * p], y = float(p / W) + flow.data[2 * p + 1];
        return x >= 0 && x <= float(W - 1) && y >= 0 && y <= float(H - 1) ? 1 : 0;
    }
};
template <class T>
struct PhotometricError {
    CharbonnierCurve curve;
    StaysInside stays;
    const T *warped, *ref;
    int C;
    MIA_HOST_DEVICE double operator()(std::ptrdiff_t p) const {
        double sum = 0;
        for (std::ptrdiff_t i = p * C; i < (p + 1) * C; ++i) sum += curve.value(double(warped[i]) - double(ref[i]));
        return stays(p) > 0 ? sum : 0;
    }
};
template <class T>
struct AddPhotometricSlope {
    PhotometricError<T> error;
    T weight;
    T* d;
    MIA_HOST_DEVICE void operator()(std::ptrdiff_t p) const {
        const int C = error.stays(p) > 0 ? error.C : 0;
        for (std::ptrdiff_t i = p * error.C; i < p * error.C + C; ++i)
            d[i] += weight * error.curve.slope(T(error.warped[i] - error.ref[i]));
    }
};

}  // namespace detail

/// Each loss returns its value, `weight` included, and sends its gradient into `output` when the tape plays backwards.
/// Losses add up. output, target: the same shape; output lies in the tape's memory.

/// weight * mean of sqrt(d^2 + eps^2).
template <class B, class U, class V, int Rank>
double charbonnier_loss(Tape<B>& tape, View<U, Rank> output, View<V, Rank> target, double weight = 1,
                        double eps = charbonnier_eps) {
    return detail::mean_loss(tape, output, target, weight, detail::CharbonnierCurve{eps * eps});
}

/// weight * mean of |d|; the slope at 0 is 0.
template <class B, class U, class V, int Rank>
double l1_loss(Tape<B>& tape, View<U, Rank> output, View<V, Rank> target, double weight = 1) {
    return detail::mean_loss(tape, output, target, weight, detail::AbsoluteCurve{});
}

/// weight * mean of d^2.
template <class B, class U, class V, int Rank>
double mse_loss(Tape<B>& tape, View<U, Rank> output, View<V, Rank> target, double weight = 1) {
    return detail::mean_loss(tape, output, target, weight, detail::SquareCurve{});
}

/// weight * mean over pixels of sqrt(du^2 + dv^2 + eps^2), (du, dv) = flow - target: the end-point error, on which the
/// field trains flow networks (Dosovitskiy et al., "FlowNet", 2015; SpyNet, section 4). flow, target: (H, W, 2) float,
/// pixels.
template <class B>
double end_point_error(Tape<B>& tape, View<const float, 3> flow, View<const float, 3> target, double weight = 1,
                       double eps = end_point_eps) {
    detail::check_loss(tape, flow, target);
    const std::ptrdiff_t pixels = flow.size() / 2;
    const detail::FlowError error{flow.data, target.data, eps * eps};
    tape.reads(flow);
    tape.push_always([=](Tape<B>& t) {
        each_element(t.backend(), "end_point_error", pixels,
                     detail::AddFlowErrorSlope{error, weight / double(pixels), t.gradient(flow).data});
    });
    return weight * sum_over(tape.backend(), "end_point_error", pixels, error) / double(pixels);
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
    const std::ptrdiff_t pixels = std::ptrdiff_t(H) * W;
    const detail::PhotometricError<T> error{{eps * eps}, {flow}, warped.data, ref.data, C};
    const double count = sum_over(tape.backend(), "photometric_loss", pixels, error.stays);
    if (count == 0) return 0;
    const double share = weight / (count * C);
    tape.reads(warped);
    tape.push_always([=](Tape<B>& t) {
        each_element(t.backend(), "photometric_loss", pixels,
                     detail::AddPhotometricSlope<T>{error, T(share), t.gradient(warped).data});
    });
    return share * sum_over(tape.backend(), "photometric_loss", pixels, error);
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
