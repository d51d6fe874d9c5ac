#pragma once
#include "mia/core/transpose.hpp"
#include "mia/ops/window_attention/window_attention.hpp"
#include "mia/train/vjp/products.hpp"

// With P = softmax(s), s = d^-1/2 q k^T + bias, y = P v, computed again from q, k and v:
//   d v = P^T d y;  d P = d y v^T;  d s = P (d P - sum over keys of P d P);
//   d q = d^-1/2 d s k;  d k = d^-1/2 d s^T q;  d table[index(i, j)] += d s[i, j].
// The sum over keys is y . d y (Dao et al., FlashAttention, 2022).

namespace mia {

template <class B>
struct PackedPositionBias<Tape<B>> {
    using Scalar = typename B::Scalar;
    PackedPositionBias<B> packed;
    View<const Scalar, 2> table;
    bool ready = false;
};

template <class B>
void pack_position_bias(Tape<B>& tape, In<typename B::Scalar, 2> table, WindowSize window, WindowFrames frames,
                        PackedPositionBias<Tape<B>>& bias) {
    pack_position_bias(tape.backend(), table, window, frames, bias.packed);
    bias.table = table;
    bias.ready = true;
}

namespace detail {

/// The position bias of up to `panel_vectors` vectors of a window's queries, head by head; queries in lanes.
template <class T>
class PanelBias {
public:
    static constexpr int width = simd::panel_vectors * simd::lanes<T>;
    using Packed = PackedPositionBias<BasicCpu<T>>;

    /// Numbers that scratch() must have.
    static std::size_t scratch_size(const WindowGrid& grid, const Packed& bias) {
        return std::size_t(bias.keys + grid.window.tokens()) * width;
    }
    PanelBias(const WindowGrid& grid, const Packed& bias, T* scratch)
        : grid_(grid), bias_(bias), picked_(scratch), penalty_(scratch + std::ptrdiff_t(bias.keys) * width) {
        std::fill(picked_, penalty_, T(0));  // lanes without a query compute on finite numbers
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
            T of_queries[simd::lanes<T>] = {};
            for (int i = 0; i < std::min(simd::lanes<T>, count - i0); ++i)
                of_queries[i] = T(grid_.region(window, tokens[i0 + i] % N));
            for (int k = 0; k < N; ++k) {
                const auto same = simd::load(of_queries) == simd::broadcast(T(grid_.region(window, k)));
                simd::store(penalty_ + k * width + i0, same ? simd::Vec<T>{} : simd::broadcast(T(region_penalty)));
            }
        }
    }

    struct Rows {
        const T* start;  ///< key k's begins at start + k * stride
        std::ptrdiff_t stride;
    };
    /// Valid until the next call.
    Rows of_head(int h) const {
        using namespace simd;
        const T* by_key = bias_.by_key.data() + std::ptrdiff_t(h) * bias_.keys * bias_.padded_queries + first_;
        if (is_full_ && !has_regions_) return {by_key, bias_.padded_queries};
        const int N = grid_.window.tokens(), used = round_up(count_, lanes<T>);
        if (!is_full_) {
            const T* by_query = bias_.by_query.data() + std::ptrdiff_t(h) * bias_.queries * bias_.keys;
            rows_to_panel<T>([&](int i) { return by_query + std::ptrdiff_t(tokens_[i]) * bias_.keys; }, count_,
                             bias_.keys, picked_, width);
        }
        for (int k = 0; has_regions_ && k < bias_.keys; ++k) {
            const T *from = is_full_ ? by_key + std::ptrdiff_t(k) * bias_.padded_queries : picked_ + k * width,
                    *added = penalty_ + k % N * width;
            for (int i = 0; i < used; i += lanes<T>) store(picked_ + k * width + i, load(from + i) + load(added + i));
        }
        return {picked_, width};
    }

private:
    const WindowGrid& grid_;
    const Packed& bias_;
    T* picked_;   ///< (keys, width)
    T* penalty_;  ///< (tokens of a frame, width), of a window with regions
    int first_ = 0, count_ = 0;
    const int* tokens_ = nullptr;
    bool is_full_ = false, has_regions_ = false;
};

/// The backward pass of one window and head for up to `panel_vectors` vectors of its queries, queries in lanes: a tile
/// of keys goes all the way while it lies in registers and L1.
template <class T>
struct AttentionGradientPanel {
    static constexpr int lanes = simd::lanes<T>, width = simd::panel_vectors * lanes;
    using V = simd::Vec<T>;

