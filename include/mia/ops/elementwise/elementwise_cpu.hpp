#pragma once
#include "mia/core/cpu.hpp"
#include "mia/core/micro_kernel.hpp"
#include "mia/ops/elementwise/elementwise.hpp"

namespace mia {

namespace detail {
/// f(position, count): pieces of whole vectors, the last one shorter.
template <class T, class F>
void each_vector(BasicCpu<T>& cpu, std::ptrdiff_t size, F f) {
    constexpr int lanes = simd::lanes<T>;
    cpu.parallel_for(size, 1 << 14, [&](std::ptrdiff_t begin, std::ptrdiff_t end, int) {
        std::ptrdiff_t i = begin;
        for (; i + lanes <= end; i += lanes) f(i, lanes);
        if (i < end) f(i, int(end - i));
    });
}
}  // namespace detail

template <class T>
void add(BasicCpu<T>& cpu, In<T, 2> a, In<T, 2> b, Out<T, 2> y) {
    using namespace simd;
    detail::each_vector(cpu, y.size(), [=](std::ptrdiff_t i, int count) {
        if (count == lanes<T>)
            store(y.data + i, load(a.data + i) + load(b.data + i));
        else
            store_first(y.data + i, load_first(a.data + i, count) + load_first(b.data + i, count), count);
    });
}

template <class T>
void activate(BasicCpu<T>& cpu, In<T, 2> x, Activation activation, Out<T, 2> y) {
    using namespace simd;
    const Vec<T> slope = broadcast(Wide<T>(negative_slope(activation)));
    detail::each_vector(cpu, y.size(), [=](std::ptrdiff_t i, int count) {
        const Vec<T> v = load_first(x.data + i, count);
        store_first(y.data + i, activation == Activation::gelu ? gelu(v) : max(v, v * slope), count);
    });
}

template <class T>
void copy(BasicCpu<T>& cpu, In<T, 2> x, Out<T, 2> y) {
    cpu.parallel_for(y.size(), 1 << 16, [&](std::ptrdiff_t begin, std::ptrdiff_t end, int) {
        std::memcpy(y.data + begin, x.data + begin, std::size_t(end - begin) * sizeof(T));
    });
}

template <class T, class U, int Rank>
void fill_zero(BasicCpu<T>& cpu, View<U, Rank> y) {
    cpu.parallel_for(y.size(), 1 << 16, [&](std::ptrdiff_t begin, std::ptrdiff_t end, int) {
        std::fill(y.data + begin, y.data + end, U(0));
    });
}

template <class T>
void add_flows(BasicCpu<T>& cpu, View<const float, 3> a, View<const float, 3> b, View<float, 3> y) {
    cpu.parallel_for(y.size(), 1 << 16, [&](std::ptrdiff_t begin, std::ptrdiff_t end, int) {
        for (std::ptrdiff_t i = begin; i < end; ++i) y.data[i] = a.data[i] + b.data[i];
    });
}

}  // namespace mia
