#pragma once
#include "mia/core/cpu.hpp"
#include "mia/core/micro_kernel.hpp"
#include "mia/ops/layer_norm/layer_norm.hpp"

namespace mia {

namespace detail {
/// sum over the row of f(vector of elements); lanes beyond the row hold 0 before f and are dropped after it.
template <class T, class F>
MIA_INLINE Wide<T> row_sum(const T* x, int C, F f) {
    using namespace simd;
    Vec<T> sums[2] = {};
    int c = 0, i = 0;
    for (; c + lanes<T> <= C; c += lanes<T>, i ^= 1) sums[i] += f(load(x + c));
    Wide<T> tail = 0;
    if (c < C) {
        const Vec<T> last = f(load_first(x + c, C - c));
        for (int lane = 0; lane < C - c; ++lane) tail += last[lane];
    }
    return sum<T>(sums[0] + sums[1]) + tail;
}
}  // namespace detail

template <class T>
void layer_norm(BasicCpu<T>& cpu, In<T, 2> x, In<T, 1> weight, In<T, 1> bias, Out<T, 2> y, RowCount rows = {}) {
    using namespace simd;
    using W = Wide<T>;
    const int C = x.extent(1), M = rows.value ? *rows.value * rows.times : x.extent(0);
    cpu.parallel_for(M, 256, [&](std::ptrdiff_t begin, std::ptrdiff_t end, int) {
        for (std::ptrdiff_t r = begin; r < end; ++r) {
            const T* in = x.data + r * C;
            T* out = y.data + r * C;
            const W mean = detail::row_sum(in, C, [](Vec<T> v) MIA_INLINE_LAMBDA { return v; }) / W(C);
            const Vec<T> means = broadcast(mean);
            const W variance =
                detail::row_sum(in, C, [&](Vec<T> v) MIA_INLINE_LAMBDA { return (v - means) * (v - means); }) / W(C);
            const Vec<T> inverse = broadcast(W(1) / std::sqrt(variance + W(layer_norm_eps)));
            int c = 0;
            for (; c + lanes<T> <= C; c += lanes<T>)
                store(out + c, fma((load(in + c) - means) * inverse, load(weight.data + c), load(bias.data + c)));
            if (c < C)
                store_first(out + c,
                            fma((load_first(in + c, C - c) - means) * inverse, load_first(weight.data + c, C - c),
                                load_first(bias.data + c, C - c)),
                            C - c);
        }
    });
}

}  // namespace mia
