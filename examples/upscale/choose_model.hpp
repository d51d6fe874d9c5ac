#pragma once
#include <algorithm>
#include <filesystem>
#include <memory>
#include <mia/models/any_model.hpp>
#include <string>

/// What the command line says about the model.
struct ModelRequest {
    std::filesystem::path weights;  ///< empty: the built-in default
    int threads = 0;                ///< 0: one for each processor
    bool mask = true;               ///< skip the tokens that the weights' mask predictor allows to skip
};

/// Bilinear x4: a stand-in for a network.
class Bilinear : public mia::AnyModel {
public:
    std::string name() const override { return "bilinear"; }
    int scale() const override { return 4; }
    bool bidirectional() const override { return false; }
    std::size_t memory_bytes(int, int, int) const override { return 0; }
    void forward(mia::View<const float, 4> clip, mia::View<float, 4> out) override {
        const auto source = [](int i, int size, float& share) {
            const float position = std::clamp((float(i) + 0.5f) / 4 - 0.5f, 0.f, float(size - 1));
            const int base = std::min(int(position), std::max(size - 2, 0));
            share = position - float(base);
            return base;
        };
        for (int t = 0; t < out.extent(0); ++t)
            for (int y = 0; y < out.extent(1); ++y)
                for (int x = 0; x < out.extent(2); ++x) {
                    float down = 0, right = 0;
                    const int top = source(y, clip.extent(1), down), left = source(x, clip.extent(2), right);
                    const int bottom = std::min(top + 1, clip.extent(1) - 1);
                    const int next = std::min(left + 1, clip.extent(2) - 1);
                    for (int c = 0; c < 3; ++c)
                        out(t, y, x, c) =
                            (1 - down) * ((1 - right) * clip(t, top, left, c) + right * clip(t, top, next, c)) +
                            down * ((1 - right) * clip(t, bottom, left, c) + right * clip(t, bottom, next, c));
                }
    }
};

inline std::unique_ptr<mia::AnyModel> choose_model(const ModelRequest&) { return std::make_unique<Bilinear>(); }
