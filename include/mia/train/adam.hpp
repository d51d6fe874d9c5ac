#pragma once
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <numbers>
#include <vector>

#include "mia/ops/elementwise/elementwise.hpp"
#include "mia/train/each_element.hpp"

namespace mia {

struct AdamConfig {
    double beta1 = 0.9, beta2 = 0.99;  ///< the paper's
    double eps = 1e-8;
    double weight_decay = 0;  ///< decoupled from the gradient (AdamW): p -= learning_rate * weight_decay * p
};

/// Numbers begin ... end - 1 of a flat buffer.
struct ParameterRange {
    std::ptrdiff_t begin = 0, end = 0;
};

namespace detail {

/// One step of Adam for parameter i.
template <class T>
struct AdamUpdate {
    T b1, b2, rest1, rest2, rate, correction, eps, decay;
    const T* gradients;
    T *m, *v, *parameters;
    std::ptrdiff_t begin;
    MIA_HOST_DEVICE void operator()(std::ptrdiff_t at) const {
        const std::ptrdiff_t i = begin + at;
        const T g = gradients[i];
        m[i] = b1 * m[i] + rest1 * g;
        v[i] = b2 * v[i] + rest2 * g * g;
        parameters[i] = decay * parameters[i] - rate * m[i] / (std::sqrt(v[i] * correction) + eps);
    }
};
template <class T>
struct SquareOf {
    const T* x;
    MIA_HOST_DEVICE double operator()(std::ptrdiff_t i) const { return double(x[i]) * double(x[i]); }
};
template <class T>
struct ScaleBy {
    T factor;
    T* x;
    MIA_HOST_DEVICE void operator()(std::ptrdiff_t i) const { x[i] *= factor; }
};
template <class T>
struct AverageWith {
    T keep, add;
    const T* x;
    T* average;
    MIA_HOST_DEVICE void operator()(std::ptrdiff_t i) const { average[i] = keep * average[i] + add * x[i]; }
};

}  // namespace detail

/// Adam (Kingma and Ba 2015) over one flat buffer of parameters:
///   m = beta1 m + (1 - beta1) g,  v = beta2 v + (1 - beta2) g^2,
///   p -= learning_rate * (m / (1 - beta1^t)) / (sqrt(v / (1 - beta2^t)) + eps)
/// m and v are part of what a training run must save to go on later. All buffers lie in B's memory.
template <class T, class B = BasicCpu<T>>
class Adam {
public:
    explicit Adam(std::ptrdiff_t parameters, AdamConfig config = {}) requires(B::memory_is_host)
        : config_(config), first_(int(parameters)), second_(int(parameters)) {
        std::fill(first_.data(), first_.data() + parameters, T(0));
        std::fill(second_.data(), second_.data() + parameters, T(0));
    }
    Adam(B& backend, std::ptrdiff_t parameters, AdamConfig config = {}) : config_(config) {
        for (auto* moment : {&first_, &second_}) {
            moment->resize(backend, parameters);
            fill_zero(backend, moment->view());
        }
    }

    /// Changes the parameters; prepare() the model afterwards.
    void step(B& backend, View<T, 1> parameters, View<const T, 1> gradients, double learning_rate) {
        step(backend, parameters, gradients, learning_rate, {{0, parameters.size()}});
    }
    /// Changes those in the ranges only.
    void step(B& backend, View<T, 1> parameters, View<const T, 1> gradients, double learning_rate,
              const std::vector<ParameterRange>& ranges) {
        require(parameters.size() == first_.size() && gradients.size() == first_.size(), "Adam: made for ",
                first_.size(), " parameters, given ", parameters.size(), " and ", gradients.size(), " gradients");
        ++steps_;
        detail::AdamUpdate<T> update{.b1 = T(config_.beta1),
                                     .b2 = T(config_.beta2),
                                     .rest1 = T(1 - config_.beta1),
                                     .rest2 = T(1 - config_.beta2),
                                     .rate = T(learning_rate / (1 - std::pow(config_.beta1, double(steps_)))),
                                     .correction = T(1 / (1 - std::pow(config_.beta2, double(steps_)))),
                                     .eps = T(config_.eps),
                                     .decay = T(1 - learning_rate * config_.weight_decay),
                                     .gradients = gradients.data,
                                     .m = first_.data(),
                                     .v = second_.data(),
                                     .parameters = parameters.data,
                                     .begin = 0};
        for (const ParameterRange& range : ranges) {
            update.begin = range.begin;
            each_element(backend, "adam", range.end - range.begin, update);
        }
    }

