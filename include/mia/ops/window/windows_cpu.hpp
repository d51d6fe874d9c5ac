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

template <class T>
void gather_rows(BasicCpu<T>& cpu, In<T, 2> x, const ActiveRows& rows, Out<T, 2> y) {
    const int C = x.extent(1);
    cpu.parallel_for(rows.counts[0], 512, [&](std::ptrdiff_t begin, std::ptrdiff_t end, int) {
        for (std::ptrdiff_t r = begin; r < end; ++r)
            std::memcpy(y.data + r * C, x.data + std::ptrdiff_t(rows.pixel[r]) * C, std::size_t(C) * sizeof(T));
    });
}

template <class T>
void scatter_rows(BasicCpu<T>& cpu, In<T, 2> x, const ActiveRows& rows, Out<T, 2> y) {
    const int C = x.extent(1);
    cpu.parallel_for(rows.counts[0], 512, [&](std::ptrdiff_t begin, std::ptrdiff_t end, int) {
        for (std::ptrdiff_t r = begin; r < end; ++r)
            std::memcpy(y.data + std::ptrdiff_t(rows.pixel[r]) * C, x.data + r * C, std::size_t(C) * sizeof(T));
    });
}

template <class T>
void gather_windows(BasicCpu<T>& cpu, const WindowGrid& grid, const ActiveRows& rows, In<T, 4> cond, In<T, 4> x,
                    Out<T, 4> y) {
    const int C = x.extent(3), N = grid.window.tokens(), before = cond.data ? cond.extent(0) : 0;
    const int frames = before + x.extent(0);
    const std::size_t bytes = std::size_t(C) * sizeof(T);
    cpu.parallel_for(rows.counts[1], 4, [&](std::ptrdiff_t begin, std::ptrdiff_t end, int) {
        for (std::ptrdiff_t w = begin; w < end; ++w)
            for (int f = 0; f < frames; ++f) {
                const T* image = f < before ? cond[f].data : x[f - before].data;
                T* out = y.data + (w * frames + f) * N * C;
                for (int n = 0; n < N; ++n, out += C) {
                    const int pixel = grid.pixel(rows.window[w], n);
                    if (pixel < 0)
                        std::memset(out, 0, bytes);
                    else
                        std::memcpy(out, image + std::ptrdiff_t(pixel) * C, bytes);
                }
            }
    });
}

}  // namespace mia
