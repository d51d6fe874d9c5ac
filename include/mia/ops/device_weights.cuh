#pragma once
#include "mia/core/cuda.cuh"
#include "mia/ops/epilogue.cuh"

namespace mia {

namespace detail {

/// What a product reads and writes besides A. Y: the elements of its result.
template <class T, class Y>
struct ProductOperands {
    const T* weights;
    const Wide<T>* bias;
    int capacity;  ///< rows of A
    RowCount rows;
    int N, K, columns, depth;  ///< the latter two: of the weights, as DeviceWeights has them
    Activate<Wide<T>> activate;
    const Y* residual;  ///< may be y; null: none
    Y* y;
};

template <class T, class Weight, class Bias>
struct PackWeights {
    Weight weight;
    Bias bias_of;
    int N, K, columns, depth;
    T* weights;
    Wide<T>* bias;
    __device__ void operator()(int k, int n) const {
        if (k < depth)
            weights[narrow<T> ? std::ptrdiff_t(n) * depth + k : std::ptrdiff_t(k) * columns + n] =
                T(n < N && k < K ? weight(n, k) : Wide<T>(0));
        else
            bias[n] = n < N ? bias_of(n) : Wide<T>(0);
    }
};

}  // namespace detail

/// Weights and bias of a linear map or a convolution in device memory, packed once for a product, with zeros beyond N
/// and K: (depth, columns) for tiled_product.cuh; of a narrow type (columns, depth) for mma_product.cuh, as tensor
/// cores want neighbours along the sum. `ready` says that they belong to the parameters as they are.
template <class T>
struct DeviceWeights {
    int N = 0, K = 0, columns = 0, depth = 0;
    CudaBuffer<T> weights;
    CudaBuffer<Wide<T>> bias;
    bool ready = false;

    /// Of N results from K terms: weight(n, k) and bias_of(n), structs with a __device__ operator().
    template <class Weight, class Bias>
    void pack(BasicCuda<T>& cuda, int results, int terms, Weight weight, Bias bias_of) {
        using detail::ceil_div;
        N = results;
        K = terms;
        columns = narrow<T> ? ceil_div(N, 16) * 16 : ceil_div(N, 4) * 4;
        depth = narrow<T> ? ceil_div(K, 32) * 32 : K;
        cuda.reserve(weights, std::size_t(depth) * std::size_t(columns));
        cuda.reserve(bias, std::size_t(columns));
        detail::each_in_rows(
            cuda, "pack weights", depth + 1, columns,
            detail::PackWeights<T, Weight, Bias>{weight, bias_of, N, K, columns, depth, weights.data(), bias.data()});
        ready = true;
    }
    template <class Y>
    detail::ProductOperands<T, Y> operands(int M, RowCount rows, Activation activation, const Y* residual, Y* y) const {
        return {weights.data(),
                bias.data(),
                M,
                rows,
                N,
                K,
                columns,
                depth,
                detail::Activate<Wide<T>>(activation),
                residual,
                y};
    }
};

}  // namespace mia
