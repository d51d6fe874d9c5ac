#pragma once
#include "mia/core/cpu.hpp"
#include "mia/ops/linear/linear.hpp"
#include "mia/ops/packed_product.hpp"

namespace mia {

template <class T>
struct PackedLinear<BasicCpu<T>> : PackedWeights<T> {};

/// weight: (O, I), bias: (O) or empty (zero); both are multiplied by `scale`.
template <class T>
void pack_linear(BasicCpu<T>&, In<T, 2> weight, In<T, 1> bias, T scale, PackedLinear<BasicCpu<T>>& packed) {
    packed.pack(
        weight.extent(0), weight.extent(1), scale, [&](int n, int k) { return weight(n, k); },
        [&](int n) { return bias.data ? bias(n) : T(0); });
}

template <class T>
void linear(BasicCpu<T>& cpu, In<T, 2> x, const PackedLinear<BasicCpu<T>>& weights, Out<T, 2> y,
            Activation activation = Activation::none, In<T, 2> residual = {}, RowCount rows = {}) {
    require(weights.ready,
            "linear: the parameters are not packed; call prepare(backend, model) after loading or changing them");
    const int N = weights.layout.N, K = weights.layout.K;
    require(x.extent(1) == K && y.extent(1) == N && y.extent(0) == x.extent(0), "linear: x ", shape_text(x), " and y ",
            shape_text(y), " do not fit a map of ", K, " to ", N, " features");
    require(activation != Activation::gelu || !residual.data,
            "linear: gelu with a residual is not offered; add it afterwards");
    const int M = rows.value ? *rows.value * rows.times : x.extent(0);
    cpu.record({"linear", &weights, std::int64_t(M) * N * K, std::int64_t(x.extent(0)) * N * K});
    detail::products(cpu,
                     std::array{detail::RowsProduct<T>{.weights = weights,
                                                       .a = x.data,
                                                       .a_stride = K,
                                                       .segments = 1,
                                                       .run = K,
                                                       .segment_stride = 0,
                                                       .y = y.data,
                                                       .y_stride = N,
                                                       .activation = activation,
                                                       .residual = residual.data,
                                                       .a_is_far = true}},
                     M);
}

}  // namespace mia
