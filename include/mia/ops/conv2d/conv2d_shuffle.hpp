#pragma once
#include "mia/ops/conv2d/conv2d.hpp"
#include "mia/ops/pixel_shuffle/pixel_shuffle.hpp"

// Contract. conv2d and pixel_shuffle as one: y = activation(shuffled (weight * x + bias)) + residual
//   x: (H, W, I); the convolution's output channels: r^2 K; y, residual: (r H, r W, K), residual may be empty;
//   both may be Wide as those of conv2d, the convolution's result is rounded.
//   y must not overlap x. For any backend the composition below; Cpu has its own, without the wide image between.

namespace mia {

template <class B>
void conv2d_shuffle(B& backend, View<const typename B::Scalar, 3> x, const PackedConv2d<B>& weights, int factor,
                    View<typename B::Scalar, 3> y, Activation activation = Activation::none,
                    View<const typename B::Scalar, 3> residual = {}) {
    const auto scope = backend.scope();
    const auto wide = backend.scratch(x.extent(0), x.extent(1), factor * factor * y.extent(2));
    conv2d(backend, x, weights, wide);
    pixel_shuffle(backend, wide, factor, y, activation, residual);
}

template <class T>
void conv2d_shuffle(BasicCount<T>& count, In<T, 3> x, const PackedConv2d<BasicCount<T>>& weights, int, Out<T, 3> y,
                    Activation = Activation::none, In<T, 3> = {}) {
    conv2d(count, x, weights, y);
}
template <class T>
requires(narrow<T>) void conv2d_shuffle(BasicCount<T>& count, In<T, 3> x, const PackedConv2d<BasicCount<T>>& weights,
                                        int, Out<Wide<T>, 3> y, Activation = Activation::none, In<Wide<T>, 3> = {}) {
    conv2d(count, x, weights, y);
}

}  // namespace mia

#include "mia/ops/conv2d/conv2d_shuffle_cpu.hpp"
