#pragma once
#include <algorithm>
#include <cmath>

#include "mia/core/view.hpp"
#include "mia/metrics/psnr.hpp"
#include "mia/metrics/ssim.hpp"

namespace mia {

/// How close two pictures are; or the means of that over the frames of a clip.
struct Quality {
    double psnr_y = 0, psnr_rgb = 0;  ///< dB; infinite where the pictures are equal
    double ssim_y = 0, ssim_rgb = 0;  ///< at most 1
};

/// a, b: (H, W, 3) RGB in [0, 1]; `border` pixels on each side are left out. Error as of ssim().
inline Quality quality(View<const float, 3> a, View<const float, 3> b, int border = 0) {
    return {psnr(a, b, Channels::y, border), psnr(a, b, Channels::rgb, border), ssim(a, b, Channels::y, border),
            ssim(a, b, Channels::rgb, border)};
}

/// The field's mean: of the frames' values in dB, not of their errors. One frame that is equal makes it infinite.
class MeanQuality {
public:
    void add(const Quality& frame) {
        sum_.psnr_y += frame.psnr_y;
        sum_.psnr_rgb += frame.psnr_rgb;
        sum_.ssim_y += frame.ssim_y;
        sum_.ssim_rgb += frame.ssim_rgb;
        equal_ += std::isinf(frame.psnr_rgb);
        ++count_;
    }
    int count() const { return count_; }
    int equal() const { return equal_; }  ///< frames whose PSNR is infinite

    /// All 0 without a frame.
    Quality mean() const {
        const double n = std::max(1, count_);
        return {sum_.psnr_y / n, sum_.psnr_rgb / n, sum_.ssim_y / n, sum_.ssim_rgb / n};
    }

private:
    Quality sum_;
    int count_ = 0, equal_ = 0;
};

/// To the values that an 8-bit file holds: clamped to [0, 1], times 255 in float, rounded half to even, divided by 255.
/// A NaN becomes 0.
inline void round_to_8_bit(View<float, 3> picture) {
    for (std::ptrdiff_t i = 0; i < picture.size(); ++i) {
        const float x = picture.data[i];
        picture.data[i] = std::nearbyint((x > 0 ? x < 1 ? x : 1.f : 0.f) * 255.f) / 255.f;
    }
}

}  // namespace mia
