#pragma once
#include "mia/ops/window/windows_cuda.cuh"
#include "mia/train/vjp/products_cuda.cuh"
#include "mia/train/vjp/windows.hpp"

namespace mia {

namespace detail {
/// d[pixel[r], :] (+)= d y[r, :]; no two rows meet.
template <class T>
struct AddToPixels {
    const T* dy;
    const int* pixel;
    int C;
    Gradient<T> d;
    __device__ void operator()(int r, int c) const {
        d.add(std::ptrdiff_t(pixel[r]) * C + c, dy[std::ptrdiff_t(r) * C + c]);
    }
};
/// d[r, :] (+)= d y[pixel[r], :].
template <class T>
struct AddFromPixels {
    const T* dy;
    const int* pixel;
    int C;
    Gradient<T> d;
    __device__ void operator()(int r, int c) const {
        d.add(std::ptrdiff_t(r) * C + c, dy[std::ptrdiff_t(pixel[r]) * C + c]);
    }
};
/// A row is a token of a window in one frame.
template <class T>
struct AddFromWindows {
    WindowGrid grid;
    const int* window;
    const T* dy;
    int frames, frame, C;
    Gradient<T> d;
    __device__ void operator()(int row, int c) const {
        const int N = grid.window.tokens(), w = row / N, n = row % N, pixel = grid.pixel(window[w], n);
        if (pixel >= 0)
            d.add(std::ptrdiff_t(pixel) * C + c, dy[((std::ptrdiff_t(w) * frames + frame) * N + n) * C + c]);
    }
};
}  // namespace detail

template <class T>
void gather_rows_gradient(BasicCuda<T>& cuda, In<T, 2> dy, const ActiveRows& rows, Gradient<T> d_x) {
    const int C = dy.extent(1);
    detail::each_in_rows(cuda, "gather_rows vjp", rows.pixel.extent(0), C,
                         detail::AddToPixels<T>{dy.data, rows.pixel.data, C, d_x});
}

template <class T>
void scatter_rows_gradient(BasicCuda<T>& cuda, In<T, 2> dy, const ActiveRows& rows, Gradient<T> d_x) {
    const int C = dy.extent(1);
    detail::each_in_rows(cuda, "scatter_rows vjp", rows.pixel.extent(0), C,
                         detail::AddFromPixels<T>{dy.data, rows.pixel.data, C, d_x});
}

template <class T>
void gather_windows_gradient(BasicCuda<T>& cuda, const WindowGrid& grid, const ActiveRows& rows, In<T, 4> dy, int frame,
                             Gradient<T> d_image) {
    const int C = dy.extent(3);
    detail::each_in_rows(cuda, "gather_windows vjp", grid.windows() * grid.window.tokens(), C,
                         detail::AddFromWindows<T>{grid, rows.window.data, dy.data, dy.extent(1), frame, C, d_image});
}

}  // namespace mia