    int D, N;     ///< head width, keys
    int vectors;  ///< of the panel in use: 1 or 2
    int queries;  ///< in use
    const T *keys, *values;
    const T *query, *dy;            ///< (D, width) each, query scaled
    const T *query_rows, *dy_rows;  ///< the same by rows, (queries, row_stride), readable up to whole vectors
    std::ptrdiff_t row_stride;
    const T* bias;  ///< row of key k begins at k * bias_stride
    std::ptrdiff_t bias_stride;
    const T* mean;        ///< (width), sum over keys of P d P
    T *probability, *ds;  ///< (N, width), results
    T* dq;                ///< (D, width), result, of the scaled query
    T *dk, *dv;           ///< (N, D), rows as far apart as those of keys and values
    std::ptrdiff_t kv_stride;
    bool adds;  ///< to dk and dv

    void run() const {
        if (vectors == 1)
            run_vectors<1>();
        else
            run_vectors<2>();
    }

private:
    template <int Vectors>
    void run_vectors() const {
        using namespace simd;
        V maximum[Vectors], inverse[Vectors];
        for (V& m : maximum) m = broadcast(T(-3e38));
        each_tile(N, max_tile_rows(Vectors), [&](int k, int rows) {
            with_rows<max_tile_rows(Vectors)>(rows, [&]<int Rows>() { score_tile<Rows, Vectors>(k, maximum); });
        });
        for (int j = 0; j < Vectors; ++j) inverse[j] = exponentials(j * lanes, maximum[j]);
        each_tile(N, max_tile_rows(Vectors), [&](int k, int rows) {
            with_rows<max_tile_rows(Vectors)>(rows, [&]<int Rows>() {
                score_gradient_tile<Rows, Vectors>(k, inverse);
                key_products<Rows>(ds + k * width, query_rows, dk + k * kv_stride);
                key_products<Rows>(probability + k * width, dy_rows, dv + k * kv_stride);
            });
        });
        each_tile(D, max_tile_rows(Vectors), [&](int d, int rows) {
            with_rows<max_tile_rows(Vectors)>(rows, [&]<int Rows>() {
                V c[Rows][Vectors] = {};
                accumulate<T, Rows, Vectors>(ColumnsOperand<T, Rows>(keys + d, kv_stride), ds, width, N, c);
                for (int i = 0; i < Rows; ++i)
                    for (int j = 0; j < Vectors; ++j) store(dq + (d + i) * width + j * lanes, c[i][j]);
            });
        });
    }

    template <int Rows, int Vectors>
    void score_tile(int k, V (&maximum)[Vectors]) const {
        using namespace simd;
        V c[Rows][Vectors] = {};
        accumulate<T, Rows, Vectors>(RowsOperand<T, Rows>(keys + k * kv_stride, kv_stride), query, width, D, c);
#pragma GCC unroll 12
        for (int i = 0; i < Rows; ++i)
#pragma GCC unroll 2
            for (int j = 0; j < Vectors; ++j) {
                c[i][j] += load(bias + (k + i) * bias_stride + j * lanes);
                maximum[j] = max(maximum[j], c[i][j]);
                store(probability + (k + i) * width + j * lanes, c[i][j]);
            }
    }

