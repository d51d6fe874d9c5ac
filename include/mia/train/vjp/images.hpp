#pragma once
#include "mia/ops/avg_pool2d/avg_pool2d.hpp"
#include "mia/ops/pad/pad.hpp"
#include "mia/ops/pixel_shuffle/pixel_shuffle.hpp"
#include "mia/ops/resize/resize.hpp"
#include "mia/train/vjp/elementwise.hpp"
#include "mia/train/vjp/products.hpp"

// pad_replicate: a pixel at the edge gets the gradients of its copies.  crop_image: what was cut off gets none.
// pixel_shuffle: a permutation, d x[i, j, r^2 k + r a + b] = activation'(.) d y[r i + a, r j + b, k];  d residual = d
// y. resize_bilinear: each pixel's gradient goes to the four that it was mixed from.  avg_pool2d: to all of its window.

namespace mia {

namespace detail {

/// d x (H, W, C) += d y (H', W', C), its rows and columns beyond x's folded onto the last ones, or lacking.
template <class T>
struct AddFolded {
    View<const T, 3> dy;
    int H, W;
    T* d;
    MIA_HOST_DEVICE void operator()(int row, int i) const {
        const int C = dy.extent(2), to_H = dy.extent(0), to_W = dy.extent(1), column = i / C;
        if (row >= to_H || column >= to_W) return;
        const int end_row = row == H - 1 ? to_H : row + 1, end_column = column == W - 1 ? to_W : column + 1;
        T sum = d[std::ptrdiff_t(row) * W * C + i];
        for (int y = row; y < end_row; ++y)
            for (int x = column; x < end_column; ++x) sum += dy(y, x, i % C);
        d[std::ptrdiff_t(row) * W * C + i] = sum;
    }
};

/// d x (H, W, C) += d y / k^2 of the window.
template <class T>
struct AddPooled {
    View<const T, 3> dy;
    int k, W;
    T* d;
    MIA_HOST_DEVICE void operator()(int row, int i) const {
        const int C = dy.extent(2), column = i / C;
        d[std::ptrdiff_t(row) * W * C + i] += dy(row / k, column / k, i % C) / T(k * k);
    }
};

}  // namespace detail

template <class B>
void pad_replicate(Tape<B>& tape, In<typename B::Scalar, 3> x, Out<typename B::Scalar, 3> y) {
    using T = typename B::Scalar;
    pad_replicate(tape.backend(), x, y);
    tape.push(y, [=, &tape](View<const T, 3> dy) {
        const int H = x.extent(0), W = x.extent(1);
        if (const auto d_x = tape.gradient(x))
            each_in_rows(tape.backend(), "pad_replicate vjp", H, W * x.extent(2),
                         detail::AddFolded<T>{dy, H, W, d_x.data});
    });
}

template <class B>
void crop_image(Tape<B>& tape, In<typename B::Scalar, 3> x, Out<typename B::Scalar, 3> y) {
    using T = typename B::Scalar;
    crop_image(tape.backend(), x, y);
    tape.push(y, [=, &tape](View<const T, 3> dy) {
        const int H = x.extent(0), W = x.extent(1);
        if (const auto d_x = tape.gradient(x))
            each_in_rows(tape.backend(), "crop_image vjp", H, W * x.extent(2),
                         detail::AddFolded<T>{dy, H, W, d_x.data});
    });
}

/// d_x (H, W, r^2 K) (+)= dy (r H, r W, K), put back.
template <class T>
void pixel_shuffle_gradient(BasicCpu<T>& cpu, In<T, 3> dy, int factor, Gradient<T> d_x) {
    const int r = factor, H = dy.extent(0) / r, W = dy.extent(1) / r, K = dy.extent(2);
    cpu.parallel_for(H, 2, [&](std::ptrdiff_t begin, std::ptrdiff_t end, int) {
        for (std::ptrdiff_t i = begin; i < end; ++i)
            for (int a = 0; a < r; ++a) {
                const T* in = dy.data + (r * i + a) * r * W * K;
                T* out = d_x.data + i * W * r * r * K + a * r;
                for (int j = 0; j < W; ++j, out += r * r * K)
                    for (int b = 0; b < r; ++b)
                        for (int k = 0; k < K; ++k) {
                            T& to = out[k * r * r + b];
                            to = d_x.is_fresh ? *in : to + *in;
                            ++in;
                        }
            }
    });
}

template <class B>
void pixel_shuffle(Tape<B>& tape, In<typename B::Scalar, 3> x, int factor, Out<typename B::Scalar, 3> y,
                   Activation activation = Activation::none, In<typename B::Scalar, 3> residual = {}) {
    using T = typename B::Scalar;
    if (!detail::is_seen_in_result(activation, residual.data != nullptr)) {
        const auto activated = tape.scratch(y.extent(0), y.extent(1), y.extent(2));
        pixel_shuffle(tape, x, factor, activated, activation);
        return add(tape, rows_of(activated), rows_of(residual), rows_of(y));
    }
    pixel_shuffle(tape.backend(), x, factor, y, activation, residual);
    const In<T, 3> result = y;
    tape.push(y, [=, &tape](View<const T, 3> dy) {
        B& backend = tape.backend();
        const auto scope = backend.scope();
        add_gradient(backend, dy.data, dy.size(), tape.whole_gradient(residual));
        In<T, 3> before = dy;
        before.data = detail::before_activation<T>(backend, rows_of(result), activation, rows_of(dy)).data;
        if (const auto d_x = tape.whole_gradient(x)) pixel_shuffle_gradient<T>(backend, before, factor, d_x);
    });
    if (activation != Activation::none) tape.reads(y);
}

/// d_x (H, W, C) += the gradient of resize_bilinear; dy: (H', W', C).
template <class T>
void resize_bilinear_gradient(BasicCpu<T>& cpu, In<T, 3> dy, Corners corners, ChannelFactors factors, int H, int W,
                              T* d_x) {
    const int C = dy.extent(2), to_H = dy.extent(0), to_W = dy.extent(1);
    const auto scope = cpu.scope();
    const auto columns = cpu.template scratch<detail::LinearTap>(to_W);
    for (int j = 0; j < to_W; ++j) columns[j] = detail::LinearTap(j, W, to_W, corners);
    detail::scatter_by_rows(cpu, H, [&](int begin, int end) {
        for (int i = 0; i < to_H; ++i) {
            const detail::LinearTap ty(i, H, to_H, corners);
            for (const auto& [row, share] : {std::pair(ty.i0, ty.l0), std::pair(ty.i1, ty.l1)}) {
                if (row < begin || row >= end) continue;
                const T* g = dy.data + std::ptrdiff_t(i) * to_W * C;
                T* to = d_x + std::ptrdiff_t(row) * W * C;
                for (int j = 0; j < to_W; ++j, g += C)
                    for (int c = 0; c < C; ++c) {
                        const T factor = T(c == 0 ? factors.first : c == 1 ? factors.second : 1.0f);
                        const T value = factor * T(share) * g[c];
                        to[columns[j].i0 * C + c] += T(columns[j].l0) * value;
                        to[columns[j].i1 * C + c] += T(columns[j].l1) * value;
                    }
            }
        }
    });
}

template <class B>
void resize_bilinear(Tape<B>& tape, In<typename B::Scalar, 3> x, Corners corners, Out<typename B::Scalar, 3> y,
                     ChannelFactors factors = {}) {
    using T = typename B::Scalar;
    resize_bilinear(tape.backend(), x, corners, y, factors);
    tape.push(y, [=, &tape](View<const T, 3> dy) {
        if (const auto d_x = tape.gradient(x))
            resize_bilinear_gradient<T>(tape.backend(), dy, corners, factors, x.extent(0), x.extent(1), d_x.data);
    });
}

template <class B>
void avg_pool2d(Tape<B>& tape, In<typename B::Scalar, 3> x, int kernel_size, Out<typename B::Scalar, 3> y) {
    using T = typename B::Scalar;
    avg_pool2d(tape.backend(), x, kernel_size, y);
    tape.push(y, [=, &tape](View<const T, 3> dy) {
        const int k = kernel_size;
        if (const auto d_x = tape.gradient(x))
            each_in_rows(tape.backend(), "avg_pool2d vjp", dy.extent(0) * k, dy.extent(1) * k * dy.extent(2),
                         detail::AddPooled<T>{dy, k, x.extent(1), d_x.data});
    });
}

}  // namespace mia
