#pragma once
#include "mia/core/cuda.cuh"
#include "mia/ops/elementwise/elementwise.hpp"
#include "mia/ops/epilogue.cuh"

namespace mia {

namespace detail {
template <class T>
struct Add {
    const T *a, *b;
    T* y;
    __device__ void operator()(std::ptrdiff_t i) const { y[i] = T(a[i] + b[i]); }
};
template <class T>
struct ActivateElement {
    Activate<Wide<T>> activate;
    const T* x;
    T* y;
    __device__ void operator()(std::ptrdiff_t i) const { y[i] = T(activate(x[i])); }
};
}  // namespace detail

template <class T>
void add(BasicCuda<T>& cuda, In<T, 2> a, In<T, 2> b, Out<T, 2> y) {
    detail::each_element(cuda, "add", y.size(), detail::Add<T>{a.data, b.data, y.data});
}

template <class T>
void activate(BasicCuda<T>& cuda, In<T, 2> x, Activation activation, Out<T, 2> y) {
    detail::each_element(cuda, "activate", y.size(),
                         detail::ActivateElement<T>{detail::Activate<Wide<T>>(activation), x.data, y.data});
}

template <class T>
void copy(BasicCuda<T>& cuda, In<T, 2> x, Out<T, 2> y) {
    detail::copy_async(cuda, "copy", x.reshape(x.size()), y.reshape(y.size()), cudaMemcpyDeviceToDevice);
}

template <class T, class U, int Rank>
void fill_zero(BasicCuda<T>& cuda, View<U, Rank> y) {
    detail::zero_async(cuda, "fill_zero", y);
}

template <class T>
void add_flows(BasicCuda<T>& cuda, View<const float, 3> a, View<const float, 3> b, View<float, 3> y) {
    detail::each_element(cuda, "add_flows", y.size(), detail::Add<float>{a.data, b.data, y.data});
}

}  // namespace mia
