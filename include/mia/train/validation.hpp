#pragma once
#include "mia/core/cpu.hpp"
#include "mia/core/error.hpp"
#include "mia/core/tensor.hpp"
#include "mia/metrics/quality.hpp"
#include "mia/train/data/clip.hpp"
#include "mia/train/data/degradation.hpp"

namespace mia {

/// How a true clip looks after it was made small, and large again.
struct Validation {
    double psnr_y = 0;               ///< dB, mean over the frames
    Tensor<float, 4> input;          ///< (T, H, W, 3)
    Tensor<float, 4> result, truth;  ///< (T, scale H, scale W, 3); the result in 8 bits
};

/// Makes a true clip `scale` times smaller, its frames cropped at the right and bottom to a multiple of it, and large
/// again by run(input, result), views of (T, H, W, 3) and (T, scale H, scale W, 3). Error when the clip has no frame or
/// its frames are smaller than `scale`.
template <class Run>
Validation validate_on(const Clip& truth, int scale, Degradation degradation, Run&& run) {
    const int T = truth.frames, H = truth.height / scale, W = truth.width / scale;
    require(T > 0 && H > 0 && W > 0, truth.name, ": ", T, " frames of ", truth.width, " x ", truth.height,
            " cannot be made ", scale, " times smaller. Give a clip of larger frames.");
    Validation v{.input = Tensor<float, 4>(T, H, W, 3),
                 .result = Tensor<float, 4>(T, scale * H, scale * W, 3),
                 .truth = Tensor<float, 4>(T, scale * H, scale * W, 3)};
    for (int t = 0; t < T; ++t) {
        copy_region(truth.view()[t], {0, 0, scale * H, scale * W}, v.truth.view()[t]);
        degrade(v.truth.view()[t], scale, degradation, v.input.view()[t]);
    }
    run(View<const float, 4>(v.input.view()), v.result.view());
    for (int t = 0; t < T; ++t) {
        round_to_8_bit(v.result.view()[t]);
        v.psnr_y += psnr(v.result.view()[t], v.truth.view()[t], Channels::y) / T;
    }
    return v;
}

}  // namespace mia
