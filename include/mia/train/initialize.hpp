#pragma once
#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <numbers>
#include <string>

#include "mia/core/error.hpp"
#include "mia/core/module.hpp"
#include "mia/io/load_parameters.hpp"
#include "mia/train/data/sample_random.hpp"

namespace mia {

namespace detail {

/// How a bias starts follows from the weight before it.
struct WeightBefore {
    std::string path;  ///< of the module, with the dot at its end
    std::size_t rank = 0;
    double bound = 0;  ///< of a convolution's numbers
};

template <class T>
void fill_uniform(const ParameterRef<T>& p, double bound, SampleRandom& random) {
    std::generate_n(p.data, p.size, [&] { return T(random.between(-bound, bound)); });
}

/// Box and Muller's pairs. 32 random bits reach 6.7 standard deviations, so that PyTorch's cut at +-2 never cuts.
template <class T>
void fill_normal(const ParameterRef<T>& p, double deviation, SampleRandom& random) {
    for (std::ptrdiff_t i = 0; i < p.size; i += 2) {
        const double radius = deviation * std::sqrt(-2 * std::log(1 - random.uniform()));
        const double angle = 2 * std::numbers::pi * random.uniform();
        p.data[i] = T(radius * std::cos(angle));
        if (i + 1 < p.size) p.data[i + 1] = T(radius * std::sin(angle));
    }
}

}  // namespace detail

/// The parameters that a training begins with, as the official code has them: what a parameter is follows from its name
/// and the axes of its module's weight.
///
///     convolution     weight and bias uniform in +-1/sqrt(fan_in), PyTorch's default
///     linear map      weight normal with a standard deviation of 0.02, bias 0; so the mask predictor
///     position bias   normal with a standard deviation of 0.02
///     LayerNorm       weight 1, bias 0
///
/// SpyNet is not trained with the model: load its own weights afterwards. Buffers stay as they are. One seed gives the
/// same numbers always. prepare() the module afterwards. Error for a parameter that is none of these.
template <class M>
void initialize(M& module, std::uint64_t seed) {
    detail::WeightBefore before;
    std::uint64_t index = 0;
    for_each_parameter(module, [&]<class T>(const std::string& name, const ParameterRef<T>& p) {
        SampleRandom random(seed, index++);
        if (!p.is_trained) return;
        const std::size_t rank = p.shape.size();
        const std::string path = name.substr(0, name.rfind('.') + 1);
        if (name.ends_with("bias") && rank == 1) {
            require(before.path == path && before.rank > 0, "initialize: ", name,
                    " follows no weight of its own module. List the weight before its bias in each_member.");
            if (before.rank == 4)
                detail::fill_uniform(p, before.bound, random);
            else
                std::fill_n(p.data, p.size, T(0));
        } else if (rank == 4) {
            const double bound = 1 / std::sqrt(double(p.size / p.shape[0]));
            detail::fill_uniform(p, bound, random);
            before = {path, rank, bound};
        } else if (rank == 2) {
            detail::fill_normal(p, 0.02, random);
            before = {path, rank, 0};
        } else {
            require(rank == 1 && name.ends_with("weight"), "initialize: ", name, " has ", rank,
                    " axes and is no weight or bias that PyTorch's layers have. Fill it after initialize(), outside "
                    "the module that is given.");
            std::fill_n(p.data, p.size, T(1));
            before = {path, rank, 0};
        }
    });
}

/// Lets the mask predictors begin about as a mask by hand: logit = 3 (mean |q - previous| / threshold - 1), so that
/// with Gumbel noise one unchanged token of 20 is kept, and 19 of 20 that changed by twice the threshold. The official
/// code begins with initialize(): half of all tokens at random. prepare() the module afterwards.
template <class M>
void initialize_masks(M& module, double threshold) {
    require(threshold > 0, "initialize_masks: a threshold of ", threshold,
            " was given; a mean of absolute values is divided by it, give more than 0");
    constexpr double certainty = 3;
    for_each_parameter(module, [&]<class T>(const std::string& name, const ParameterRef<T>& p) {
        if (!detail::is_of_mask(name)) return;
        std::fill_n(p.data, p.size,
                    name.ends_with("bias") ? T(-certainty) : T(certainty / (threshold * double(p.size))));
    });
}

}  // namespace mia
