#pragma once
#include <concepts>

#include "mia/nn/conv2d.hpp"
#include "mia/ops/resize/resize.hpp"

namespace mia {

struct UpsamplerConfig {
    int embed_dim = 120;
    int mid_channels = 64;
    int scale = 4;
};

/// From features to a frame. A user's own type plugs in by meeting this:
///   forward(backend, features (H, W, C), frame (H, W, 3), out (scale H, scale W, 3)); the frame is part of the result
template <class U, class B>
concept Upsampler = Module<U> && requires(const U& u, B& backend, View<const typename B::Scalar, 3> features,
                                          View<const Pixel<B>, 3> frame, View<Pixel<B>, 3> out) {
    u.forward(backend, features, frame, out);
};

/// Pixel shuffles by 2 (for x4 two of them; x2 and x3 one), convolutions at the full size, plus the frame, bilinear.
/// No activation after conv_before_upsample, as in the official code. Parameters: conv_before_upsample, upconv1,
/// upconv2 (x4), conv_hr, conv_last.
template <UpsamplerConfig C, Backend B = Cpu>
class TwoStepUpsampler {
    static_assert(C.scale >= 2 && C.scale <= 4,
                  "TwoStepUpsampler: scale must be 2, 3 or 4; for another use OneStepUpsampler");
    static_assert(C.mid_channels > 0, "TwoStepUpsampler: mid_channels must be positive; published: 64");
    static constexpr int first = C.scale == 3 ? 3 : 2, hr = 64, M = C.mid_channels;

public:
    using Scalar = typename B::Scalar;
    static constexpr const char* name = "two_step";
    static constexpr UpsamplerConfig config = C;

    void forward(B& backend, View<const Scalar, 3> features, View<const Pixel<B>, 3> frame,
                 View<Pixel<B>, 3> out) const {
        const auto scope = backend.scope();
        const int H = features.extent(0), W = features.extent(1);
        const auto x = backend.scratch(H, W, M);
        conv_before_upsample_.forward(backend, features, x);
        const auto up = backend.scratch(first * H, first * W, M);
        upconv1_.forward_shuffled(backend, x, first, up, Activation::leaky_relu);
        View<const Scalar, 3> full = up;  // (scale H, scale W, before_hr)
        if constexpr (C.scale == 4) {
            const auto up2 = backend.scratch(4 * H, 4 * W, hr);
            upconv2_.forward_shuffled(backend, up, 2, up2, Activation::leaky_relu);
            full = up2;
        }
        const auto y = backend.scratch(C.scale * H, C.scale * W, hr);
        conv_hr_.forward(backend, full, y, Activation::leaky_relu);
        const auto base = backend.template scratch<Pixel<B>>(C.scale * H, C.scale * W, 3);
        resize_bilinear(backend, frame, Corners::apart, base);
        conv_last_.forward(backend, y, out, Activation::none, base);
    }

    template <class Self, class Visit>
    static constexpr void each_member(Self& self, Visit&& visit) {
        visit("conv_before_upsample", self.conv_before_upsample_);
        visit("upconv1", self.upconv1_);
        if constexpr (C.scale == 4) visit("upconv2", self.upconv2_);
        visit("conv_hr", self.conv_hr_);
        visit("conv_last", self.conv_last_);
    }

private:
    Conv2d<Conv2dConfig{.in_channels = C.embed_dim, .out_channels = M}, B> conv_before_upsample_;
    Conv2d<Conv2dConfig{.in_channels = M, .out_channels = first * first * M}, B> upconv1_;
    Conv2d<Conv2dConfig{.in_channels = M, .out_channels = 4 * hr}, B> upconv2_;
    Conv2d<Conv2dConfig{.in_channels = C.scale == 4 ? hr : M, .out_channels = hr}, B> conv_hr_;
    Conv2d<Conv2dConfig{.in_channels = hr, .out_channels = 3}, B> conv_last_;
};

/// One shuffle of any factor, straight to the frame, and no convolution at the full size: the tail of small models.
/// Parameters: conv_before_upsample (leaky ReLU after it), upconv1 (M -> 3 scale^2).
template <UpsamplerConfig C, Backend B = Cpu>
class OneStepUpsampler {
    static_assert(C.scale >= 1, "OneStepUpsampler: scale must be 1 or more");
    static_assert(C.mid_channels > 0, "OneStepUpsampler: mid_channels must be positive");

public:
    using Scalar = typename B::Scalar;
    static constexpr const char* name = "one_step";
    static constexpr UpsamplerConfig config = C;

    void forward(B& backend, View<const Scalar, 3> features, View<const Pixel<B>, 3> frame,
                 View<Pixel<B>, 3> out) const {
        const auto scope = backend.scope();
        const int H = features.extent(0), W = features.extent(1);
        const auto x = backend.scratch(H, W, C.mid_channels);
        conv_before_upsample_.forward(backend, features, x, Activation::leaky_relu);
        const auto base = backend.template scratch<Pixel<B>>(C.scale * H, C.scale * W, 3);
        resize_bilinear(backend, frame, Corners::apart, base);
        upconv1_.forward_shuffled(backend, x, C.scale, out, Activation::none, base);
    }

    template <class Self, class Visit>
    static constexpr void each_member(Self& self, Visit&& visit) {
        visit("conv_before_upsample", self.conv_before_upsample_);
        visit("upconv1", self.upconv1_);
    }

private:
    Conv2d<Conv2dConfig{.in_channels = C.embed_dim, .out_channels = C.mid_channels}, B> conv_before_upsample_;
    Conv2d<Conv2dConfig{.in_channels = C.mid_channels, .out_channels = 3 * C.scale * C.scale}, B> upconv1_;
};

}  // namespace mia
