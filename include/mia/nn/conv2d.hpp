#pragma once
#include "mia/core/module.hpp"
#include "mia/ops/conv2d/conv2d_shuffle.hpp"
#include "mia/ops/conv2d/conv2d_sum.hpp"

namespace mia {

struct Conv2dConfig {
    int in_channels = 3;
    int out_channels = 3;
    int kernel_size = 3;
    int padding = kernel_size / 2;  ///< zeros; the output has the input's size
};

/// Convolution (cross-correlation) of stride 1 on a channels-last image. Parameters: weight (out, in, k, k), bias
/// (out).
template <Conv2dConfig C, Backend B = Cpu>
class Conv2d {
    static_assert(C.in_channels > 0 && C.out_channels > 0, "Conv2d: in_channels and out_channels must be positive");
    static_assert(C.kernel_size % 2 == 1 && C.padding == C.kernel_size / 2,
                  "Conv2d: only odd kernels that keep the image's size are offered; use .padding = kernel_size / 2");

public:
    using Scalar = typename B::Scalar;
    static constexpr Conv2dConfig config = C;

    /// x: (H, W, in) -> y: (H, W, out) = activation(conv(x) + bias) + residual; y and residual features or, both,
    /// frames.
    void forward(B& backend, View<const Scalar, 3> x, View<Scalar, 3> y, Activation activation = Activation::none,
                 View<const Scalar, 3> residual = {}) const {
        conv2d(backend, x, packed_, y, activation, residual);
    }
    void forward(B& backend, View<const Scalar, 3> x, View<Pixel<B>, 3> y, Activation activation = Activation::none,
                 View<const Pixel<B>, 3> residual = {}) const requires(narrow<Scalar>) {
        conv2d(backend, x, packed_, y, activation, residual);
    }

    /// The same with a pixel shuffle after the convolution: y: (factor H, factor W, out / factor^2) =
    /// activation(shuffled (conv(x) + bias)) + residual.
    void forward_shuffled(B& backend, View<const Scalar, 3> x, int factor, View<Scalar, 3> y,
                          Activation activation = Activation::none, View<const Scalar, 3> residual = {}) const {
        conv2d_shuffle(backend, x, packed_, factor, y, activation, residual);
    }
    void forward_shuffled(B& backend, View<const Scalar, 3> x, int factor, View<Pixel<B>, 3> y,
                          Activation activation = Activation::none, View<const Pixel<B>, 3> residual = {}) const
        requires(narrow<Scalar>) {
        conv2d_shuffle(backend, x, packed_, factor, y, activation, residual);
    }

    /// The sum of several convolutions, of a frame each. x: (F, H, W, in) -> y: (H, W, out) = sum_f convs[f](x[f]) +
    /// residual.
    template <std::size_t F>
    static void forward_sum(B& backend, const std::array<Conv2d, F>& convs, View<const Scalar, 4> x, View<Scalar, 3> y,
                            View<const Scalar, 3> residual = {}) {
        std::array<const PackedConv2d<B>*, F> weights;
        for (std::size_t f = 0; f < F; ++f) weights[f] = &convs[f].packed_;
        conv2d_sum(backend, x, weights, y, residual);
    }

    void pack(B& backend) { pack_conv2d(backend, weight_.view(), bias_.view(), packed_); }
    void drop_packing() { packed_.ready = false; }

    template <class Self, class Visit>
    static constexpr void each_member(Self& self, Visit&& visit) {
        visit("weight", self.weight_);
        visit("bias", self.bias_);
    }

private:
    Parameter<B, C.out_channels, C.in_channels, C.kernel_size, C.kernel_size> weight_;
    Parameter<B, C.out_channels> bias_;
    PackedConv2d<B> packed_;
};

}  // namespace mia
