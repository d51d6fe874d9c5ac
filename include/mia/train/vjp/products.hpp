#pragma once
#include "mia/core/cpu.hpp"
#include "mia/core/micro_kernel.hpp"
#include "mia/ops/elementwise/elementwise.hpp"
#include "mia/train/each_element.hpp"
#include "mia/train/gradient.hpp"

// What the vjps of several ops are made of: sums of outer products on the micro-kernel of the forward pass, and sums in
// a fixed partition.

namespace mia::detail {

/// c[m, n] = sum over runs s and rows r < K of a[s, r, m] b[s, r, n]: the gradient of a weight matrix. a[s, r, m] is at
/// a + s * a_run + r * a_stride + m; b likewise, its N columns are neighbours and readable up to whole vectors. c: rows
/// c_stride apart, written in whole vectors.
template <class T>
struct OuterProducts {
    const T* a;
    std::ptrdiff_t a_stride, a_run;
    const T* b;
    std::ptrdiff_t b_stride, b_run;
    int runs, K, M, N;
    T* c;
    std::ptrdiff_t c_stride;
    bool adds = false;  ///< to c

    template <int Rows, int Vectors>
    void tile(int m, int n) const {
        using namespace simd;
        Vec<T> sums[Rows][Vectors] = {};
        if (adds)
#pragma GCC unroll 12
            for (int i = 0; i < Rows; ++i)
#pragma GCC unroll 3
                for (int j = 0; j < Vectors; ++j) sums[i][j] = load(c + (m + i) * c_stride + n + j * lanes<T>);
        for (int s = 0; s < runs; ++s)
            accumulate<T, Rows, Vectors>(ColumnsOperand<T, Rows>(a + s * a_run + m, a_stride), b + s * b_run + n,
                                         b_stride, K, sums);
#pragma GCC unroll 12
        for (int i = 0; i < Rows; ++i)
#pragma GCC unroll 3
            for (int j = 0; j < Vectors; ++j) store(c + (m + i) * c_stride + n + j * lanes<T>, sums[i][j]);
    }

    void run() const {
        using namespace simd;
        const PanelLayout<T> columns{N, 1};
        for (int panel = 0; panel < columns.panels(); ++panel) {
            const int vectors = columns.vectors(panel), n = columns.first(panel);
            each_tile(M, max_tile_rows(vectors), [&](int m, int rows) {
                with_tile(rows, vectors, [&]<int Rows, int Vectors>() { tile<Rows, Vectors>(m, n); });
            });
        }
    }
};

/// to[i] += the sum over pieces p, in order, of parts[p, i]; rows of `width` in `to` lie `stride` apart in a part.
template <class T>
void add_parts(BasicCpu<T>& cpu, const T* parts, int pieces, std::ptrdiff_t part_size, int rows, int width, int stride,
               T* to) {
    cpu.parallel_for(rows, std::max(1, 4096 / std::max(width, 1)), [&](std::ptrdiff_t begin, std::ptrdiff_t end, int) {
        for (std::ptrdiff_t r = begin; r < end; ++r)
            for (int p = 0; p < pieces; ++p) {
                const T* from = parts + p * part_size + r * stride;
                T* row = to + r * width;
                for (int i = 0; i < width; ++i) row[i] += from[i];
            }
    });
}

/// d += g, or d = g if d is fresh, for the elements that f gives: g = f(position, count) in vectors.
template <class T, class F>
void add_each_vector(BasicCpu<T>& cpu, std::ptrdiff_t size, Gradient<T> d, F f) {
    using namespace simd;
    each_vector(cpu, size, [=](std::ptrdiff_t i, int count) {
        Vec<T> g = f(i, count);
        if (count == lanes<T>)
            store(d.data + i, d.is_fresh ? g : load(d.data + i) + g);
        else
            store_first(d.data + i, d.is_fresh ? g : load_first(d.data + i, count) + g, count);
    });
}
template <class T>
MIA_INLINE simd::Vec<T> load_some(const T* p, int count) {
    return count == simd::lanes<T> ? simd::load(p) : simd::load_first(p, count);
}
template <class T>
MIA_INLINE void store_some(T* p, simd::Vec<T> v, int count) {
    if (count == simd::lanes<T>)
        simd::store<T>(p, v);
    else
        simd::store_first<T>(p, v, count);
}

/// to (N) += column sums of the K rows of x.
template <class T>
void add_column_sums(const T* x, std::ptrdiff_t K, int N, T* to) {
    using namespace simd;
    constexpr int most = 4;
    for (int n = 0; n < N; n += most * lanes<T>)
        with_rows<most>(std::min(most, ceil_div(N - n, lanes<T>)), [&]<int Vectors>() {
            const int last = std::min(lanes<T>, N - n - (Vectors - 1) * lanes<T>);
            Vec<T> even[Vectors] = {}, odd[Vectors] = {};  // two, to hide the addition's latency
            const auto each = [&](auto f) MIA_INLINE_LAMBDA {
#pragma GCC unroll 4
                for (int j = 0; j < Vectors; ++j) f(j, n + j * lanes<T>, j + 1 < Vectors ? lanes<T> : last);
            };
            std::ptrdiff_t r = 0;
            for (; r + 2 <= K; r += 2)
                each([&](int j, int at, int count) MIA_INLINE_LAMBDA {
                    even[j] += load_some(x + r * N + at, count);
                    odd[j] += load_some(x + (r + 1) * N + at, count);
                });
            each([&](int j, int at, int count) MIA_INLINE_LAMBDA {
                Vec<T> sum = even[j] + odd[j];
                if (r < K) sum += load_some(x + r * N + at, count);
                store_some<T>(to + at, load_some(to + at, count) + sum, count);
            });
        });
}

/// d (+)= g at position `at`, for C numbers.
template <class T>
MIA_INLINE void add_row(const T* g, int C, Gradient<T> d, std::ptrdiff_t at) {
    using namespace simd;
    for (int c = 0; c < C; c += lanes<T>) {
        const int count = std::min(lanes<T>, C - c);
        const Vec<T> v = load_some(g + c, count);
        store_some<T>(d.data + at + c, d.is_fresh ? v : load_some(d.data + at + c, count) + v, count);
    }
}

/// Shares a loop over the destination rows [0, rows) of a scatter: f(begin, end) looks at all sources and adds those
/// that go to these rows, so that every sum is taken in the order of the sources, whatever thread takes it.
template <class T, class F>
void scatter_by_rows(BasicCpu<T>& cpu, int rows, F f) {
    const int grain = std::max(16, simd::ceil_div(rows, 8));
    cpu.parallel_for(rows, grain, [&](std::ptrdiff_t begin, std::ptrdiff_t end, int) { f(int(begin), int(end)); });
}

}  // namespace mia::detail

namespace mia {

/// d (+)= g; d may be nowhere.
template <class T>
void add_gradient(BasicCpu<T>& cpu, const T* g, std::ptrdiff_t size, Gradient<T> d) {
    if (!d) return;
    detail::add_each_vector(cpu, size, d, [=](std::ptrdiff_t i, int count) { return detail::load_some(g + i, count); });
}

}  // namespace mia
