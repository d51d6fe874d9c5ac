#pragma once
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
T gumbel(float uniform) {
    constexpr T epsilon = T(1e-8);
    return -std::log(-std::log(T(uniform) + epsilon) + epsilon);
}
}  // namespace detail

/// soft (windows, N): what a mask is cut from. noise: (2, windows, N) uniform numbers; logit: (P), at the bias where a
/// token is padding.
template <class T>
void soften_mask(BasicCpu<T>& cpu, const WindowGrid& grid, In<T, 1> logit, T bias, View<const float, 3> noise,
                 Out<T, 2> soft) {
    const int N = grid.window.tokens();
    cpu.parallel_for(grid.windows(), 4, [&](std::ptrdiff_t begin, std::ptrdiff_t end, int) {
        for (std::ptrdiff_t at = begin * N; at < end * N; ++at) {
            const int w = int(at / N), n = int(at % N);
            const int pixel = grid.pixel(w, n);
            const T noisy = (pixel < 0 ? bias : logit[pixel]) + detail::gumbel<T>(noise(0, w, n)) -
                            detail::gumbel<T>(noise(1, w, n));
            soft(w, n) = 1 / (1 + std::exp(-noisy / T(gumbel_temperature)));
        }
    });
}

/// d_weight (1, C) and d_bias (1) += the gradient of the mask. d_soft: (windows, N), d of each token's keep.
template <class T>
void predict_mask_gradient(const WindowGrid& grid, In<T, 2> q, In<T, 2> previous, In<T, 2> soft, In<T, 2> d_soft,
                           Gradient<T> d_weight, Gradient<T> d_bias) {
    const int N = grid.window.tokens(), C = q.extent(1);
    for (int w = 0; w < grid.windows(); ++w)
        for (int n = 0; n < N; ++n) {
            const int pixel = grid.pixel(w, n);
            const T d_logit = d_soft(w, n) * soft(w, n) * (1 - soft(w, n)) / T(gumbel_temperature);
            if (d_bias) d_bias.data[0] += d_logit;
            if (pixel < 0 || !d_weight) continue;
            const T *a = q.data + std::ptrdiff_t(pixel) * C, *b = previous.data + std::ptrdiff_t(pixel) * C;
            for (int c = 0; c < C; ++c) d_weight.data[c] += d_logit * std::abs(a[c] - b[c]);
        }
}

template <class B>
void predict_mask(Tape<B>& tape, const WindowGrid& grid, In<typename B::Scalar, 2> q,
                  In<typename B::Scalar, 2> previous, In<typename B::Scalar, 2> weight, In<typename B::Scalar, 1> bias,
                  View<std::uint8_t, 1> keep) {
    using T = typename B::Scalar;
    const int windows = grid.windows(), N = grid.window.tokens(), C = q.extent(1);
    const auto noise = tape.template scratch<float>(2, windows, N);
    tape.draw({noise.data, std::size_t(noise.size())});
    const auto logit = tape.scratch(grid.pixels());
    tape.backend().parallel_for(grid.pixels(), 512, [&](std::ptrdiff_t begin, std::ptrdiff_t end, int) {
        for (std::ptrdiff_t p = begin; p < end; ++p)
            logit[p] = bias[0] + detail::weighted_change<T>(q.data + p * C, previous.data + p * C, weight.data, C);
    });
    const auto soft = tape.scratch(windows, N);
    const auto pixel_soft = tape.scratch(grid.pixels());
    soften_mask<T>(tape.backend(), grid, logit, bias[0], noise, soft);
    double kept = 0;
    for (int w = 0; w < windows; ++w)
        for (int n = 0; n < N; ++n) {
            const bool keeps = soft(w, n) >= T(0.5);
            kept += keeps;
            const int pixel = grid.pixel(w, n);
            if (pixel < 0) continue;
            keep[pixel] = keeps;
            pixel_soft[pixel] = soft(w, n);
        }
    const double tokens = double(windows) * N;
    tape.count_share(kept / tokens);
    tape.set_soft_mask(keep, pixel_soft);
    tape.reads(q);
    tape.reads(soft);
    tape.push_always([=](Tape<B>& t) {
        if (t.share_gradient() == 0 && !t.is_touched(pixel_soft)) return;
        const auto d_pixels = t.gradient(pixel_soft);
        const auto scope = t.backend().scope();
        const auto d_soft = t.backend().scratch(windows, N);
        for (int w = 0; w < windows; ++w)
            for (int n = 0; n < N; ++n) {
                const int pixel = grid.pixel(w, n);
                d_soft(w, n) = T(t.share_gradient() / tokens) + (pixel < 0 ? T(0) : d_pixels.data[pixel]);
            }
        predict_mask_gradient<T>(grid, q, previous, soft, d_soft, t.gradient(weight), t.gradient(bias));
        t.forget(pixel_soft);
    });
}

