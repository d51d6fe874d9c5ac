#pragma once
#include <cmath>
#include <cstdint>
#include <random>
#include <string>
#include <vector>

#include "mia/core/cpu.hpp"
#include "mia/core/module.hpp"
#include "mia/core/tensor.hpp"
#include "mia/models/mia_vsr.hpp"

namespace mia::bench {

/// The published frame, and the shapes of the two models whose parts are measured.
inline constexpr int height = 180, width = 320, pixels = height * width;
inline constexpr AttentionConfig base = mia_vsr_base.attention(), lite = mia_vsr_lite.attention();

/// Numbers between `low` and `high`, the same in each run.
class Random {
public:
    explicit Random(std::uint32_t seed = 7) : engine_(seed) {}
    float operator()(float low, float high) {
        return low + (high - low) * float(engine_()) / float(std::minstd_rand::max());
    }

private:
    std::minstd_rand engine_;
};

/// Half the width of a uniform distribution of variance 1: normed features.
inline constexpr float normed = 1.7320508f;

/// A tensor of random numbers: features of variance 1, or with (0, 1) a picture.
template <class T = float, int Rank>
Tensor<T, Rank> random_tensor(const int (&extents)[Rank], float low = -normed, float high = normed,
                              std::uint32_t seed = 7) {
    Tensor<T, Rank> t = [&]<std::size_t... I>(std::index_sequence<I...>) { return Tensor<T, Rank>(extents[I]...); }
    (std::make_index_sequence<Rank>{});
    Random random(seed);
    for (std::ptrdiff_t i = 0; i < t.size(); ++i) t.data()[i] = T(random(low, high));
    return t;
}

/// Flows of a few pixels, smooth as real ones are.
inline Tensor<float, 3> smooth_flow(int H = height, int W = width) {
    Tensor<float, 3> flow(H, W, 2);
    for (int y = 0; y < H; ++y)
        for (int x = 0; x < W; ++x) {
            flow.view()(y, x, 0) = 3 * std::sin(0.05f * float(y));
            flow.view()(y, x, 1) = 2 * std::cos(0.03f * float(x));
        }
    return flow;
}

/// How the masks of a random network decide.
enum class MaskRule {
    by_change,  ///< kept if the normed features moved by at least 1/2 on average: the inputs decide
    keep_all    ///< asked, and always yes
};

/// A module with random parameters, sized so that features stay of order 1, and prepared.
template <class M, class B>
Network<M, B> random_network(B& backend, MaskRule rule = MaskRule::by_change) {
    Network<M, B> network(backend);
    Random random(11);
    const auto fill = [&](const std::string& name, const auto& p) {
        if (!p.is_trained) return;
        float middle = 0, spread = 0.1f;
        if (name.ends_with("predmask.rnn.weight")) {
            middle = rule == MaskRule::by_change ? 1 / float(p.size) : 0;
            spread = 0;
        } else if (name.ends_with("predmask.rnn.bias")) {
            middle = rule == MaskRule::by_change ? -0.5f : 1.0f;
            spread = 0;
        } else if (p.shape.size() == 1 && name.ends_with("weight")) {
            middle = 1;  // of LayerNorm
        } else if (p.shape.size() > 1) {
            spread = normed / std::sqrt(float(p.size) / float(p.shape[0]));
        }
        for (std::ptrdiff_t i = 0; i < p.size; ++i) p.data[i] = typename B::Scalar(middle + random(-spread, spread));
    };
    network.on_host(backend, [&](M& module) { for_each_parameter(module, fill); });
    prepare(backend, *network);
    return network;
}

/// Which pixels a mask keeps.
enum class MaskShape {
    scattered,  ///< each pixel by itself: no window is idle
    clustered   ///< discs of radius 5 to 30, as moving things are
};

/// (1, height, width): about `share` of the pixels are 1.
inline Tensor<std::uint8_t, 3> make_mask(MaskShape shape, double share) {
    Tensor<std::uint8_t, 3> mask(1, height, width);
    std::fill(mask.data(), mask.data() + pixels, std::uint8_t(share >= 1));
    if (share <= 0 || share >= 1) return mask;
    Random random(5);
    if (shape == MaskShape::scattered) {
        for (int i = 0; i < pixels; ++i) mask.data()[i] = random(0, 1) < float(share);
        return mask;
    }
    for (int kept = 0; kept < int(share * pixels);) {
        const float y = random(0, height), x = random(0, width), r = random(5, 30);
        kept = 0;
        for (int i = 0; i < pixels; ++i) {
            std::uint8_t& m = mask.data()[i];
            m |= std::hypot(float(i / width) - y, float(i % width) - x) < r;
            kept += m;
        }
    }
    return mask;
}

}  // namespace mia::bench
