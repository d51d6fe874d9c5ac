#pragma once
#include "mia/core/cpu.hpp"
#include "mia/ops/channels/channels.hpp"

namespace mia {

template <class T>
void normalize_channels(BasicCpu<T>& cpu, In<Wide<T>, 2> x, In<T, 1> mean, In<T, 1> std, Out<Wide<T>, 2> y) {
    const int C = x.extent(1);
    cpu.parallel_for(x.extent(0), 4096, [&](std::ptrdiff_t begin, std::ptrdiff_t end, int) {
        for (std::ptrdiff_t p = begin; p < end; ++p)
            for (int c = 0; c < C; ++c) y.data[p * C + c] = (x.data[p * C + c] - mean[c]) / std[c];
    });
}

template <class T>
void concat_channels(BasicCpu<T>& cpu, In<Wide<T>, 2> a, In<Wide<T>, 2> b, In<Wide<T>, 2> c, Out<T, 2> y) {
    const View<const Wide<T>, 2> parts[] = {a, b, c};
    cpu.parallel_for(y.extent(0), 4096, [&](std::ptrdiff_t begin, std::ptrdiff_t end, int) {
        T* out = y.data + begin * y.extent(1);
        for (std::ptrdiff_t p = begin; p < end; ++p)
            for (const auto& part : parts) {
                const Wide<T>* in = part.data + p * part.extent(1);
                out = std::transform(in, in + part.extent(1), out, [](Wide<T> v) { return T(v); });
            }
    });
}

template <class T, class U, class V>
void convert(BasicCpu<T>& cpu, View<U, 2> x, View<V, 2> y) {
    cpu.parallel_for(x.size(), 1 << 14, [&](std::ptrdiff_t begin, std::ptrdiff_t end, int) {
        for (std::ptrdiff_t i = begin; i < end; ++i) y.data[i] = V(x.data[i]);
    });
}

}  // namespace mia
