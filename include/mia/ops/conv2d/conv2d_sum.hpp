#pragma once
#include <array>

#include "mia/ops/conv2d/conv2d.hpp"

// Contract. Convolutions of some images, summed: y = sum_f conv2d(x[f], weights[f]) + residual
//   x: (F, H, W, I), F >= 1; kernels of one size; y, residual: (H, W, O), residual may be y or empty; y must not
//   overlap x. For any backend the composition below, frame by frame; Cpu has its own for kernels of 1 x 1, where each
//   part of y is written to memory once.

namespace mia {

template <class B, std::size_t F>
void conv2d_sum(B& backend, View<const typename B::Scalar, 4> x, const std::array<const PackedConv2d<B>*, F>& weights,
                View<typename B::Scalar, 3> y, View<const typename B::Scalar, 3> residual = {}) {
    const auto scope = backend.scope();
    for (std::size_t f = 0; f < F; ++f) {  // each sum in memory of its own, for Tape
        const auto next = f + 1 == F ? y : backend.scratch(y.extent(0), y.extent(1), y.extent(2));
        conv2d(backend, x[int(f)], *weights[f], next, Activation::none, residual);
        residual = next;
    }
}

template <class T, std::size_t F>
void conv2d_sum(BasicCount<T>& count, In<T, 4> x, const std::array<const PackedConv2d<BasicCount<T>>*, F>& weights,
                Out<T, 3> y, In<T, 3> residual = {}) {
    if (weights[0]->kernel_size > 1) return conv2d_sum<BasicCount<T>, F>(count, x, weights, y, residual);
    for (std::size_t f = 0; f < F; ++f) conv2d(count, x[int(f)], *weights[f], y);
}

}  // namespace mia

#include "mia/ops/conv2d/conv2d_sum_cpu.hpp"
