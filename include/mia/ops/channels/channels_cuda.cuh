#pragma once
#include "mia/core/cuda.cuh"
#include "mia/ops/channels/channels.hpp"

namespace mia {

namespace detail {
template <class T>
struct NormalizeChannels {
    const Wide<T>* x;
    const T *mean, *std;
    int C;
    Wide<T>* y;
    __device__ void operator()(std::ptrdiff_t i) const {
        const int c = int(i % C);
        y[i] = (x[i] - mean[c]) / std[c];
    }
};
template <class T>
struct ConcatChannels {
    const Wide<T>*a, *b, *c;
    int A, B, C;
    T* y;
    __device__ void operator()(std::ptrdiff_t i) const {
        const std::ptrdiff_t p = i / (A + B + C);
        const int channel = int(i % (A + B + C));
        y[i] = T(channel < A       ? a[p * A + channel]
                 : channel < A + B ? b[p * B + channel - A]
                                   : c[p * C + channel - A - B]);
    }
};
template <class U, class V>
struct Convert {
    const U* x;
    V* y;
    __device__ void operator()(std::ptrdiff_t i) const { y[i] = V(x[i]); }
};
}  // namespace detail

template <class T>
void normalize_channels(BasicCuda<T>& cuda, In<Wide<T>, 2> x, In<T, 1> mean, In<T, 1> std, Out<Wide<T>, 2> y) {
    detail::each_element(cuda, "normalize_channels", y.size(),
                         detail::NormalizeChannels<T>{x.data, mean.data, std.data, x.extent(1), y.data});
}

template <class T>
void concat_channels(BasicCuda<T>& cuda, In<Wide<T>, 2> a, In<Wide<T>, 2> b, In<Wide<T>, 2> c, Out<T, 2> y) {
    detail::each_element(
        cuda, "concat_channels", y.size(),
        detail::ConcatChannels<T>{a.data, b.data, c.data, a.extent(1), b.extent(1), c.extent(1), y.data});
}

template <class T, class U, class V>
void convert(BasicCuda<T>& cuda, View<U, 2> x, View<V, 2> y) {
    detail::each_element(cuda, "convert", y.size(), detail::Convert<U, V>{x.data, y.data});
}

}  // namespace mia
