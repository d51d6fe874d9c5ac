#pragma once
#include "mia/core/cpu.hpp"
#include "mia/core/micro_kernel.hpp"
#include "mia/core/transpose.hpp"
#include "mia/ops/window_attention/window_attention.hpp"

namespace mia {

/// The relative position bias of each query and key, in both orders.
template <class T>
struct PackedPositionBias<BasicCpu<T>> {
    HostBuffer<T> by_query;  ///< (heads, queries, keys): a query's row, for windows whose active tokens are picked
    HostBuffer<T> by_key;    ///< (heads, keys, padded queries): a key's row, for full windows
    int heads = 0, queries = 0, keys = 0, padded_queries = 0;
    bool ready = false;
};

namespace detail {
/// Below e^-55 of the largest term nothing is left beside it in float, and no denormal is made.
inline constexpr double least_exponent = -55;
}  // namespace detail

template <class T>
void pack_position_bias(BasicCpu<T>&, In<T, 2> table, WindowSize window, WindowFrames frames,
                        PackedPositionBias<BasicCpu<T>>& packed) {
    const int heads = table.extent(1), Q = frames.queries * window.tokens(), N = frames.keys * window.tokens();
    packed.heads = heads;
    packed.queries = Q;
    packed.keys = N;
    packed.padded_queries = simd::round_up(Q, simd::panel_vectors * simd::lanes<T>);
    packed.by_query.reserve(std::size_t(heads) * Q * N);
    packed.by_key.reserve(std::size_t(heads) * N * packed.padded_queries);
    std::fill(packed.by_key.data(), packed.by_key.data() + std::size_t(heads) * N * packed.padded_queries, T(0));
    for (int h = 0; h < heads; ++h)
        for (int q = 0; q < Q; ++q)
            for (int k = 0; k < N; ++k) {
                const T bias = table(relative_position_index(window, frames, q, k), h);
                packed.by_query.data()[(std::size_t(h) * Q + q) * N + k] = bias;
                packed.by_key.data()[(std::size_t(h) * N + k) * packed.padded_queries + q] = bias;
            }
    packed.ready = true;
}

namespace detail {
inline namespace MIA_INSTRUCTIONS {  // see mia/kernels.cpp

/// How the keys and values of a window lie: element (token, channel) at token * stride + channel, or the other way
/// round.
enum class KvOrder { tokens_first, channels_first };

/// The attention of one window and head for up to `panel_vectors` vectors of its active queries: queries in lanes, so
/// that softmax is vertical, and keys and values are broadcast from where they lie.
template <class T, KvOrder Order>
struct AttentionPanel {
    static constexpr int lanes = simd::lanes<T>, width = simd::panel_vectors * lanes;
    using V = simd::Vec<T>;

    int D, N;     ///< head width, keys
    int vectors;  ///< of the panel in use: 1 or 2
    const T *keys, *values;
    std::ptrdiff_t kv_stride;
    const T* query;  ///< (D, width), scaled
    const T* bias;   ///< row of key k begins at k * bias_stride, or at bias_offset[k] if that is given
    std::ptrdiff_t bias_stride;
    const int* bias_offset = nullptr;
    T* scores = nullptr;  ///< (N, width), scratch
    T* out = nullptr;     ///< (D, width)

    void run() const;

private:
    template <int Vectors>
    void run_vectors() const {
        using namespace simd;
        V maximum[Vectors];
        for (V& m : maximum) m = broadcast(T(-3e38));
        each_tile(N, max_tile_rows(Vectors), [&](int k, int rows) {
            with_rows<max_tile_rows(Vectors)>(rows, [&]<int Rows>() { score_tile<Rows, Vectors>(k, maximum); });
        });
        V inverse_sum[Vectors];
        for (int j = 0; j < Vectors; ++j) {
            V sums[4] = {};
            for (int k = 0; k < N; ++k) {
                T* s = scores + k * width + j * lanes;
                const V e = exp(max(load(s) - maximum[j], broadcast(T(least_exponent))));
                store(s, e);
                sums[k % 4] += e;
            }
            inverse_sum[j] = broadcast(T(1)) / ((sums[0] + sums[1]) + (sums[2] + sums[3]));
        }
        each_tile(D, max_tile_rows(Vectors), [&](int d, int rows) {
            with_rows<max_tile_rows(Vectors)>(rows, [&]<int Rows>() { value_tile<Rows, Vectors>(d, inverse_sum); });
        });
    }

    template <int Rows, int Vectors>
    void score_tile(int k0, V (&maximum)[Vectors]) const {
        using namespace simd;
        V c[Rows][Vectors] = {};
        if constexpr (Order == KvOrder::tokens_first)
            accumulate<T, Rows, Vectors>(RowsOperand<T, Rows>(keys + k0 * kv_stride, kv_stride), query, width, D, c);
        else
            accumulate<T, Rows, Vectors>(ColumnsOperand<T, Rows>(keys + k0, kv_stride), query, width, D, c);
#pragma GCC unroll 12
        for (int i = 0; i < Rows; ++i)
#pragma GCC unroll 2
            for (int j = 0; j < Vectors; ++j) {
                // The bias comes last, as in the official code: it may be a hundred times larger than the terms before.
                const std::ptrdiff_t row = bias_offset ? bias_offset[k0 + i] : (k0 + i) * bias_stride;
                c[i][j] += load(bias + row + j * lanes);
                maximum[j] = max(maximum[j], c[i][j]);
                store(scores + (k0 + i) * width + j * lanes, c[i][j]);
            }
    }

    template <int Rows, int Vectors>
    void value_tile(int d0, const V (&inverse_sum)[Vectors]) const {
        using namespace simd;
        V c[Rows][Vectors] = {};
        if constexpr (Order == KvOrder::tokens_first)
            accumulate<T, Rows, Vectors>(ColumnsOperand<T, Rows>(values + d0, kv_stride), scores, width, N, c);
        else
            accumulate<T, Rows, Vectors>(RowsOperand<T, Rows>(values + d0 * kv_stride, kv_stride), scores, width, N, c);
#pragma GCC unroll 12
        for (int i = 0; i < Rows; ++i)
#pragma GCC unroll 2
            for (int j = 0; j < Vectors; ++j) store(out + (d0 + i) * width + j * lanes, c[i][j] * inverse_sum[j]);
    }
};

template <class T, KvOrder Order>
void AttentionPanel<T, Order>::run() const {
    if (vectors == 1)
        run_vectors<1>();
    else
        run_vectors<2>();
}

#ifdef MIA_COMPILED_KERNELS
extern template void AttentionPanel<float, KvOrder::tokens_first>::run() const;
extern template void AttentionPanel<float, KvOrder::channels_first>::run() const;
extern template void AttentionPanel<double, KvOrder::tokens_first>::run() const;
extern template void AttentionPanel<double, KvOrder::channels_first>::run() const;
#endif

/// to[k * width + i] += -100 where key k and query i lie in different regions.
template <class T>
void add_region_penalty(const WindowGrid& grid, int w, const int* tokens, int count, int keys, T* to, int width) {
    const int N = grid.window.tokens();
    const T penalty = T(region_penalty);
    for (int i = 0; i < count; ++i) {
        const int region = grid.region(w, tokens[i] % N);
        for (int k = 0; k < N; ++k)
            if (grid.region(w, k) != region)
                for (int key = k; key < keys; key += N) to[key * width + i] += penalty;
    }
}

}  // namespace MIA_INSTRUCTIONS
}  // namespace detail

template <class T>
void window_attention(BasicCpu<T>& cpu, const WindowGrid& grid, const ActiveRows& rows, WindowFrames frames,
                      int num_heads, In<T, 2> q, In<T, 3> kv, const PackedPositionBias<BasicCpu<T>>& bias,
                      Out<T, 2> y) {
    require(bias.ready,
            "window_attention: the bias table is not packed; call prepare(backend, model) after loading or "
            "changing parameters");
    using Panel = detail::AttentionPanel<T, detail::KvOrder::tokens_first>;
    constexpr int lanes = Panel::lanes, width = Panel::width;
    const int C = q.extent(1), D = C / num_heads, N = frames.keys * grid.window.tokens();
    const std::int64_t per_query = 2 * std::int64_t(N) * C;
    cpu.record({"window_attention", &bias, rows.counts[0] * per_query, frames.queries * grid.pixels() * per_query});
    const T scale = T(1 / std::sqrt(double(D)));
    cpu.reserve_worker_scratch(std::size_t(C + N) * 2 * width * sizeof(T) + 4 * cache_line);  // the four below
    cpu.parallel_for(rows.counts[1], 1, [&](std::ptrdiff_t begin, std::ptrdiff_t end, int worker) {
        Arena& arena = cpu.worker_scratch(worker);
        const ScratchScope scope(arena);
        const auto take = [&](std::ptrdiff_t count) {
            return static_cast<T*>(arena.take(std::size_t(count) * sizeof(T)));
        };
        T *query = take(C * width), *scores = take(N * width), *out = take(C * width), *picked = take(N * width);
        std::fill(query, query + C * width, T(0));  // lanes without a query compute on finite numbers
        std::fill(picked, picked + N * width, T(0));
        for (std::ptrdiff_t w = begin; w < end; ++w) {
            const int first = rows.begin[w], queries = rows.begin[w + 1] - first, window = rows.window[w];
            const bool full = queries == bias.queries, regions = grid.has_regions(window);
            const T* window_kv = kv[w].data;
            for (int i0 = 0; i0 < queries; i0 += width) {
                const int count = std::min(width, queries - i0);
                const int* tokens = rows.token.data + first + i0;
                simd::rows_to_panel<T>([&](int i) { return q.data + std::ptrdiff_t(first + i0 + i) * C; }, count, C,
                                       query, width);
                for (int i = 0; i < C * width; i += lanes)
                    simd::store(query + i, simd::load(query + i) * simd::broadcast(scale));
                for (int h = 0; h < num_heads; ++h) {
                    const T* start = bias.by_key.data() + std::size_t(h) * N * bias.padded_queries + i0;
                    std::ptrdiff_t stride = bias.padded_queries;
                    if (!full || regions) {
                        const T* by_query = bias.by_query.data() + std::size_t(h) * bias.queries * N;
                        simd::rows_to_panel<T>([&](int i) { return by_query + std::ptrdiff_t(tokens[i]) * N; }, count,
                                               N, picked, width);
                        if (regions) detail::add_region_penalty(grid, window, tokens, count, N, picked, width);
                        start = picked;
                        stride = width;
                    }
                    Panel{.D = D,
                          .N = N,
                          .vectors = count > lanes ? 2 : 1,
                          .keys = window_kv + h * D,
                          .values = window_kv + C + h * D,
                          .kv_stride = 2 * C,
                          .query = query + h * D * width,
                          .bias = start,
                          .bias_stride = stride,
                          .scores = scores,
                          .out = out + h * D * width}
                        .run();
                }
                simd::panel_to_rows<T>(out, width, count, C,
                                       [&](int i) { return y.data + std::ptrdiff_t(first + i0 + i) * C; });
            }
        }
    });
}

}  // namespace mia
