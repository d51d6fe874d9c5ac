#pragma once
#include <cmath>
#include <random>
#include <vector>

#include "mia/core/module.hpp"

namespace mia::test {

/// Parameters as of a trained model in size, seeded: weights of a standard deviation 1 / sqrt(fan in), norms near 1 and
/// 0.
template <class M>
void randomize(M& module, unsigned seed = 1) {
    std::mt19937 random(seed);
    for_each_parameter(module, [&](const std::string& name, const auto& p) {
        if (!p.is_trained) return;
        const bool norm = name.find("norm") != std::string::npos, bias = p.shape.size() == 1;
        double fan_in = 1;
        for (std::size_t axis = 1; axis < p.shape.size(); ++axis) fan_in *= p.shape[axis];
        std::normal_distribution<double> value(norm && name.ends_with("weight") ? 1.0 : 0.0,
                                               bias || norm ? 0.1 : 1 / std::sqrt(fan_in));
        for (std::ptrdiff_t i = 0; i < p.size; ++i) p.data[i] = std::decay_t<decltype(p.data[i])>(value(random));
    });
}

/// (T, H, W, 3) in [0, 1]: a smooth picture that moves, with some noise that differs from frame to frame.
inline Tensor<float, 4> random_clip(int T, int H, int W, unsigned seed = 7) {
    std::mt19937 random(seed);
    std::uniform_real_distribution<float> noise(-0.05f, 0.05f);
    Tensor<float, 4> clip(T, H, W, 3);
    for (int t = 0; t < T; ++t)
        for (int y = 0; y < H; ++y)
            for (int x = 0; x < W; ++x)
                for (int c = 0; c < 3; ++c)
                    clip.view()(t, y, x, c) =
                        0.5f + 0.3f * std::sin(0.4f * float(x - t) + float(c)) * std::cos(0.3f * float(y)) +
                        noise(random);
    return clip;
}

}  // namespace mia::test
