#pragma once
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <numbers>
#include <vector>

#include "mia/core/cpu.hpp"

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

/// Adam (Kingma and Ba 2015) over one flat buffer of parameters:
///   m = beta1 m + (1 - beta1) g,  v = beta2 v + (1 - beta2) g^2,
///   p -= learning_rate * (m / (1 - beta1^t)) / (sqrt(v / (1 - beta2^t)) + eps)
/// m and v are part of what a training run must save to go on later.
template <class T>
class Adam {
public:
    explicit Adam(std::ptrdiff_t parameters, AdamConfig config = {})
        : config_(config), first_(int(parameters)), second_(int(parameters)) {
        std::fill(first_.data(), first_.data() + parameters, T(0));
        std::fill(second_.data(), second_.data() + parameters, T(0));
    }

    /// Changes the parameters; prepare() the model afterwards.
    void step(BasicCpu<T>& cpu, View<T, 1> parameters, View<const T, 1> gradients, double learning_rate) {
        step(cpu, parameters, gradients, learning_rate, {{0, parameters.size()}});
    }
    /// Changes those in the ranges only.
    void step(BasicCpu<T>& cpu, View<T, 1> parameters, View<const T, 1> gradients, double learning_rate,
              const std::vector<ParameterRange>& ranges) {
        require(parameters.size() == first_.size() && gradients.size() == first_.size(), "Adam: made for ",
                first_.size(), " parameters, given ", parameters.size(), " and ", gradients.size(), " gradients");
        ++steps_;
        const T b1 = T(config_.beta1), b2 = T(config_.beta2), eps = T(config_.eps);
        const T rest1 = T(1 - config_.beta1), rest2 = T(1 - config_.beta2);
        const T rate = T(learning_rate / (1 - std::pow(config_.beta1, double(steps_))));
        const T correction = T(1 / (1 - std::pow(config_.beta2, double(steps_))));
        const T decay = T(1 - learning_rate * config_.weight_decay);
        T *m = first_.data(), *v = second_.data();
        for (const ParameterRange& range : ranges)
            cpu.parallel_for(range.end - range.begin, 1 << 14, [&](std::ptrdiff_t begin, std::ptrdiff_t end, int) {
                for (std::ptrdiff_t i = range.begin + begin; i < range.begin + end; ++i) {
                    const T g = gradients[i];
                    m[i] = b1 * m[i] + rest1 * g;
                    v[i] = b2 * v[i] + rest2 * g * g;
                    parameters[i] = decay * parameters[i] - rate * m[i] / (std::sqrt(v[i] * correction) + eps);
                }
            });
    }

    const AdamConfig& config() const { return config_; }
    std::int64_t steps() const { return steps_; }
    /// To go on from a saved run.
    void set_steps(std::int64_t steps) { steps_ = steps; }
    View<T, 1> first_moment() { return first_; }
    View<T, 1> second_moment() { return second_; }

private:
    AdamConfig config_;
    Tensor<T, 1> first_, second_;
    std::int64_t steps_ = 0;
};

/// The Euclidean norm, summed in double in pieces of a fixed size.
template <class T>
double norm(BasicCpu<T>& cpu, View<const T, 1> x) {
    constexpr std::ptrdiff_t piece = 1 << 14;
    const auto scope = cpu.scope();
    const auto parts = cpu.template scratch<double>(int((x.size() + piece - 1) / piece));
    cpu.parallel_for(x.size(), piece, [&](std::ptrdiff_t begin, std::ptrdiff_t end, int) {
        double sum = 0;
        for (std::ptrdiff_t i = begin; i < end; ++i) sum += double(x[i]) * double(x[i]);
        parts[begin / piece] = sum;
    });
    double sum = 0;
    for (std::ptrdiff_t i = 0; i < parts.extent(0); ++i) sum += parts[i];
    return std::sqrt(sum);
}

/// Scales gradients whose norm exceeds `largest` down to it; returns the norm before. (A norm that is not finite is
/// returned and nothing is scaled: skip such a step.)
template <class T>
double clip_norm(BasicCpu<T>& cpu, View<T, 1> gradients, double largest) {
    require(largest > 0, "clip_norm: a largest norm of ", largest, " was given; it must be positive");
    const double length = norm<T>(cpu, gradients);
    if (!(length > largest) || !std::isfinite(length)) return length;
    const T factor = T(largest / length);
    cpu.parallel_for(gradients.size(), 1 << 14, [&](std::ptrdiff_t begin, std::ptrdiff_t end, int) {
        for (std::ptrdiff_t i = begin; i < end; ++i) gradients[i] *= factor;
    });
    return length;
}

/// The exponential moving average of the parameters: average = decay * average + (1 - decay) * parameters.
template <class T>
class MovingAverage {
public:
    explicit MovingAverage(View<const T, 1> parameters, double decay = 0.999)
        : decay_(decay), average_(parameters.extent(0)) {
        require(decay >= 0 && decay < 1, "MovingAverage: a decay of ", decay, " was given; it must lie in [0, 1)");
        std::copy(parameters.data, parameters.data + parameters.size(), average_.data());
    }
    void update(BasicCpu<T>& cpu, View<const T, 1> parameters) {
        const T keep = T(decay_), add = T(1 - decay_);
        T* average = average_.data();
        cpu.parallel_for(average_.size(), 1 << 14, [&](std::ptrdiff_t begin, std::ptrdiff_t end, int) {
            for (std::ptrdiff_t i = begin; i < end; ++i) average[i] = keep * average[i] + add * parameters[i];
        });
    }
    View<T, 1> parameters() { return average_; }

private:
    double decay_;
    Tensor<T, 1> average_;
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