    const AdamConfig& config() const { return config_; }
    std::int64_t steps() const { return steps_; }
    /// To go on from a saved run.
    void set_steps(std::int64_t steps) { steps_ = steps; }
    View<T, 1> first_moment() { return first_; }
    View<T, 1> second_moment() { return second_; }

private:
    AdamConfig config_;
    Tensor<T, 1, B> first_, second_;
    std::int64_t steps_ = 0;
};

/// The Euclidean norm, summed in double in pieces of a fixed size. Waits for the backend.
template <class B>
double norm(B& backend, In<typename B::Scalar, 1> x) {
    return std::sqrt(sum_over(backend, "norm", x.size(), detail::SquareOf<typename B::Scalar>{x.data}));
}

/// Scales gradients whose norm exceeds `largest` down to it; returns the norm before. (A norm that is not finite is
/// returned and nothing is scaled: skip such a step.)
template <class B>
double clip_norm(B& backend, Out<typename B::Scalar, 1> gradients, double largest) {
    using T = typename B::Scalar;
    require(largest > 0, "clip_norm: a largest norm of ", largest, " was given; it must be positive");
    const double length = norm(backend, gradients);
    if (!(length > largest) || !std::isfinite(length)) return length;
    each_element(backend, "clip_norm", gradients.size(), detail::ScaleBy<T>{T(largest / length), gradients.data});
    return length;
}

/// The exponential moving average of the parameters: average = decay * average + (1 - decay) * parameters.
template <class T, class B = BasicCpu<T>>
class MovingAverage {
public:
    explicit MovingAverage(View<const T, 1> parameters, double decay = 0.999) requires(B::memory_is_host)
        : decay_(checked(decay)), average_(parameters.extent(0)) {
        std::copy(parameters.data, parameters.data + parameters.size(), average_.data());
    }
    MovingAverage(B& backend, View<const T, 1> parameters, double decay = 0.999) : decay_(checked(decay)) {
        average_.resize(backend, parameters.extent(0));
        copy(backend, parameters.reshape(1, parameters.extent(0)), this->parameters().reshape(1, parameters.extent(0)));
    }
    void update(B& backend, View<const T, 1> parameters) {
        each_element(backend, "moving_average", average_.size(),
                     detail::AverageWith<T>{T(decay_), T(1 - decay_), parameters.data, average_.data()});
    }
    View<T, 1> parameters() { return average_; }

private:
    static double checked(double decay) {
        require(decay >= 0 && decay < 1, "MovingAverage: a decay of ", decay, " was given; it must lie in [0, 1)");
        return decay;
    }

    double decay_;
    Tensor<T, 1, B> average_;
};

/// One period of a cosine from `learning_rate` down to `least`, after a linear warm-up from 0.
struct CosineSchedule {
    double learning_rate = 2e-4;
    double least = 1e-7;
    std::int64_t iterations = 600000;  ///< all, warm-up included
    std::int64_t warm_up = 0;

    /// For iteration 1, 2, ..., iterations; `least` beyond.
    double at(std::int64_t iteration) const {
        const std::int64_t done = iteration - 1;
        if (done < warm_up) return learning_rate * double(done + 1) / double(warm_up);
        if (done >= iterations) return least;
        const double share = double(done - warm_up) / double(iterations - warm_up);
        return least + (learning_rate - least) / 2 * (1 + std::cos(std::numbers::pi * share));
    }
};

}  // namespace mia