    /// Scores of the vector at `at` become e^(score - maximum); returns 1 / their sum.
    V exponentials(int at, V maximum) const {
        using namespace simd;
        V sums[4] = {};
        for (int k = 0; k < N; ++k) {
            T* s = probability + k * width + at;
            const V e = exp(max(load(s) - maximum, broadcast(T(least_exponent))));
            store(s, e);
            sums[k % 4] += e;
        }
        return broadcast(T(1)) / ((sums[0] + sums[1]) + (sums[2] + sums[3]));
    }

    /// P and d s of keys k ... k + Rows - 1.
    template <int Rows, int Vectors>
    void score_gradient_tile(int k, const V (&inverse)[Vectors]) const {
        using namespace simd;
        V c[Rows][Vectors] = {};
        accumulate<T, Rows, Vectors>(RowsOperand<T, Rows>(values + k * kv_stride, kv_stride), dy, width, D, c);
#pragma GCC unroll 12
        for (int i = 0; i < Rows; ++i)
#pragma GCC unroll 2
            for (int j = 0; j < Vectors; ++j) {
                const int at = (k + i) * width + j * lanes;
                const V p = load(probability + at) * inverse[j];
                store(probability + at, p);
                store(ds + at, p * (c[i][j] - load(mean + j * lanes)));
            }
    }

    /// to[k, :] (+)= sum over queries of panel[k, query] rows[query, :], k < Rows.
    template <int Rows>
    void key_products(const T* panel, const T* rows, T* to) const {
        using namespace simd;
        constexpr int most = Rows <= max_tile_rows(2) ? 2 : 1;
        for (int d = 0; d < D; d += most * lanes) {
            const auto tile = [&]<int Vectors>() {
                const int last = std::min(lanes, D - d - (Vectors - 1) * lanes);
                const auto count = [&](int j) { return j + 1 < Vectors ? lanes : last; };
                V c[Rows][Vectors] = {};
                for (int i = 0; adds && i < Rows; ++i)
                    for (int j = 0; j < Vectors; ++j) c[i][j] = load_some(to + i * kv_stride + d + j * lanes, count(j));
                accumulate<T, Rows, Vectors>(RowsOperand<T, Rows>(panel, width), rows + d, row_stride, queries, c);
                for (int i = 0; i < Rows; ++i)
                    for (int j = 0; j < Vectors; ++j) store_some(to + i * kv_stride + d + j * lanes, c[i][j], count(j));
            };
            if (most == 1 || D - d <= lanes)
                tile.template operator()<1>();
            else
                tile.template operator()<most>();
        }
    }
};

/// d_table (rows, heads) += parts (pieces, heads, N, padded queries), in a fixed order.
template <class T>
void fold_position_bias(BasicCpu<T>& cpu, View<const T, 4> parts, int queries, WindowSize window, WindowFrames frames,
                        T* d_table) {
    const int heads = parts.extent(1), keys = parts.extent(2), padded_queries = parts.extent(3);
    const auto scope = cpu.scope();
    const auto sums = cpu.scratch(heads, padded_queries);
    // index(q, k) = index(q, 0) + index(0, k) - index(0, 0): no divisions inside.
    const auto of_query_row = cpu.template scratch<int>(queries / window.width);
    for (int i = 0; i < of_query_row.extent(0); ++i)
        of_query_row[i] = relative_position_index(window, frames, i * window.width, 0);
    cpu.parallel_for(heads, 1, [&](std::ptrdiff_t h, std::ptrdiff_t, int) {
        T* sum = sums[h].data;
        for (int k = 0; k < keys; ++k) {
            const int of_key = relative_position_index(window, frames, 0, k) - of_query_row[0];
            std::fill(sum, sum + padded_queries, T(0));
            for (int p = 0; p < parts.extent(0); ++p) {
                const T* part = &parts(p, h, k, 0);
                for (int q = 0; q < padded_queries; q += simd::lanes<T>)
                    simd::store(sum + q, simd::load(sum + q) + simd::load(part + q));
            }
            for (int row = 0; row < of_query_row.extent(0); ++row) {  // of the window: rows of the table in order
                T* to = d_table + std::ptrdiff_t(of_query_row[row] + of_key) * heads + h;
                const T* from = sum + row * window.width;
                for (int i = 0; i < window.width; ++i) to[std::ptrdiff_t(i) * heads] += from[i];
            }
        }
    });
}

}  // namespace detail

