#pragma once
#include "mia/core/cpu.hpp"
#include "mia/core/micro_kernel.hpp"
#include "mia/core/transpose.hpp"
#include "mia/ops/layer_norm/layer_norm.hpp"

namespace mia {

namespace detail {

inline constexpr int norm_rows = 8;  ///< taken together: their sums over lanes are one transposition

/// totals[i] = the sum of the lanes of parts[i], in an order that does not depend on i.
template <class T>
MIA_INLINE void lane_sums(const simd::Vec<T> (&parts)[norm_rows], Wide<T> (&totals)[norm_rows]) {
    using namespace simd;
    if constexpr (std::is_same_v<Wide<T>, float> && lanes<T> >= 8) {
        Row8 r[norm_rows];
#pragma GCC unroll 8
        for (int i = 0; i < norm_rows; ++i) {
            Row8 pieces[lanes<T> / 8];
            std::memcpy(pieces, &parts[i], sizeof pieces);
            r[i] = pieces[0];
            for (int p = 1; p < lanes<T> / 8; ++p) r[i] += pieces[p];
        }
        transpose(r);
        const Row8 all = ((r[0] + r[1]) + (r[2] + r[3])) + ((r[4] + r[5]) + (r[6] + r[7]));
        std::memcpy(totals, &all, sizeof all);
    } else {
        for (int i = 0; i < norm_rows; ++i) totals[i] = sum<T>(parts[i]);
    }
}

/// `count` rows, at most norm_rows.
template <class T>
void norm_some(const T* x, int count, int C, const T* weight, const T* bias, T* y) {
    using namespace simd;
    using W = Wide<T>;
    using V = Vec<T>;
    const int whole = C / lanes<T> * lanes<T>, tail = C - whole;
    V ones{};
    for (int i = 0; i < tail; ++i) ones[i] = 1;
    V parts[norm_rows] = {};
    W means[norm_rows], inverses[norm_rows];
    for (int i = 0; i < count; ++i) {
        const T* row = x + std::ptrdiff_t(i) * C;
        V sum{};
        for (int c = 0; c < whole; c += lanes<T>) sum += load(row + c);
        if (tail > 0) sum += load_first(row + whole, tail);
        parts[i] = sum;
    }
    lane_sums<T>(parts, means);
    for (W& mean : means) mean /= W(C);
    for (int i = 0; i < count; ++i) {
        const T* row = x + std::ptrdiff_t(i) * C;
        const V mean = broadcast(means[i]);
        V sum{};
        for (int c = 0; c < whole; c += lanes<T>) {
            const V d = load(row + c) - mean;
            sum = fma(d, d, sum);
        }
        if (tail > 0) {
            const V d = (load_first(row + whole, tail) - mean) * ones;  // not the lanes beyond the row
            sum = fma(d, d, sum);
        }
        parts[i] = sum;
    }
    lane_sums<T>(parts, inverses);
    for (W& inverse : inverses) inverse = W(1) / std::sqrt(inverse / W(C) + W(layer_norm_eps));
    for (int i = 0; i < count; ++i) {
        const T* row = x + std::ptrdiff_t(i) * C;
        T* out = y + std::ptrdiff_t(i) * C;
        const V mean = broadcast(means[i]), inverse = broadcast(inverses[i]);
        for (int c = 0; c < whole; c += lanes<T>)
            store(out + c, fma((load(row + c) - mean) * inverse, load(weight + c), load(bias + c)));
        if (tail > 0)
            store_first(out + whole,
                        fma((load_first(row + whole, tail) - mean) * inverse, load_first(weight + whole, tail),
                            load_first(bias + whole, tail)),
                        tail);
    }
}

}  // namespace detail

template <class T>
void layer_norm(BasicCpu<T>& cpu, In<T, 2> x, In<T, 1> weight, In<T, 1> bias, Out<T, 2> y, RowCount rows = {}) {
    const int C = x.extent(1), M = rows.value ? *rows.value * rows.times : x.extent(0);
    cpu.parallel_for(M, 256, [&](std::ptrdiff_t begin, std::ptrdiff_t end, int) {
        for (std::ptrdiff_t r = begin; r < end; r += detail::norm_rows)
            detail::norm_some<T>(x.data + r * C, int(std::min<std::ptrdiff_t>(detail::norm_rows, end - r)), C,
                                 weight.data, bias.data, y.data + r * C);
    });
}

}  // namespace mia
