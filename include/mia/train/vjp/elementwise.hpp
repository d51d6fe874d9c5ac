#pragma once
#include "mia/ops/channels/channels.hpp"
#include "mia/ops/elementwise/elementwise.hpp"
#include "mia/train/vjp/products.hpp"

// add: d a = d b = d y.  copy: d x = d y.  fill_zero: nothing.  activate: d x = d y * activation'(x).
// normalize_channels: d x = d y / std (mean and std are constants).  concat_channels: each part gets its channels.
// convert: d x = d y in x's element type.

namespace mia {

namespace detail {

/// Phi(z) + z phi(z), the derivative of z Phi(z). The tail is phi(z) times Mills' ratio, a polynomial in
/// t = 1 / (1 + z / 3); the error is below 2e-7.
MIA_INLINE simd::FloatVec gelu_slope(simd::FloatVec x) {
    using namespace simd;
    constexpr float mills[] = {0.000669657f,   0.327443961f, 0.345266211f,  0.338783739f,
                               -0.0356918114f, 0.655569046f, -0.481682852f, 0.102956194f};
    const FloatVec z = min(abs(x), broadcast(9.0f));
    const FloatVec t = broadcast(1.0f) / fma(z, broadcast(1.0f / 3), broadcast(1.0f));
    const FloatVec density = exp(z * z * broadcast(-0.5f)) * broadcast(0.398942280f);  // phi
    const FloatVec tail = density * polynomial(t, mills);                              // Phi(-z)
    const FloatVec phi_big = x < FloatVec{} ? tail : broadcast(1.0f) - tail;
    return fma(x < FloatVec{} ? -z : z, density, phi_big) + (x - x);
}
MIA_INLINE simd::DoubleVec gelu_slope(simd::DoubleVec x) {
    for (int i = 0; i < simd::lanes<double>; ++i) {
        const double z = x[i];
        x[i] = std::erfc(-z * 0.70710678118654752440) / 2 + z * std::exp(-z * z / 2) * 0.39894228040143267794;
    }
    return x;
}

}  // namespace detail

/// d_x (+)= dy * activation'(x).
template <class T>
void activate_gradient(BasicCpu<T>& cpu, In<T, 2> x, Activation activation, In<T, 2> dy, Gradient<T> d_x) {
    using namespace simd;
    const Vec<T> slope = broadcast(T(negative_slope(activation))), zero{};
    detail::add_each_vector(cpu, x.size(), d_x, [=](std::ptrdiff_t i, int count) {
        const Vec<T> v = detail::load_some(x.data + i, count), g = detail::load_some(dy.data + i, count);
        if (activation == Activation::gelu) return Vec<T>(g * detail::gelu_slope(v));
        return Vec<T>(v > zero ? g : g * slope);  // at 0 as PyTorch does
    });
}

template <class B>
void activate(Tape<B>& tape, In<typename B::Scalar, 2> x, Activation activation, Out<typename B::Scalar, 2> y) {
    using T = typename B::Scalar;
    activate(tape.backend(), x, activation, y);
    tape.reads(x);
    tape.push(y, [=, &tape](View<const T, 2> dy) {
        if (const auto d_x = tape.whole_gradient(x)) activate_gradient(tape.backend(), x, activation, dy, d_x);
    });
}

namespace detail {
/// Whether an op with this epilogue can be undone from its result: the sign of y is the sign of what was activated.
inline bool is_seen_in_result(Activation activation, bool has_residual) {
    return activation == Activation::none || (activation != Activation::gelu && !has_residual);
}
/// The gradient before the activation of an op's epilogue: dy itself or scratch of the backend. y: what was activated,
/// or the result if it is seen there.
template <class T, class B>
In<T, 2> before_activation(B& backend, In<T, 2> y, Activation activation, In<T, 2> dy) {
    if (activation == Activation::none) return dy;
    const auto before = backend.scratch(dy.extent(0), dy.extent(1));
    activate_gradient<T>(backend, y, activation, dy, {before.data, true});
    return before;
}

/// d x (+)= d y / std.
template <class T>
struct AddNormalized {
    const T *dy, *std;
    int C;
    Gradient<T> d;
    MIA_HOST_DEVICE void operator()(std::ptrdiff_t i) const { d.add(i, dy[i] / std[i % C]); }
};
/// d x += the channels of d y from `first` on.
template <class T>
struct AddChannels {
    View<const T, 2> dy;
    int first, width;
    T* d;
    MIA_HOST_DEVICE void operator()(std::ptrdiff_t i) const { d[i] += dy(i / width, first + i % width); }
};
template <class U, class V>
struct AddConverted {
    const V* dy;
    U* d;
    MIA_HOST_DEVICE void operator()(std::ptrdiff_t i) const { d[i] += U(dy[i]); }
};
}  // namespace detail

template <class B>
void add(Tape<B>& tape, In<typename B::Scalar, 2> a, In<typename B::Scalar, 2> b, Out<typename B::Scalar, 2> y) {
    using T = typename B::Scalar;
    add(tape.backend(), a, b, y);
    tape.push(y, [=, &tape](View<const T, 2> dy) {
        for (const auto& input : {a, b}) add_gradient(tape.backend(), dy.data, dy.size(), tape.whole_gradient(input));
    });
}

template <class B>
void copy(Tape<B>& tape, In<typename B::Scalar, 2> x, Out<typename B::Scalar, 2> y) {
    using T = typename B::Scalar;
    copy(tape.backend(), x, y);
    tape.push(y, [=, &tape](View<const T, 2> dy) {
        add_gradient(tape.backend(), dy.data, dy.size(), tape.whole_gradient(x));
    });
}

template <class B, class U, int Rank>
void fill_zero(Tape<B>& tape, View<U, Rank> y) {
    fill_zero(tape.backend(), y);
    tape.push(y, [](View<const U, Rank>) {});
}

template <class B>
void add_flows(Tape<B>& tape, View<const float, 3> a, View<const float, 3> b, View<float, 3> y) {
    add_flows(tape.backend(), a, b, y);
    tape.push(y, [=, &tape](View<const float, 3> dy) {
        for (const auto& input : {a, b})
            if (const auto d = tape.gradient(input)) {
                const View<float, 3> sum{d.data, {dy.extent(0), dy.extent(1), dy.extent(2)}};
                add_flows(tape.backend(), sum, dy, sum);
            }
    });
}

template <class B>
void normalize_channels(Tape<B>& tape, In<typename B::Scalar, 2> x, In<typename B::Scalar, 1> mean,
                        In<typename B::Scalar, 1> std, Out<typename B::Scalar, 2> y) {
    using T = typename B::Scalar;
    normalize_channels(tape.backend(), x, mean, std, y);
    const auto add_scaled = [=](B& backend, const T* dy, Gradient<T> d_x) {
        each_element(backend, "normalize_channels vjp", x.size(),
                     detail::AddNormalized<T>{dy, std.data, x.extent(1), d_x});
    };
    if (x.data == y.data) {  // in place: the gradient changes where it lies
        tape.push_always([=](Tape<B>& t) {
            if (!t.is_touched(x)) return;
            const auto d = t.gradient(x);
            add_scaled(t.backend(), d.data, {d.data, true});
        });
        return;
    }
    tape.push(y, [=, &tape](View<const T, 2> dy) {
        if (const auto d_x = tape.whole_gradient(x)) add_scaled(tape.backend(), dy.data, d_x);
    });
}

template <class B>
void concat_channels(Tape<B>& tape, In<typename B::Scalar, 2> a, In<typename B::Scalar, 2> b,
                     In<typename B::Scalar, 2> c, Out<typename B::Scalar, 2> y) {
    using T = typename B::Scalar;
    concat_channels(tape.backend(), a, b, c, y);
    tape.push(y, [=, &tape](View<const T, 2> dy) {
        int first = 0;
        for (const auto& part : {a, b, c}) {
            if (const auto d = tape.gradient(part))
                each_element(tape.backend(), "concat_channels vjp", part.size(),
                             detail::AddChannels<T>{dy, first, part.extent(1), d.data});
            first += part.extent(1);
        }
    });
}

template <class B, class U, class V>
void convert(Tape<B>& tape, View<U, 2> x, View<V, 2> y) {
    convert(tape.backend(), x, y);
    tape.push(y, [=, &tape](View<const V, 2> dy) {
        if (const auto d_x = tape.gradient(x))
            each_element(tape.backend(), "convert vjp", dy.size(),
                         detail::AddConverted<std::remove_const_t<U>, V>{dy.data, d_x.data});
    });
}

}  // namespace mia
