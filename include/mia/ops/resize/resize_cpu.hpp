#pragma once
#include "mia/core/cpu.hpp"
#include "mia/ops/resize/resize.hpp"

namespace mia {

template <class T>
void resize_bilinear(BasicCpu<T>& cpu, In<Wide<T>, 3> x, Corners corners, Out<Wide<T>, 3> y,
                     ChannelFactors factors = {}) {
    using U = Wide<T>;
    const int H = x.extent(0), W = x.extent(1), C = x.extent(2), to_H = y.extent(0), to_W = y.extent(1);
    require(C == y.extent(2) && H > 0 && W > 0, "resize_bilinear: x ", shape_text(x), " does not become y ",
            shape_text(y));
    const auto scope = cpu.scope();
    const auto columns = cpu.template scratch<detail::LinearTap>(to_W);
    for (int j = 0; j < to_W; ++j) columns[j] = detail::LinearTap(j, W, to_W, corners);
    cpu.parallel_for(to_H, 4, [&](std::ptrdiff_t begin, std::ptrdiff_t end, int) {
        for (std::ptrdiff_t i = begin; i < end; ++i) {
            const detail::LinearTap ty(int(i), H, to_H, corners);
            const U *top = x.data + std::ptrdiff_t(ty.i0) * W * C, *bottom = x.data + std::ptrdiff_t(ty.i1) * W * C;
            U* out = y.data + i * to_W * C;
            for (int j = 0; j < to_W; ++j) {
                const detail::LinearTap tx = columns[j];
                for (int c = 0; c < C; ++c) {
                    const U upper = U(tx.l0) * top[tx.i0 * C + c] + U(tx.l1) * top[tx.i1 * C + c];
                    const U lower = U(tx.l0) * bottom[tx.i0 * C + c] + U(tx.l1) * bottom[tx.i1 * C + c];
                    const U value = U(ty.l0) * upper + U(ty.l1) * lower;
                    out[j * C + c] = c == 0 ? value * U(factors.first) : c == 1 ? value * U(factors.second) : value;
                }
            }
        }
    });
}

}  // namespace mia
