#pragma once
#include "mia/core/cpu.hpp"
#include "mia/ops/window/windows.hpp"

namespace mia {

template <class T>
void select_rows(BasicCpu<T>& cpu, const WindowGrid& grid, int frames, View<const std::uint8_t, 3> keep,
                 ActiveRows& rows) {
    const int N = grid.window.tokens(), P = grid.pixels();
    int count = 0, windows = 0;
    for (int w = 0; w < grid.windows(); ++w) {
        const int first = count;
        for (int f = 0; f < frames; ++f)
            for (int n = 0; n < N; ++n) {
                const int pixel = grid.pixel(w, n);
                if (pixel < 0 || (keep.data && !keep.data[std::ptrdiff_t(f) * P + pixel])) continue;
                rows.pixel[count] = f * P + pixel;
                rows.token[count++] = f * N + n;
            }
        if (count == first) continue;
        rows.window[windows] = w;
        rows.begin[windows++] = first;
    }
    rows.begin[windows] = count;
    rows.counts[0] = count;
    rows.counts[1] = windows;
    cpu.record_tokens(count, std::int64_t(frames) * P);
}

namespace detail {
/// f(i, pixel, length) for the runs of neighbours among `count` pixels: most of a window's lie side by side.
template <class F>
MIA_INLINE void each_run(const int* pixels, int count, F f) {
    for (int i = 0, length; i < count; i += length) {
        for (length = 1; i + length < count && pixels[i + length] == pixels[i] + length;) ++length;
        f(i, pixels[i], length);
    }
}

/// The tokens of a window, frames in order [cond, x], padding as zeros; cond: (Fc, H, W, C), may be empty, x: (F, H, W,
/// C) -> y: (Fc + F, N, C).
template <class T>
void gather_window(const WindowGrid& grid, int window, View<const T, 4> cond, View<const T, 4> x, T* y) {
    const int C = x.extent(3);
    for (const auto& images : {cond, x})
        for (int f = 0; images.data && f < images.extent(0); ++f, y += grid.window.tokens() * C) {
            const T* image = images[f].data;
            grid.each_run(window, [&](int n, int pixel, int length) {
                if (pixel < 0)
                    std::fill_n(y + n * C, length * C, T(0));
                else
                    std::copy_n(image + std::ptrdiff_t(pixel) * C, length * C, y + n * C);
            });
        }
}
}  // namespace detail

template <class T>
void gather_rows(BasicCpu<T>& cpu, In<T, 2> x, const ActiveRows& rows, Out<T, 2> y) {
    const int C = x.extent(1);
    cpu.parallel_for(rows.counts[0], 512, [&](std::ptrdiff_t begin, std::ptrdiff_t end, int) {
        detail::each_run(&rows.pixel[begin], int(end - begin), [&](int i, int pixel, int length) {
            std::copy_n(x.data + std::ptrdiff_t(pixel) * C, length * C, y.data + (begin + i) * C);
        });
    });
}

template <class T>
void scatter_rows(BasicCpu<T>& cpu, In<T, 2> x, const ActiveRows& rows, Out<T, 2> y) {
    const int C = x.extent(1);
    cpu.parallel_for(rows.counts[0], 512, [&](std::ptrdiff_t begin, std::ptrdiff_t end, int) {
        detail::each_run(&rows.pixel[begin], int(end - begin), [&](int i, int pixel, int length) {
            std::copy_n(x.data + (begin + i) * C, length * C, y.data + std::ptrdiff_t(pixel) * C);
        });
    });
}

template <class T>
void gather_windows(BasicCpu<T>& cpu, const WindowGrid& grid, const ActiveRows& rows, In<T, 4> cond, In<T, 4> x,
                    Out<T, 4> y) {
    cpu.parallel_for(rows.counts[1], 4, [&](std::ptrdiff_t begin, std::ptrdiff_t end, int) {
        for (std::ptrdiff_t w = begin; w < end; ++w) detail::gather_window<T>(grid, rows.window[w], cond, x, y[w].data);
    });
}

}  // namespace mia
