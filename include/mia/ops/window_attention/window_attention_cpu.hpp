#pragma once
#include "mia/core/cpu.hpp"
#include "mia/core/micro_kernel.hpp"
#include "mia/core/transpose.hpp"
#include "mia/ops/window_attention/window_attention.hpp"

namespace mia {

/// The relative position bias of each query and key, in both orders.
template <class T>
struct PackedPositionBias<BasicCpu<T>> {
    HostBuffer<Wide<T>>
        by_query;                ///< (heads, queries, keys): a query's row, for windows whose active tokens are picked
    HostBuffer<Wide<T>> by_key;  ///< (heads, keys, padded queries): a key's row, for full windows
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
    std::fill(packed.by_key.data(), packed.by_key.data() + std::size_t(heads) * N * packed.padded_queries, Wide<T>(0));
    for (int h = 0; h < heads; ++h)
        for (int q = 0; q < Q; ++q) {
            // From key to key of a row of the window the index falls by 1: no divisions inside.
            for (int k = 0; k < N; k += window.width) {
                const int index = relative_position_index(window, frames, q, k);
                for (int i = 0; i < window.width; ++i) {
                    const Wide<T> bias = table(index - i, h);
                    packed.by_query.data()[(std::size_t(h) * Q + q) * N + k + i] = bias;
                    packed.by_key.data()[(std::size_t(h) * N + k + i) * packed.padded_queries + q] = bias;
                }
            }
        }
    packed.ready = true;
}

namespace detail {
inline namespace MIA_INSTRUCTIONS {  // see mia/kernels.cpp

/// How the keys and values of a window lie.
enum class KvOrder {
    tokens_first,   ///< both: element (token, channel) at token * stride + channel
    channels_first  ///< keys: lane (channels, token) at lane * stride + token; values: (channel, token) at channel *
                    ///< stride + token
};

/// The attention of one window and head for up to `panel_vectors` vectors of its active queries: queries in lanes, so
/// that softmax is vertical, and keys and values are broadcast from where they lie.
template <class T, KvOrder Order>
struct AttentionPanel {
    static constexpr int lanes = simd::lanes<T>, width = simd::panel_vectors * lanes;
    static constexpr bool by_channels = Order == KvOrder::channels_first;
    using W = Wide<T>;
    using V = simd::Vec<T>;
    using Weight = std::conditional_t<by_channels, Lane<T>, W>;  ///< what a lane of softmax's results holds
    using WeightElement = std::conditional_t<by_channels, T, W>;
    static constexpr int weights_per_lane = per_lane<WeightElement>;

    int D, N;     ///< head width (channels first: a multiple of what a lane holds), keys
    int vectors;  ///< of the panel in use: 1 or 2
    W scale = 1;  ///< of the products of queries and keys
    const std::conditional_t<by_channels, Lane<T>, T>* keys;
    const T* values;
    std::ptrdiff_t kv_stride;
    const Lane<T>* query;  ///< (lanes of D, query_stride)
    std::ptrdiff_t query_stride = width;
    const W* bias;  ///< row of key k begins at k * bias_stride, or at bias_offset[k] if that is given
    std::ptrdiff_t bias_stride;
    const int* bias_offset = nullptr;
    W* scores = nullptr;    ///< (N, width), scratch
    Weight* out = nullptr;  ///< (D, out_stride), by lanes where channels are first
    std::ptrdiff_t out_stride = width;
    W* statistics = nullptr;  ///< (2, width), if wanted: the largest score, and 1 / the sum of e^(score - it)

    void run() const;

private:
    template <int Vectors>
    void run_vectors() const {
        using namespace simd;
        V maximum[Vectors];
        for (V& m : maximum) m = broadcast(W(-3e38));
        each_tile(N, max_tile_rows(Vectors), [&](int k, int rows) {
            with_rows<max_tile_rows(Vectors)>(rows, [&]<int Rows>() { score_tile<Rows, Vectors>(k, maximum); });
        });
        V inverse_sum[Vectors];
        for (int j = 0; j < Vectors; ++j) inverse_sum[j] = softmax(j * lanes, maximum[j]);
        for (int j = 0; statistics && j < Vectors; ++j) {
            store(statistics + j * lanes, maximum[j]);
            store(statistics + width + j * lanes, inverse_sum[j]);
        }
        each_lane_tile<WeightElement>(D, max_tile_rows(Vectors), [&](int d, int rows) {
            with_lane_rows<WeightElement, max_tile_rows(Vectors)>(
                rows, [&]<int Rows>() { value_tile<Rows, Vectors>(d, inverse_sum); });
        });
    }

    template <int Rows, int Vectors>
    void score_tile(int k0, V (&maximum)[Vectors]) const {
        using namespace simd;
        V c[Rows][Vectors] = {}, most[Vectors];
        const int whole = D / per_lane<T>;
        if constexpr (by_channels)
            accumulate<Lane<T>, Rows, Vectors>(ColumnsOperand<Lane<T>, Rows>(keys + k0, kv_stride), query, query_stride,
                                               whole, c);
        else
            accumulate<Lane<T>, Rows, Vectors>(RowsOperand<T, Rows>(keys + k0 * kv_stride, kv_stride), query,
                                               query_stride, whole, c);
        if constexpr (!by_channels && per_lane<T> == 2)
            if (D % 2 != 0)
                accumulate<Lane<T>, Rows, Vectors>(LastColumnOperand<Rows>{keys + k0 * kv_stride + D - 1, kv_stride},
                                                   query + whole * query_stride, query_stride, 1, c);
        // Copies: stores of scores might alias what they are read from.
        const V scales = broadcast(scale);
        W* to = scores + k0 * width;
        const W* from = bias;
        const std::ptrdiff_t stride = bias_stride;
        const int* offset = bias_offset ? bias_offset + k0 : nullptr;
        std::copy_n(maximum, Vectors, most);
#pragma GCC unroll 12
        for (int i = 0; i < Rows; ++i)
#pragma GCC unroll 2
            for (int j = 0; j < Vectors; ++j) {
                // The bias comes last, as in the official code: it may be a hundred times larger than the terms before.
                const std::ptrdiff_t row = offset ? offset[i] : (k0 + i) * stride;
                c[i][j] = fma(c[i][j], scales, load(from + row + j * lanes));
                most[j] = max(most[j], c[i][j]);
                store(to + i * width + j * lanes, c[i][j]);
            }
        std::copy_n(most, Vectors, maximum);
    }

    /// Scores of the vector at `at` become e^(score - maximum), in place; returns 1 / their sum.
    V softmax(int at, V maximum) const {
        using namespace simd;
        constexpr int n = weights_per_lane;
        Weight* weights = reinterpret_cast<Weight*>(scores) + at;
        const W* from = scores + at;
        // The sum is of what is stored, rounded: weights that sum to 1 leave a constant as it is.
        const V sum = sum_of<WeightElement>(N, [=]<int Count>(int k, V& s) MIA_INLINE_LAMBDA {
            V e[n] = {};
#pragma GCC unroll 2
            for (int i = 0; i < Count; ++i)
                e[i] = exp_as<WeightElement>(max(load(from + (k + i) * width) - maximum, broadcast(W(least_exponent))));
            const auto packed = pack(e);
            store(weights + k / n * width, packed);
            if constexpr (n == 1)
                s += packed;
            else
                s = dot(packed, broadcast(Lane<T>(T(1.0f), T(1.0f))), s);
        });
        return broadcast(W(1)) / sum;
    }

    template <int Rows, int Vectors>
    void value_tile(int d0, const V (&inverse_sum)[Vectors]) const {
        using namespace simd;
        V c[Rows][Vectors] = {};
        const Weight* weights = reinterpret_cast<const Weight*>(scores);
        if constexpr (by_channels)
            accumulate<Weight, Rows, Vectors>(RowsOperand<T, Rows>(values + d0 * kv_stride, kv_stride), weights, width,
                                              ceil_div(N, weights_per_lane), c);
        else
            accumulate<Weight, Rows, Vectors>(ColumnsOperand<T, Rows>(values + d0, kv_stride), weights, width, N, c);
        constexpr int n = weights_per_lane;
#pragma GCC unroll 12
        for (int i = 0; i < Rows; i += n)
#pragma GCC unroll 2
            for (int j = 0; j < Vectors; ++j) {
                V v[n];
#pragma GCC unroll 2
                for (int e = 0; e < n; ++e) v[e] = c[i + e][j] * inverse_sum[j];
                store(out + (d0 + i) / n * out_stride + j * lanes, pack(v));
            }
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
extern template void AttentionPanel<Bf16, KvOrder::tokens_first>::run() const;
extern template void AttentionPanel<Bf16, KvOrder::channels_first>::run() const;
#endif

/// to[k * width + i] += -100 where key k and query i lie in different regions.
template <class W>
void add_region_penalty(const WindowGrid& grid, int w, const int* tokens, int count, int keys, W* to, int width) {
    const int N = grid.window.tokens();
    const W penalty = W(region_penalty);
    for (int i = 0; i < count; ++i) {
        const int region = grid.region(w, tokens[i] % N);
        for (int k = 0; k < N; ++k)
            if (grid.region(w, k) != region)
                for (int key = k; key < keys; key += N) to[key * width + i] += penalty;
    }
}

/// The position bias of up to `panel_vectors` vectors of a window's queries, head by head; queries in lanes.
template <class T>
class PanelBias {
    using W = Wide<T>;

public:
    static constexpr int width = simd::panel_vectors * simd::lanes<T>;
    using Packed = PackedPositionBias<BasicCpu<T>>;

    /// Numbers that scratch() must have.
    static std::size_t scratch_size(const WindowGrid& grid, const Packed& bias) {
        return std::size_t(bias.keys + grid.window.tokens()) * width;
    }
    PanelBias(const WindowGrid& grid, const Packed& bias, W* scratch)
        : grid_(grid), bias_(bias), picked_(scratch), penalty_(scratch + std::ptrdiff_t(bias.keys) * width) {
        std::fill(picked_, penalty_, W(0));  // lanes without a query compute on finite numbers
    }

    /// The queries [first, first + count) of a window with `queries` active ones, `tokens` those of the panel.
    void select(int window, int queries, int first, const int* tokens, int count) {
        first_ = first;
        tokens_ = tokens;
        count_ = count;
        is_full_ = queries == bias_.queries;
        has_regions_ = grid_.has_regions(window);
        if (!has_regions_) return;
        const int N = grid_.window.tokens();
        for (int i0 = 0; i0 < count; i0 += simd::lanes<T>) {
            W of_queries[simd::lanes<T>] = {};
            for (int i = 0; i < std::min(simd::lanes<T>, count - i0); ++i)
                of_queries[i] = W(grid_.region(window, tokens[i0 + i] % N));
            for (int k = 0; k < N; ++k) {
                const auto same = simd::load(of_queries) == simd::broadcast(W(grid_.region(window, k)));
                simd::store(penalty_ + k * width + i0, same ? simd::Vec<W>{} : simd::broadcast(W(region_penalty)));
            }
        }
    }

    struct Rows {
        const W* start;  ///< key k's begins at start + k * stride
        std::ptrdiff_t stride;
    };
    /// Valid until the next call.
    Rows of_head(int h) const {
        using namespace simd;
        const W* by_key = bias_.by_key.data() + std::ptrdiff_t(h) * bias_.keys * bias_.padded_queries + first_;
        if (is_full_ && !has_regions_) return {by_key, bias_.padded_queries};
        const int N = grid_.window.tokens(), used = round_up(count_, lanes<T>);
        if (!is_full_) {
            const W* by_query = bias_.by_query.data() + std::ptrdiff_t(h) * bias_.queries * bias_.keys;
            rows_to_panel<W>([&](int i) { return by_query + std::ptrdiff_t(tokens_[i]) * bias_.keys; }, count_,
                             bias_.keys, picked_, width);
        }
        for (int k = 0; has_regions_ && k < bias_.keys; ++k) {
            const W *from = is_full_ ? by_key + std::ptrdiff_t(k) * bias_.padded_queries : picked_ + k * width,
                    *added = penalty_ + k % N * width;
            for (int i = 0; i < used; i += lanes<T>) store(picked_ + k * width + i, load(from + i) + load(added + i));
        }
        return {picked_, width};
    }

private:
    const WindowGrid& grid_;
    const Packed& bias_;
    W* picked_;   ///< (keys, width)
    W* penalty_;  ///< (tokens of a frame, width), of a window with regions
    int first_ = 0, count_ = 0;
    const int* tokens_ = nullptr;
    bool is_full_ = false, has_regions_ = false;
};

}  // namespace MIA_INSTRUCTIONS
}  // namespace detail

/// statistics: empty, or (heads, 2, R), of each query what a gradient needs: AttentionPanel::statistics.
template <class T>
void window_attention(BasicCpu<T>& cpu, const WindowGrid& grid, const ActiveRows& rows, WindowFrames frames,
                      int num_heads, In<T, 2> q, In<T, 3> kv, const PackedPositionBias<BasicCpu<T>>& bias, Out<T, 2> y,
                      Out<Wide<T>, 3> statistics = {}) {
    require(bias.ready,
            "window_attention: the bias table is not packed; call prepare(backend, model) after loading or "
            "changing parameters");
    using Panel = detail::AttentionPanel<T, detail::KvOrder::tokens_first>;
    constexpr int lanes = Panel::lanes, width = Panel::width;
    const int C = q.extent(1), D = C / num_heads, N = frames.keys * grid.window.tokens();
    const std::int64_t per_query = 2 * std::int64_t(N) * C;
    cpu.record({"window_attention", &bias, rows.counts[0] * per_query, frames.queries * grid.pixels() * per_query});
    using W = Wide<T>;
    const W scale = W(1 / std::sqrt(double(D)));
    const std::ptrdiff_t head = simd::round_up(D, per_lane<T>);
    using Bias = detail::PanelBias<T>;
    const std::size_t bias_size = Bias::scratch_size(grid, bias);
    cpu.reserve_worker_scratch((std::size_t(head + D + N) * width + bias_size) * sizeof(W) + 4 * cache_line);
    cpu.parallel_for(rows.counts[1], 1, [&](std::ptrdiff_t begin, std::ptrdiff_t end, int worker) {
        Arena& arena = cpu.worker_scratch(worker);
        const ScratchScope scope(arena);
        const auto take = [&](std::ptrdiff_t count) {
            return static_cast<W*>(arena.take(std::size_t(count) * sizeof(W)));
        };
        Lane<T>* query = reinterpret_cast<Lane<T>*>(take(head * width / per_lane<T>));
        W *scores = take(N * width), *out = take(D * width);
        Bias panel_bias(grid, bias, take(std::ptrdiff_t(bias_size)));
        alignas(cache_line) W of_panel[2][width];
        std::fill_n(query, head * width / per_lane<T>, Lane<T>());  // lanes without a query compute on finite numbers
        for (std::ptrdiff_t w = begin; w < end; ++w) {
            const int first = rows.begin[w], queries = rows.begin[w + 1] - first, window = rows.window[w];
            const T* window_kv = kv[w].data;
            for (int i0 = 0; i0 < queries; i0 += width) {
                const int count = std::min(width, queries - i0);
                panel_bias.select(window, queries, i0, rows.token.data + first + i0, count);
                for (int h = 0; h < num_heads; ++h) {
                    const std::ptrdiff_t at = std::ptrdiff_t(first + i0) * C + h * D;
                    simd::rows_to_panel<T>([&](int i) { return q.data + at + std::ptrdiff_t(i) * C; }, count, D, query,
                                           width);
                    const auto bias_rows = panel_bias.of_head(h);
                    Panel{.D = D,
                          .N = N,
                          .vectors = count > lanes ? 2 : 1,
                          .scale = scale,
                          .keys = window_kv + h * D,
                          .values = window_kv + C + h * D,
                          .kv_stride = 2 * C,
                          .query = query,
                          .bias = bias_rows.start,
                          .bias_stride = bias_rows.stride,
                          .scores = scores,
                          .out = out,
                          .statistics = statistics.data ? of_panel[0] : nullptr}
                        .run();
                    for (int s = 0; statistics.data && s < 2; ++s)
                        std::copy_n(of_panel[s], count, &statistics(h, s, first + i0));
                    if constexpr (per_lane<T> == 1)
                        simd::panel_to_rows<T>(out, width, count, D,
                                               [&](int i) { return y.data + at + std::ptrdiff_t(i) * C; });
                    else
                        for (int i = 0; i < count; ++i)
                            for (int d = 0; d < D; ++d) y.data[at + std::ptrdiff_t(i) * C + d] = T(out[d * width + i]);
                }
            }
        }
    });
}

}  // namespace mia