/// d_q (R, C) and d_kv (windows, N, 2 C) (+)=, for the windows in `rows`; d_table +=. y: of the forward pass. Windows
/// are summed in at most eight pieces.
template <class T>
void window_attention_gradient(BasicCpu<T>& cpu, const WindowGrid& grid, const ActiveRows& rows, WindowFrames frames,
                               int num_heads, In<T, 2> q, In<T, 3> kv, const PackedPositionBias<BasicCpu<T>>& bias,
                               In<T, 2> y, In<T, 2> dy, Gradient<T> d_q, Gradient<T> d_kv, Gradient<T> d_table) {
    using Panel = detail::AttentionGradientPanel<T>;
    constexpr int lanes = Panel::lanes, width = Panel::width;
    const int C = q.extent(1), D = C / num_heads, N = frames.keys * grid.window.tokens(), windows = rows.counts[1];
    const int padded_Q = bias.padded_queries;
    const int piece = std::max(1, simd::ceil_div(windows, 8)), pieces = simd::ceil_div(windows, piece);
    const T scale = T(1 / std::sqrt(double(D)));
    const auto scope = cpu.scope();
    const auto parts = cpu.scratch(pieces, num_heads, N, padded_Q);
    const std::size_t panel_size = std::size_t(C) * width, rows_size = panel_size + lanes;
    const std::size_t keys_size = std::size_t(N) * width, kv_size = d_kv ? 0 : std::size_t(2 * N) * std::size_t(C);
    const std::size_t bias_size = detail::PanelBias<T>::scratch_size(grid, bias);
    cpu.reserve_worker_scratch((4 * panel_size + 2 * rows_size + 2 * keys_size + bias_size + kv_size) * sizeof(T) +
                               12 * cache_line);
    cpu.parallel_for(pieces, 1, [&](std::ptrdiff_t begin, std::ptrdiff_t, int worker) {
        Arena& arena = cpu.worker_scratch(worker);
        const ScratchScope worker_scope(arena);
        const auto take = [&](std::size_t count) {
            T* memory = static_cast<T*>(arena.take(count * sizeof(T)));
            std::fill(memory, memory + count, T(0));  // lanes without a query compute on finite numbers
            return memory;
        };
        T *query = take(panel_size), *of_dy = take(panel_size), *of_y = take(panel_size), *dq = take(panel_size);
        T *query_rows = take(rows_size), *dy_rows = take(rows_size);
        T *ds = take(keys_size), *probability = take(keys_size);
        detail::PanelBias<T> panel_bias(grid, bias, take(bias_size));
        T* nowhere = kv_size ? take(kv_size) : nullptr;
        alignas(cache_line) T mean[width] = {};
        T* part = parts[begin].data;
        std::fill(part, part + std::ptrdiff_t(num_heads) * N * padded_Q, T(0));
        for (int w = int(begin) * piece; w < std::min(windows, (int(begin) + 1) * piece); ++w) {
            const int first = rows.begin[w], queries = rows.begin[w + 1] - first;
            T* window_d_kv = d_kv ? d_kv.data + kv[0].size() * w : nowhere;
            for (int i0 = 0; i0 < queries; i0 += width) {
                const int count = std::min(width, queries - i0), vectors = count > lanes ? 2 : 1;
                const std::ptrdiff_t at = first + i0;
                const int* tokens = rows.token.data + at;
                panel_bias.select(rows.window[w], queries, i0, tokens, count);
                for (int i = 0; i < count * C; ++i) query_rows[i] = scale * q.data[at * C + i];
                std::copy_n(dy.data + at * C, count * C, dy_rows);
                simd::rows_to_panel<T>([&](int i) { return query_rows + i * C; }, count, C, query, width);
                simd::rows_to_panel<T>([&](int i) { return dy_rows + i * C; }, count, C, of_dy, width);
                simd::rows_to_panel<T>([&](int i) { return y.data + (at + i) * C; }, count, C, of_y, width);
                for (int h = 0; h < num_heads; ++h) {
                    for (int i = 0; i < vectors * lanes; i += lanes) {
                        simd::Vec<T> sum{};
                        for (int c = h * D; c < (h + 1) * D; ++c)
                            sum = simd::fma(simd::load(of_dy + c * width + i), simd::load(of_y + c * width + i), sum);
                        simd::store(mean + i, sum);
                    }
                    const auto bias_rows = panel_bias.of_head(h);
                    Panel{.D = D,
                          .N = N,
                          .vectors = vectors,
                          .queries = count,
                          .keys = kv[w].data + h * D,
                          .values = kv[w].data + C + h * D,
                          .query = query + h * D * width,
                          .dy = of_dy + h * D * width,
                          .query_rows = query_rows + h * D,
                          .dy_rows = dy_rows + h * D,
                          .row_stride = C,
                          .bias = bias_rows.start,
                          .bias_stride = bias_rows.stride,
                          .mean = mean,
                          .probability = probability,
                          .ds = ds,
                          .dq = dq + h * D * width,
                          .dk = window_d_kv + h * D,
                          .dv = window_d_kv + C + h * D,
                          .kv_stride = 2 * C,
                          .adds = i0 > 0 || !d_kv.is_fresh}
                        .run();
                    T* bias_sum = part + std::ptrdiff_t(h) * N * padded_Q;
                    for (int k = 0; d_table && k < N; ++k, bias_sum += padded_Q) {
                        if (queries == bias.queries)
                            for (int i = 0; i < vectors * lanes; i += lanes)
                                simd::store(bias_sum + i0 + i,
                                            simd::load(bias_sum + i0 + i) + simd::load(ds + k * width + i));
                        else
                            for (int i = 0; i < count; ++i) bias_sum[tokens[i]] += ds[k * width + i];
                    }
                }
                if (!d_q) continue;
                T* rows_of_dq = d_q.is_fresh ? d_q.data + at * C : query_rows;
                for (std::size_t i = 0; i < panel_size; i += lanes)
                    simd::store(dq + i, simd::load(dq + i) * simd::broadcast(scale));
                simd::panel_to_rows<T>(dq, width, count, C, [&](int i) { return rows_of_dq + i * C; });
                for (int i = 0; !d_q.is_fresh && i < count * C; ++i) d_q.data[at * C + i] += rows_of_dq[i];
            }
        }
    });
    if (d_table) detail::fold_position_bias<T>(cpu, parts, bias.queries, grid.window, frames, d_table.data);
}

template <class B>
void window_attention(Tape<B>& tape, const WindowGrid& grid, const ActiveRows& rows, WindowFrames frames, int num_heads,
                      In<typename B::Scalar, 2> q, In<typename B::Scalar, 3> kv,
                      const PackedPositionBias<Tape<B>>& bias, Out<typename B::Scalar, 2> y) {
    using T = typename B::Scalar;
    window_attention(tape.backend(), grid, rows, frames, num_heads, q, kv, bias.packed, y);
    const PackedPositionBias<Tape<B>>* position = &bias;
    const In<T, 2> q_used = q.slice(0, rows.counts[0]), y_used = y.slice(0, rows.counts[0]);
    const In<T, 3> kv_used = kv.slice(0, rows.counts[1]);
    tape.reads(q_used);
    tape.reads(kv_used);
    tape.push(Out<T, 2>(y.slice(0, rows.counts[0])), [=, &tape](View<const T, 2> dy) {
        window_attention_gradient<T>(tape.backend(), grid, rows, frames, num_heads, q_used, kv_used, position->packed,
                                     y_used, dy, tape.whole_gradient(q_used), tape.whole_gradient(kv_used),
                                     tape.gradient(position->table));
    });
    tape.reads(y_used);
}

}  // namespace mia
