#pragma once
#include <utility>

#include "mia/core/cpu.hpp"
#include "mia/ops/resize/resize.hpp"

namespace mia {

namespace detail {
/// Fixed: the number of channels C, if it is known when this is compiled, or 0.
template <int Fixed, class U>
void resize_row(const U* from, int C, View<const LinearTap, 1> columns, U* to) {
    const int channels = Fixed > 0 ? Fixed : C;
    for (int j = 0; j < columns.extent(0); ++j, to += channels) {
        const LinearTap t = columns[j];
        const U *left = from + t.i0 * channels, *right = from + t.i1 * channels;
        for (int c = 0; c < channels; ++c) to[c] = U(t.l0) * left[c] + U(t.l1) * right[c];
    }
}
}  // namespace detail

/// A third of the bandwidth of a copy (along a row the innermost loop is over two or three channels), on less than a
/// hundredth of a model's time.
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
    const std::ptrdiff_t row_size = std::ptrdiff_t(to_W) * C;
    cpu.reserve_worker_scratch(2 * std::size_t(row_size) * sizeof(U) + 2 * cache_line);
    cpu.parallel_for(to_H, 4, [&](std::ptrdiff_t begin, std::ptrdiff_t end, int worker) {
        // Rows of x resized along them; where the image grows, each serves several rows of y.
        const ScratchScope held(cpu.worker_scratch(worker));
        U* rows[2];
        int row_of[2] = {-1, -1};
        for (U*& row : rows) row = static_cast<U*>(cpu.worker_scratch(worker).take(std::size_t(row_size) * sizeof(U)));
        const auto resized = [&](int i) {
            const int place = i % 2;  // neighbours take the two places
            if (std::exchange(row_of[place], i) == i) return rows[place];
            const U* from = x.data + std::ptrdiff_t(i) * W * C;
            if (C == 2)
                detail::resize_row<2>(from, C, columns, rows[place]);
            else if (C == 3)
                detail::resize_row<3>(from, C, columns, rows[place]);
            else
                detail::resize_row<0>(from, C, columns, rows[place]);
            return rows[place];
        };
        for (std::ptrdiff_t i = begin; i < end; ++i) {
            const detail::LinearTap t(int(i), H, to_H, corners);
            const U *upper = resized(t.i0), *lower = resized(t.i1), l0 = U(t.l0), l1 = U(t.l1);
            U* out = y.data + i * row_size;
            for (std::ptrdiff_t n = 0; n < row_size; ++n) out[n] = l0 * upper[n] + l1 * lower[n];
            if (factors.first == 1 && factors.second == 1) continue;
            for (int j = 0; j < to_W; ++j) {
                out[j * C] *= U(factors.first);
                if (C > 1) out[j * C + 1] *= U(factors.second);
            }
        }
    });
}

}  // namespace mia
