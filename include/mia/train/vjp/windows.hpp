#pragma once
#include "mia/ops/window/windows.hpp"
#include "mia/train/vjp/products.hpp"

// Permutations with gaps: the gradients go back the same way. A pixel lies in one window and is listed once, so no two
// rows meet.

namespace mia {

/// On a tape every token is computed, whatever the mask says: the ones that are not kept have a part in the gradient of
/// the mask (masked_rows). So the numbers of rows and windows are known beforehand, which matters where the host cannot
/// read them: those of the arrays.
template <class B>
void select_rows(Tape<B>& tape, const WindowGrid& grid, int frames, View<const std::uint8_t, 3>, ActiveRows& rows) {
    select_rows(tape.backend(), grid, frames, {}, rows);
}

/// d_x[pixel[r], :] (+)= dy[r, :].
template <class T>
void gather_rows_gradient(BasicCpu<T>& cpu, In<T, 2> dy, const ActiveRows& rows, Gradient<T> d_x) {
    const int C = dy.extent(1);
    cpu.parallel_for(rows.counts[0], 512, [&](std::ptrdiff_t begin, std::ptrdiff_t end, int) {
        detail::each_run(&rows.pixel[begin], int(end - begin), [&](int i, int pixel, int length) {
            detail::add_row(dy.data + (begin + i) * C, length * C, d_x, std::ptrdiff_t(pixel) * C);
        });
    });
}
template <class B>
void gather_rows(Tape<B>& tape, In<typename B::Scalar, 2> x, const ActiveRows& rows, Out<typename B::Scalar, 2> y) {
    using T = typename B::Scalar;
    gather_rows(tape.backend(), x, rows, y);
    tape.push(Out<T, 2>(y.slice(0, rows.pixel.extent(0))), [=, &tape](View<const T, 2> dy) {
        if (const auto d_x = tape.whole_gradient(x)) gather_rows_gradient<T>(tape.backend(), dy, rows, d_x);
    });
}

/// d_x[r, :] (+)= dy[pixel[r], :].
template <class T>
void scatter_rows_gradient(BasicCpu<T>& cpu, In<T, 2> dy, const ActiveRows& rows, Gradient<T> d_x) {
    const int C = dy.extent(1);
    cpu.parallel_for(rows.counts[0], 512, [&](std::ptrdiff_t begin, std::ptrdiff_t end, int) {
        detail::each_run(&rows.pixel[begin], int(end - begin), [&](int i, int pixel, int length) {
            detail::add_row(dy.data + std::ptrdiff_t(pixel) * C, length * C, d_x, (begin + i) * C);
        });
    });
}
template <class B>
void scatter_rows(Tape<B>& tape, In<typename B::Scalar, 2> x, const ActiveRows& rows, Out<typename B::Scalar, 2> y) {
    using T = typename B::Scalar;
    const int R = rows.pixel.extent(0);
    require(R == y.extent(0), "scatter_rows: on a tape every row of y must be written; ", R, " of ", y.extent(0),
            " are");
    scatter_rows(tape.backend(), x, rows, y);
    const In<T, 2> used = x.slice(0, R);
    tape.push(y, [=, &tape](View<const T, 2> dy) {
        if (const auto d_x = tape.whole_gradient(used)) scatter_rows_gradient<T>(tape.backend(), dy, rows, d_x);
    });
}

namespace detail {
/// d_image (P, C) (+)= dy: (N, C), of one frame of a window. Padding has no pixel.
template <class T>
void scatter_window(const WindowGrid& grid, int window, const T* dy, int C, Gradient<T> d_image) {
    grid.each_run(window, [&](int n, int pixel, int length) {
        if (pixel >= 0) add_row(dy + n * C, length * C, d_image, std::ptrdiff_t(pixel) * C);
    });
}
}  // namespace detail

/// d_image (P, C) of frame `frame` (+)= dy: (windows, frames, N, C).
template <class T>
void gather_windows_gradient(BasicCpu<T>& cpu, const WindowGrid& grid, const ActiveRows& rows, In<T, 4> dy, int frame,
                             Gradient<T> d_image) {
    cpu.parallel_for(rows.counts[1], 4, [&](std::ptrdiff_t begin, std::ptrdiff_t end, int) {
        for (std::ptrdiff_t w = begin; w < end; ++w)
            detail::scatter_window(grid, rows.window[w], dy[w][frame].data, dy.extent(3), d_image);
    });
}
template <class B>
void gather_windows(Tape<B>& tape, const WindowGrid& grid, const ActiveRows& rows, In<typename B::Scalar, 4> cond,
                    In<typename B::Scalar, 4> x, Out<typename B::Scalar, 4> y) {
    using T = typename B::Scalar;
    gather_windows(tape.backend(), grid, rows, cond, x, y);
    tape.push(y, [=, &tape](View<const T, 4> dy) {
        int frame = 0;
        for (const auto& images : {cond, x})
            for (int f = 0; images.data && f < images.extent(0); ++f, ++frame)
                if (const auto d = tape.whole_gradient(images[f]))  // each pixel is reached
                    gather_windows_gradient<T>(tape.backend(), grid, rows, dy, frame, d);
    });
}

}  // namespace mia
