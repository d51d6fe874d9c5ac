#pragma once
#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "mia/core/error.hpp"
#include "mia/core/view.hpp"

namespace mia {

/// Frames of one size in memory, 8 bits a value as nearly all training material has: a quarter of what floats take.
struct Clip {
    std::string name;  ///< for messages
    int frames = 0, height = 0, width = 0;
    std::vector<std::uint8_t> pixels;  ///< (frames, height, width, 3) RGB

    View<const std::uint8_t, 4> view() const { return {pixels.data(), {frames, height, width, 3}}; }

    /// frame: (H, W, 3) RGB in [0, 1], rounded to 8 bits. Error when its size differs from the frames' before.
    void append(View<const float, 3> frame) {
        if (frames == 0) {
            height = frame.extent(0);
            width = frame.extent(1);
        }
        require(frame.extent(0) == height && frame.extent(1) == width && frame.extent(2) == 3, name, ": frame ", frames,
                " is ", shape_text(frame), ", those before it are (", height, ", ", width,
                ", 3). Give RGB frames of one size.");
        for (std::ptrdiff_t i = 0; i < frame.size(); ++i)
            pixels.push_back(std::uint8_t(std::clamp(std::floor(255.f * frame.data[i] + 0.5f), 0.f, 255.f)));
        ++frames;
    }
};

/// A rectangle of a frame, in pixels.
struct Region {
    int y = 0, x = 0, height = 0, width = 0;

    bool operator==(const Region&) const = default;
};

/// Copies a region of a frame of 8 bits, (H, W, 3), as k / 255 into y: (region.height, region.width, 3). The region
/// must lie in the frame.
inline void copy_region(View<const std::uint8_t, 3> frame, const Region& region, View<float, 3> y) {
    for (int i = 0; i < region.height; ++i) {
        const std::uint8_t* from = &frame(region.y + i, region.x, 0);
        std::transform(from, from + std::ptrdiff_t(region.width) * 3, y[i].data,
                       [](std::uint8_t code) { return float(code) / 255.f; });
    }
}

}  // namespace mia
