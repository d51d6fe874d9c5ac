#pragma once
#include <cstdint>
#include <functional>
#include <random>
#include <span>

namespace mia {

/// Fills with numbers uniform in [0, 1): the noise of the mask and of drop path, drawn in the order of the computation.
using Uniform = std::function<void(std::span<float>)>;

/// The same numbers on every machine for one seed: the upper 24 bits of a Mersenne Twister's.
inline Uniform seeded_uniform(std::uint64_t seed) {
    return [engine = std::mt19937_64(seed)](std::span<float> to) mutable {
        for (float& x : to) x = float(engine() >> 40) * 0x1p-24f;
    };
}

}  // namespace mia
