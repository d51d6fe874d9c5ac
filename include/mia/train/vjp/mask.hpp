#pragma once
#include <cstdint>
#include <vector>

#include "mia/ops/mask/mask.hpp"
#include "mia/ops/mask/masked_rows.hpp"
#include "mia/ops/training.hpp"
#include "mia/train/vjp/products.hpp"

// Training's mask (MIA-VSR, Sec. 3.3; the straight-through Gumbel estimator):
//   soft = sigmoid((logit + g(U1) - g(U2)) / tau), g(U) = -log(-log(U + e) + e), e = 1e-8;  keep = soft >= 1/2
// is drawn for each token of each window, padded ones too, whose logit is the bias. The gradient is that of soft:
//   d logit = d keep * soft (1 - soft) / tau;  it reaches the predictor's weight and bias, q and previous are detached.
// masked_rows blends: y = keep result + (1 - keep) previous, so d keep = sum over channels of d y (result - previous),
// d result = keep d y, and previous, which is State, gets none.

namespace mia {

namespace detail {

template <class T>
MIA_HOST_DEVICE T gumbel(float uniform) {
    const T epsilon = T(1e-8);
    return -std::log(-std::log(T(uniform) + epsilon) + epsilon);
}

/// Of a token: bias + sum_c weight[c] |q[c] - previous[c]|.
template <class T>
struct MaskLogit {
    View<const T, 2> q, previous;  // (P, C)
    const T *weight, *bias;
    T* logit;
    MIA_HOST_DEVICE void operator()(std::ptrdiff_t p) const {
        const int C = q.extent(1);
        T sum = 0;
        for (int c = 0; c < C; ++c) sum += weight[c] * std::abs(q(p, c) - previous(p, c));
        logit[p] = bias[0] + sum;
    }
};

/// What a mask is cut from. noise: (2, windows, N) uniform numbers; logit: (P), the bias where a token is padding.
template <class T>
struct SoftenMask {
    WindowGrid grid;
    const T *logit, *bias;
    View<const float, 3> noise;
    T* soft;  // (windows, N)
    MIA_HOST_DEVICE void operator()(int w, int n) const {
        const int pixel = grid.pixel(w, n);
        const T noisy = (pixel < 0 ? bias[0] : logit[pixel]) + gumbel<T>(noise(0, w, n)) - gumbel<T>(noise(1, w, n));
        soft[w * grid.window.tokens() + n] = 1 / (1 + std::exp(-noisy / T(gumbel_temperature)));
    }
};
template <class T>
MIA_HOST_DEVICE bool is_kept(T soft) {
    return soft >= T(0.5);
}
/// From windows to pixels.
template <class T>
struct CutMask {
    WindowGrid grid;
    const T* soft;
    std::uint8_t* keep;  // (P)
    T* pixel_soft;       // (P)
    MIA_HOST_DEVICE void operator()(int w, int n) const {
        const int pixel = grid.pixel(w, n);
        if (pixel < 0) return;
        pixel_soft[pixel] = soft[w * grid.window.tokens() + n];
        keep[pixel] = is_kept(pixel_soft[pixel]);
    }
};
template <class T>
struct KeptToken {
    const T* soft;
    MIA_HOST_DEVICE double operator()(std::ptrdiff_t i) const { return is_kept(soft[i]); }
};

/// d of a mask's logits, from d of each pixel's keep and of the share that is kept.
template <class T>
struct MaskLogitGradient {
    WindowGrid grid;
    const T *soft, *d_pixels;
    T d_share;  ///< of each token
    T* d_logit;
    MIA_HOST_DEVICE void operator()(int w, int n) const {
        const int pixel = grid.pixel(w, n), at = w * grid.window.tokens() + n;
        const T d = d_share + (pixel < 0 ? T(0) : d_pixels[pixel]);
        d_logit[at] = d * soft[at] * (1 - soft[at]) / T(gumbel_temperature);
    }
};
/// The sums over some windows that make d of the predictor's weight, c < C, and bias, c = C.
template <class T>
struct PredictorParts {
    static constexpr int windows = 16;  ///< of a part
    WindowGrid grid;
    View<const T, 2> q, previous;
    const T* d_logit;
    View<T, 2> parts;  // (parts, C + 1)
    MIA_HOST_DEVICE void operator()(int part, int c) const {
        const int N = grid.window.tokens(), begin = part * windows;
        const int end = begin + windows < grid.windows() ? begin + windows : grid.windows();
        T sum = 0;
        for (int w = begin; w < end; ++w)
            for (int n = 0; n < N; ++n) {
                const int pixel = grid.pixel(w, n);
                const T d = d_logit[w * N + n];
                if (c == q.extent(1))
                    sum += d;
                else if (pixel >= 0)
                    sum += d * std::abs(q(pixel, c) - previous(pixel, c));
            }
        parts(part, c) = sum;
    }
};
template <class T>
struct AddPredictorParts {
    View<const T, 2> parts;
    Gradient<T> weight, bias;
    MIA_HOST_DEVICE void operator()(std::ptrdiff_t c) const {
        const bool is_bias = c + 1 == parts.extent(1);
        const Gradient<T> d = is_bias ? bias : weight;
        if (!d) return;
        for (int p = 0; p < parts.extent(0); ++p) d.data[is_bias ? 0 : c] += parts(p, c);
    }
};

}  // namespace detail

template <class B>
void predict_mask(Tape<B>& tape, const WindowGrid& grid, In<typename B::Scalar, 2> q,
                  In<typename B::Scalar, 2> previous, In<typename B::Scalar, 2> weight, In<typename B::Scalar, 1> bias,
                  View<std::uint8_t, 1> keep) {
    using T = typename B::Scalar;
    const int windows = grid.windows(), N = grid.window.tokens(), C = q.extent(1), tokens = windows * N;
    const auto soft = tape.scratch(windows, N);
    const auto pixel_soft = tape.scratch(grid.pixels());
    {
        B& backend = tape.backend();
        const auto scope = backend.scope();
        std::vector<float> drawn(static_cast<std::size_t>(2 * tokens));
        tape.draw(drawn);
        const auto noise = backend.template scratch<float>(2, windows, N);
        upload(backend, View<const float, 3>{drawn.data(), {2, windows, N}}, noise);
        const auto logit = backend.scratch(grid.pixels());
        each_element(backend, "predict_mask", grid.pixels(),
                     detail::MaskLogit<T>{q, previous, weight.data, bias.data, logit.data});
        each_in_rows(backend, "predict_mask", windows, N,
                     detail::SoftenMask<T>{grid, logit.data, bias.data, noise, soft.data});
        each_in_rows(backend, "predict_mask", windows, N,
                     detail::CutMask<T>{grid, soft.data, keep.data, pixel_soft.data});
        // Waits, so that the noise may go too.
        tape.count_share(sum_over(backend, "predict_mask", tokens, detail::KeptToken<T>{soft.data}) / tokens);
    }
    tape.set_soft_mask(keep, pixel_soft);
    tape.reads(q);
    tape.reads(soft);
    tape.push_always([=](Tape<B>& t) {
        if (t.share_gradient() == 0 && !t.is_touched(pixel_soft)) return;
        B& backend = t.backend();
        const auto scope = backend.scope();
        const auto d_logit = backend.scratch(windows, N);
        each_in_rows(backend, "predict_mask vjp", windows, N,
                     detail::MaskLogitGradient<T>{grid, soft.data, t.gradient(pixel_soft).data,
                                                  T(t.share_gradient() / tokens), d_logit.data});
        constexpr int of_part = detail::PredictorParts<T>::windows;
        const auto parts = backend.scratch((windows + of_part - 1) / of_part, C + 1);
        each_in_rows(backend, "predict_mask vjp", parts.extent(0), C + 1,
                     detail::PredictorParts<T>{grid, q, previous, d_logit.data, parts});
        each_element(backend, "predict_mask vjp", C + 1,
                     detail::AddPredictorParts<T>{parts, t.gradient(weight), t.gradient(bias)});
        t.forget(pixel_soft);
    });
}

template <class B>
void threshold_mask(Tape<B>& tape, In<typename B::Scalar, 2> q, In<typename B::Scalar, 2> previous, float threshold,
                    View<std::uint8_t, 1> keep) {
    threshold_mask(tape.backend(), q, previous, threshold, keep);
}

namespace detail {

/// y[pixel[r], :] = keep[pixel[r]] ? result[r, :] : previous[pixel[r], :].
template <class T>
struct BlendRows {
    const int* pixel;
    const std::uint8_t* keep;
    const T *result, *previous;
    int C;
    T* y;
    MIA_HOST_DEVICE void operator()(int r, int c) const {
        const std::ptrdiff_t at = std::ptrdiff_t(pixel[r]) * C + c;
        y[at] = keep[pixel[r]] ? result[std::ptrdiff_t(r) * C + c] : previous[at];
    }
};
/// d result (+)= keep d y.
template <class T>
struct AddKeptRows {
    const int* pixel;
    const std::uint8_t* keep;
    const T* dy;
    int C;
    Gradient<T> d;
    MIA_HOST_DEVICE void operator()(int r, int c) const {
        d.add(std::ptrdiff_t(r) * C + c, keep[pixel[r]] ? dy[std::ptrdiff_t(pixel[r]) * C + c] : T(0));
    }
};
/// d keep += sum over channels of d y (result - previous).
template <class T>
struct AddBlendSlope {
    const int* pixel;
    const T *result, *previous, *dy;
    int C;
    T* d;
    MIA_HOST_DEVICE void operator()(std::ptrdiff_t r) const {
        const std::ptrdiff_t at = std::ptrdiff_t(pixel[r]) * C;
        T sum = 0;
        for (int c = 0; c < C; ++c) sum += dy[at + c] * (result[r * C + c] - previous[at + c]);
        d[pixel[r]] += sum;
    }
};

}  // namespace detail

/// On a tape all rows are computed, and blended with those of `kept`, whose new version is a detached copy.
template <class B, class F>
View<const typename B::Scalar, 2> masked_rows(Tape<B>& tape, const ActiveRows& rows, View<const std::uint8_t, 1> keep,
                                              int tokens, int channels, Tensor<typename B::Scalar, 2, Tape<B>>* kept,
                                              F&& f) {
    using T = typename B::Scalar;
    const In<T, 2> result = f();
    const auto y = tape.scratch(tokens, channels);
    if (keep.data) {
        const int R = rows.pixel.extent(0);
        const In<T, 2> previous = kept->view(), used = result.slice(0, R);
        require(R == tokens, "masked_rows: on a tape every token is computed; ", R, " of ", tokens, " are listed");
        const int* pixel = rows.pixel.data;
        each_in_rows(tape.backend(), "masked_rows", R, channels,
                     detail::BlendRows<T>{pixel, keep.data, used.data, previous.data, channels, y.data});
        const auto soft = tape.soft_mask(keep);
        tape.reads(used);
        tape.push(y, [=, &tape](View<const T, 2> dy) {
            if (const auto d = tape.whole_gradient(used))
                each_in_rows(tape.backend(), "masked_rows vjp", R, channels,
                             detail::AddKeptRows<T>{pixel, keep.data, dy.data, channels, d});
            if (const auto d = tape.gradient(soft))
                each_element(tape.backend(), "masked_rows vjp", R,
                             detail::AddBlendSlope<T>{pixel, used.data, previous.data, dy.data, channels, d.data});
        });
    } else {
        scatter_rows(tape, result, rows, y);
    }
    if (kept) {
        kept->resize(tape, tokens, channels);
        copy(tape.backend(), y, kept->view());
    }
    return y;
}

/// With no token masked the map goes over the image as it lies.
template <class B, class F>
View<const typename B::Scalar, 2> masked_map(Tape<B>& tape, const ActiveRows& rows, View<const std::uint8_t, 1> keep,
                                             View<const typename B::Scalar, 2> x,
                                             Tensor<typename B::Scalar, 2, Tape<B>>* kept, F&& f) {
    if (keep.data) return masked_map<Tape<B>>(tape, rows, keep, x, kept, f);
    const auto y = f(x, RowCount{});
    if (kept) {
        kept->resize(tape, x.extent(0), x.extent(1));
        copy(tape.backend(), y, kept->view());
    }
    return y;
}

namespace detail {
/// d (+)= factor x.
template <class T>
struct AddScaled {
    const T* x;
    T factor;
    Gradient<T> d;
    MIA_HOST_DEVICE void operator()(std::ptrdiff_t i) const { d.add(i, factor * x[i]); }
};
}  // namespace detail

/// Stochastic depth: `branch` / (1 - rate), or 0 with a probability of `rate`, the config's largest rate times `depth`.
template <class B>
View<const typename B::Scalar, 2> drop_path(Tape<B>& tape, View<const typename B::Scalar, 2> branch, float depth) {
    using T = typename B::Scalar;
    const float rate = tape.config().drop_path * depth;
    if (rate <= 0) return branch;
    float uniform;
    tape.draw({&uniform, 1});
    const T factor = T(std::floor(1 - rate + uniform) / (1 - rate));
    const auto y = tape.scratch(branch.extent(0), branch.extent(1));
    each_element(tape.backend(), "drop_path", y.size(), detail::AddScaled<T>{branch.data, factor, {y.data, true}});
    tape.push(y, [=, &tape](View<const T, 2> dy) {
        if (const auto d = tape.whole_gradient(branch))
            each_element(tape.backend(), "drop_path vjp", dy.size(), detail::AddScaled<T>{dy.data, factor, d});
    });
    return y;
}

template <class B, int Rank, class State, class Probe, class F>
void checkpoint(Tape<B>& tape, View<typename B::Scalar, Rank> y, State& state, Probe& probe, const F& f) {
    tape.run_checkpointed(y, state, probe, f);
}

template <class B, int Rank>
View<typename B::Scalar, Rank> reused(Tape<B>& tape, View<typename B::Scalar, Rank> view) {
    view.data = tape.scratch(int(view.size())).data;
    return view;
}

}  // namespace mia
