#pragma once
#include <algorithm>
#include <cstddef>

#include "mia/core/cpu.hpp"

// What training computes element by element, written once for all backends: F is a struct of views and numbers with a
// MIA_HOST_DEVICE operator(), as a kernel takes it (no lambda, no reference). Call these without `detail::`: the
// overload for a Cuda (core/cuda.cuh, train/each_element.cuh) is found by F, which lies in mia::detail.

namespace mia::detail {

/// f(i) for each i in [0, size). op: its name, in messages.
template <class T, class F>
void each_element(BasicCpu<T>& cpu, const char*, std::ptrdiff_t size, F f) {
    cpu.parallel_for(size, 1 << 14, [=](std::ptrdiff_t begin, std::ptrdiff_t end, int) {
        for (std::ptrdiff_t i = begin; i < end; ++i) f(i);
    });
}

/// f(row, i) for each row in [0, rows) and i in [0, row_size).
template <class T, class F>
void each_in_rows(BasicCpu<T>& cpu, const char*, int rows, int row_size, F f) {
    const int grain = std::max(1, (1 << 12) / std::max(1, row_size));
    cpu.parallel_for(rows, grain, [=](std::ptrdiff_t begin, std::ptrdiff_t end, int) {
        for (int row = int(begin); row < int(end); ++row)
            for (int i = 0; i < row_size; ++i) f(row, i);
    });
}

/// Sum over i of f(i), in pieces of a fixed size, in double. Waits for the backend.
template <class T, class F>
double sum_over(BasicCpu<T>& cpu, const char*, std::ptrdiff_t size, F f) {
    constexpr std::ptrdiff_t piece = 1 << 14;
    const auto scope = cpu.scope();
    const auto parts = cpu.template scratch<double>(int((size + piece - 1) / piece));
    cpu.parallel_for(size, piece, [=](std::ptrdiff_t begin, std::ptrdiff_t end, int) {
        double sum = 0;
        for (std::ptrdiff_t i = begin; i < end; ++i) sum += f(i);
        parts[begin / piece] = sum;
    });
    double sum = 0;
    for (std::ptrdiff_t i = 0; i < parts.extent(0); ++i) sum += parts[i];
    return sum;
}

}  // namespace mia::detail
