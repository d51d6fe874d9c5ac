#pragma once
#include "mia/ops/linear/linear.hpp"
#include "mia/ops/mma_product.cuh"
#include "mia/ops/tiled_product.cuh"

namespace mia {

template <class T>
struct PackedLinear<BasicCuda<T>> : DeviceWeights<T> {};

namespace detail {
template <class T>
struct LinearWeight {
    const T* weight;
    int I;
    Wide<T> scale;
    __device__ Wide<T> operator()(int o, int i) const { return scale * weight[std::ptrdiff_t(o) * I + i]; }
};
template <class T>
struct LinearBias {
    const T* bias;
    Wide<T> scale;
    __device__ Wide<T> operator()(int o) const { return bias ? scale * bias[o] : Wide<T>(0); }
};

/// A matrix as the left side of a product.
template <class T>
struct MatrixRows {
    const T* x;
    int K;
    static constexpr int warp_rows = 16;  // of mma_product.cuh's tile: memory decides, so many blocks
    using Row = const T*;
    int run() const { return K; }
    __device__ Row row(int m) const { return x + std::ptrdiff_t(m) * K; }
    __device__ int column(int k) const { return k; }
    __device__ const T* find(Row row, int k) const { return row + k; }
    __device__ T at(Row row, int k) const { return row[k]; }
};
}  // namespace detail

/// weight: (O, I), bias: (O) or empty (zero); both are multiplied by `scale`.
template <class T>
void pack_linear(BasicCuda<T>& cuda, In<T, 2> weight, In<T, 1> bias, T scale, PackedLinear<BasicCuda<T>>& packed) {
    packed.pack(cuda, weight.extent(0), weight.extent(1),
                detail::LinearWeight<T>{weight.data, weight.extent(1), Wide<T>(scale)},
                detail::LinearBias<T>{bias.data, Wide<T>(scale)});
}

template <class T>
void linear(BasicCuda<T>& cuda, In<T, 2> x, const PackedLinear<BasicCuda<T>>& weights, Out<T, 2> y,
            Activation activation = Activation::none, In<T, 2> residual = {}, RowCount rows = {}) {
    require(weights.ready,
            "linear: the parameters are not packed; call prepare(backend, model) after loading or changing them");
    const int M = x.extent(0), N = weights.N, K = weights.K;
    require(x.extent(1) == K && y.extent(1) == N && y.extent(0) == M, "linear: x ", shape_text(x), " and y ",
            shape_text(y), " do not fit a map of ", K, " to ", N, " features");
    require(activation != Activation::gelu || !residual.data,
            "linear: gelu with a residual is not offered; add it afterwards");
    const std::int64_t macs = std::int64_t(M) * N * K;
    cuda.record({"linear", &weights, macs, macs});
    detail::product(cuda, "linear", detail::MatrixRows<T>{x.data, K}, M, rows, weights, activation, residual.data,
                    y.data);
}

}  // namespace mia
