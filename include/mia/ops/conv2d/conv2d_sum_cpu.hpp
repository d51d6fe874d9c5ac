#pragma once
#include <utility>

#include "mia/core/cpu.hpp"
#include "mia/ops/conv2d/conv2d_sum.hpp"

namespace mia {

namespace detail {
template <class T, std::size_t... I>
void sum_of_pixel_products(BasicCpu<T>& cpu, In<T, 4> x,
                           const std::array<const PackedConv2d<BasicCpu<T>>*, sizeof...(I)>& weights, Out<T, 3> y,
                           In<T, 3> residual, std::index_sequence<I...>) {
    (begin_convolution<T>(cpu, "conv2d_sum", x[int(I)], *weights[I]), ...);
    products(cpu,
             std::array{pixel_product<T, T>(x[int(I)], *weights[I], y, Activation::none,
                                            I == 0 ? residual : View<const T, 3>(y))...},
             y.extent(0) * y.extent(1));
}
}  // namespace detail

template <class T, std::size_t F>
void conv2d_sum(BasicCpu<T>& cpu, In<T, 4> x, const std::array<const PackedConv2d<BasicCpu<T>>*, F>& weights,
                Out<T, 3> y, In<T, 3> residual = {}) {
    const int H = x.extent(1), W = x.extent(2);
    require(x.extent(0) == int(F), "conv2d_sum: x ", shape_text(x), " does not fit ", F, " convolutions");
    for (const auto* w : weights)
        require(!w->ready || (w->kernel_size == weights[0]->kernel_size && y.extent(0) == H && y.extent(1) == W &&
                              y.extent(2) == w->out_channels),
                "conv2d_sum: x ", shape_text(x), " and y ", shape_text(y), " do not fit a convolution of ",
                w->in_channels, " to ", w->out_channels, " channels");
    if (weights[0]->kernel_size == 1)
        detail::sum_of_pixel_products<T>(cpu, x, weights, y, residual, std::make_index_sequence<F>());
    else
        conv2d_sum<BasicCpu<T>, F>(cpu, x, weights, y, residual);
}

}  // namespace mia