template <class B>
void threshold_mask(Tape<B>& tape, In<typename B::Scalar, 2> q, In<typename B::Scalar, 2> previous, float threshold,
                    View<std::uint8_t, 1> keep) {
    threshold_mask(tape.backend(), q, previous, threshold, keep);
}

/// y[pixel[r], :] = keep[pixel[r]] ? result[r, :] : previous[pixel[r], :].
template <class T>
void blend_rows(BasicCpu<T>& cpu, const ActiveRows& rows, View<const std::uint8_t, 1> keep, In<T, 2> result,
                In<T, 2> previous, Out<T, 2> y) {
    const int C = y.extent(1);
    cpu.parallel_for(rows.counts[0], 512, [&](std::ptrdiff_t begin, std::ptrdiff_t end, int) {
        for (std::ptrdiff_t r = begin; r < end; ++r) {
            const std::ptrdiff_t pixel = rows.pixel[r];
            const T* from = keep[pixel] ? result.data + r * C : previous.data + pixel * C;
            std::memcpy(y.data + pixel * C, from, std::size_t(C) * sizeof(T));
        }
    });
}

/// d_result (R, C) (+)=, d_keep (P) +=; each may be nowhere.
template <class T>
void blend_rows_gradient(BasicCpu<T>& cpu, const ActiveRows& rows, View<const std::uint8_t, 1> keep, In<T, 2> result,
                         In<T, 2> previous, In<T, 2> dy, Gradient<T> d_result, Gradient<T> d_keep) {
    const int C = dy.extent(1);
    cpu.parallel_for(rows.counts[0], 512, [&](std::ptrdiff_t begin, std::ptrdiff_t end, int) {
        for (std::ptrdiff_t r = begin; r < end; ++r) {
            const std::ptrdiff_t pixel = rows.pixel[r];
            const T *g = dy.data + pixel * C, *a = result.data + r * C, *b = previous.data + pixel * C;
            const T kept = keep[pixel] ? T(1) : T(0);
            T sum = 0;
            for (int c = 0; c < C; ++c) {
                sum += g[c] * (a[c] - b[c]);
                if (d_result)
                    d_result.data[r * C + c] = kept * g[c] + (d_result.is_fresh ? T(0) : d_result.data[r * C + c]);
            }
            if (d_keep) d_keep.data[pixel] += sum;
        }
    });
}

/// On a tape all rows are computed, and blended with those of `kept`, whose new version is a detached copy.
template <class B, class F>
View<const typename B::Scalar, 2> masked_rows(Tape<B>& tape, const ActiveRows& rows, View<const std::uint8_t, 1> keep,
                                              int tokens, int channels, Tensor<typename B::Scalar, 2, Tape<B>>* kept,
                                              F&& f) {
    using T = typename B::Scalar;
    const In<T, 2> result = f();
    const auto y = tape.scratch(tokens, channels);
    if (keep.data) {
        const In<T, 2> previous = kept->view(), used = result.slice(0, rows.counts[0]);
        require(rows.counts[0] == tokens, "masked_rows: on a tape every token is computed; ", rows.counts[0], " of ",
                tokens, " are listed");
        blend_rows<T>(tape.backend(), rows, keep, used, previous, y);
        const auto soft = tape.soft_mask(keep);
        tape.reads(used);
        tape.push(y, [=, &tape](View<const T, 2> dy) {
            blend_rows_gradient<T>(tape.backend(), rows, keep, used, previous, dy, tape.whole_gradient(used),
                                   tape.gradient(soft));
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
    detail::add_each_vector<T>(tape.backend(), y.size(), {y.data, true}, [=](std::ptrdiff_t i, int count) {
        return simd::Vec<T>(detail::load_some(branch.data + i, count) * simd::broadcast(factor));
    });
    tape.push(y, [=, &tape](View<const T, 2> dy) {
        if (const auto d = tape.whole_gradient(branch))
            detail::add_each_vector<T>(tape.backend(), dy.size(), d, [=](std::ptrdiff_t i, int count) {
                return simd::Vec<T>(detail::load_some(dy.data + i, count) * simd::broadcast(factor));
            });
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
