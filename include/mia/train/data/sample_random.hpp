#pragma once
#include <array>
#include <cstddef>
#include <cstdint>

#include "mia/core/error.hpp"

namespace mia {
namespace detail {

/// Philox 4x32 with 10 rounds (Salmon, Moraes, Dror, Shaw, "Parallel random numbers: as easy as 1, 2, 3", 2011): four
/// words that look random, a function of counter and key alone.
constexpr std::array<std::uint32_t, 4> philox(std::array<std::uint32_t, 4> counter, std::array<std::uint32_t, 2> key) {
    for (int round = 0; round < 10; ++round) {
        const std::uint64_t a = std::uint64_t{0xD2511F53} * counter[0], b = std::uint64_t{0xCD9E8D57} * counter[2];
        counter = {std::uint32_t(b >> 32) ^ counter[1] ^ key[0], std::uint32_t(b),
                   std::uint32_t(a >> 32) ^ counter[3] ^ key[1], std::uint32_t(a)};
        key[0] += 0x9E3779B9;
        key[1] += 0xBB67AE85;
    }
    return counter;
}

}  // namespace detail

/// The random numbers of one training sample: the same for one seed and sample number, whatever was drawn for other
/// samples before or beside it. Two numbers of samples, or two seeds, share nothing.
class SampleRandom {
public:
    constexpr SampleRandom(std::uint64_t seed, std::uint64_t sample)
        : key_{std::uint32_t(seed), std::uint32_t(seed >> 32)},
          sample_{std::uint32_t(sample), std::uint32_t(sample >> 32)} {}

    constexpr std::uint32_t bits() {
        const std::uint32_t word = drawn_ % 4;
        if (word == 0) block_ = detail::philox({drawn_ / 4, 0, sample_[0], sample_[1]}, key_);
        ++drawn_;
        return block_[word];
    }

    /// In [0, 1).
    constexpr double uniform() { return bits() * 0x1p-32; }

    constexpr double between(double low, double high) { return low + (high - low) * uniform(); }

    /// 0 ... count - 1. Error when there is none.
    int below(int count) {
        require(count > 0, "SampleRandom: one of ", count, " values was asked for. Ask for one of 1 or more.");
        return int(std::uint64_t(count) * bits() >> 32);
    }

    constexpr bool coin() { return bits() >> 31 != 0; }

private:
    std::array<std::uint32_t, 2> key_, sample_;
    std::array<std::uint32_t, 4> block_{};
    std::uint32_t drawn_ = 0;
};

}  // namespace mia
