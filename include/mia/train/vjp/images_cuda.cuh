#pragma once
#include "mia/ops/pixel_shuffle/pixel_shuffle_cuda.cuh"
#include "mia/train/vjp/elementwise_cuda.cuh"
#include "mia/train/vjp/images.hpp"

namespace mia {

namespace detail {
/// A thread per number of x: writes are neighbours.
template <class T>
struct AddUnshuffled {
    const T* dy;
    int W, r, K;  // of x
    Gradient<T> d;
    __device__ void operator()(int row, int i) const {
        const int fine = r * r, column = i / (fine * K), c = i % (fine * K), phase = c % fine;
        const std::ptrdiff_t from_row = std::ptrdiff_t(row) * r + phase / r, from_column = column * r + phase % r;
        d.add(std::ptrdiff_t(row) * W * fine * K + i, dy[(from_row * W * r + from_column) * K + c / fine]);
    }
};
/// The outputs [begin, end) along an axis that may read input `at`; LinearTap tells which do.
struct LinearReaders {
    int begin, end;
    __device__ LinearReaders(int at, int in, int out, Corners corners) {
        const float step =
            corners == Corners::aligned ? float(out - 1) / float(in > 1 ? in - 1 : 1) : float(out) / float(in);
        const float low = float(at - 1) * step - 2, high = float(at + 2) * step + 2;
        begin = at == 0 || low < 0 ? 0 : int(low);
        end = at == in - 1 || high > float(out) ? out : int(high);
    }
};
/// d x (H, W, C) += the gradient of resize_bilinear: a thread per number, which looks for those that read it.
template <class T>
struct AddResized {
    View<const T, 3> dy;
    Corners corners;
    ChannelFactors factors;
    int H, W;
    T* d;
    __device__ void operator()(int row, int i) const {
        const int C = dy.extent(2), to_H = dy.extent(0), to_W = dy.extent(1), column = i / C, c = i % C;
        const LinearReaders rows(row, H, to_H, corners), columns(column, W, to_W, corners);
        const T factor = T(c == 0 ? factors.first : c == 1 ? factors.second : 1.0f);
        T sum = d[std::ptrdiff_t(row) * W * C + i];
        for (int y = rows.begin; y < rows.end; ++y) {
            const LinearTap ty(y, H, to_H, corners);
            const T of_row = T(ty.i0 == row ? ty.l0 : 0.0f) + T(ty.i1 == row ? ty.l1 : 0.0f);
            if (of_row == 0) continue;
            for (int x = columns.begin; x < columns.end; ++x) {
                const LinearTap tx(x, W, to_W, corners);
                const T of_column = T(tx.i0 == column ? tx.l0 : 0.0f) + T(tx.i1 == column ? tx.l1 : 0.0f);
                if (of_column != 0) sum += of_column * (factor * of_row * dy(y, x, c));
            }
        }
        d[std::ptrdiff_t(row) * W * C + i] = sum;
    }
};
}  // namespace detail

template <class T>
void resize_bilinear_gradient(BasicCuda<T>& cuda, In<T, 3> dy, Corners corners, ChannelFactors factors, int H, int W,
                              T* d_x) {
    detail::each_in_rows(cuda, "resize_bilinear vjp", H, W * dy.extent(2),
                         detail::AddResized<T>{dy, corners, factors, H, W, d_x});
}

template <class T>
void pixel_shuffle_gradient(BasicCuda<T>& cuda, In<T, 3> dy, int factor, Gradient<T> d_x) {
    const int r = factor, H = dy.extent(0) / r, W = dy.extent(1) / r, K = dy.extent(2);
    detail::each_in_rows(cuda, "pixel_shuffle vjp", H, W * r * r * K, detail::AddUnshuffled<T>{dy.data, W, r, K, d_x});
}

}  // namespace mia
