#pragma once
#include <algorithm>
#include <cmath>
#include <cstdint>
#include <string>
#include <vector>

#include "mia/train/data/clip.hpp"
#include "mia/train/data/sample_random.hpp"

namespace mia::test {

/// A picture in memory of its own.
struct Picture {
    std::vector<float> values;
    View<float, 3> view;

    Picture(int height, int width, int channels = 3)
        : values(std::size_t(height) * std::size_t(width) * std::size_t(channels)),
          view{values.data(), {height, width, channels}} {}
    Picture(const Picture&) = delete;
    Picture& operator=(const Picture&) = delete;
};

/// Every value of its own, so that no two places look alike.
inline Clip noise_clip(int frames, int height, int width, std::uint64_t seed = 1) {
    SampleRandom random(seed, 0);
    Clip clip{"noise", frames, height, width, {}};
    for (std::ptrdiff_t i = 0; i < clip.view().size(); ++i) clip.pixels.push_back(std::uint8_t(random.below(256)));
    return clip;
}

/// Waves of 10 pixels and more: what interpolation draws nearly exactly.
inline Clip smooth_clip(int height, int width) {
    Clip clip{"waves", 1, height, width, {}};
    for (int i = 0; i < height; ++i)
        for (int j = 0; j < width; ++j)
            for (int c = 0; c < 3; ++c)
                clip.pixels.push_back(std::uint8_t(std::lround(128 + 60 * std::sin(0.5 * j + 0.2 * i + c) +
                                                               60 * std::cos(0.17 * j - 0.4 * i + 2 * c))));
    return clip;
}

}  // namespace mia::test
