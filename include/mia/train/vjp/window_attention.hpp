#pragma once
#include "mia/core/transpose.hpp"
#include "mia/ops/window_attention/window_attention.hpp"
#include "mia/train/vjp/products.hpp"

// With P = softmax(s), s = d^-1/2 q k^T + bias, y = P v, computed again from q, k and v:
//   d v = P^T d y;  d P = d y v^T;  d s = P (d P - sum over keys of P d P);
//   d q = d^-1/2 d s k;  d k = d^-1/2 d s^T q;  d table[index(i, j)] += d s[i, j].

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

/// The backward pass of one window and head for up to `panel_vectors` vectors of its queries; queries in lanes.
template <class T>
struct AttentionGradientPanel {
    static constexpr int lanes = simd::lanes<T>, width = simd::panel_vectors * lanes;
    using V = simd::Vec<T>;

    int D, N;     ///< head width, keys
    int vectors;  ///< of the panel in use: 1 or 2
    int queries;  ///< in use
    const T *keys, *values;
    std::ptrdiff_t kv_stride;
    const T *query, *dy;            ///< (D, width) each, query scaled
    const T *query_rows, *dy_rows;  ///< the same by rows, (queries, padded D), zero beyond D
    int padded_D;
    const T* bias;  ///< row of key k begins at k * bias_stride
    std::ptrdiff_t bias_stride;
    T *probability, *ds;  ///< (N, width), results
    T* dq;                ///< (D, width), result, of the scaled query
    T *dk, *dv;           ///< (N, padded D), added to

    void run() const {
        if (vectors == 1)
            run_vectors<1>();
        else
            run_vectors<2>();
        key_products(ds, query_rows, dk);
        key_products(probability, dy_rows, dv);
    }

private:
    template <int Vectors>
    void run_vectors() const {
        using namespace simd;
        V maximum[Vectors];
        for (V& m : maximum) m = broadcast(T(-3e38));
        key_rows<Vectors>(keys, query, [&](int k, int j, V score) MIA_INLINE_LAMBDA {
            score += load(bias + k * bias_stride + j * lanes);
            maximum[j] = max(maximum[j], score);
            store(probability + k * width + j * lanes, score);
        });
        key_rows<Vectors>(values, dy,
                          [&](int k, int j, V v) MIA_INLINE_LAMBDA { store(ds + k * width + j * lanes, v); });
        for (int j = 0; j < Vectors; ++j) softmax_gradient(j * lanes, maximum[j]);
        each_tile(D, max_tile_rows(Vectors), [&](int d, int rows) {
            with_rows<max_tile_rows(Vectors)>(rows, [&]<int Rows>() {
                V c[Rows][Vectors] = {};
                accumulate<T, Rows, Vectors>(ColumnsOperand<T, Rows>(keys + d, kv_stride), ds, width, N, c);
                for (int i = 0; i < Rows; ++i)
                    for (int j = 0; j < Vectors; ++j) store(dq + (d + i) * width + j * lanes, c[i][j]);
            });
        });
    }

    /// done(k, j, sum over d of rows[k, d] panel[d, lanes of vector j]) for each key.
    template <int Vectors, class Done>
    void key_rows(const T* rows_of_keys, const T* panel, Done done) const {
        using namespace simd;
        each_tile(N, max_tile_rows(Vectors), [&](int k, int rows) {
            with_rows<max_tile_rows(Vectors)>(rows, [&]<int Rows>() {
                V c[Rows][Vectors] = {};
                accumulate<T, Rows, Vectors>(RowsOperand<T, Rows>(rows_of_keys + k * kv_stride, kv_stride), panel,
                                             width, D, c);
#pragma GCC unroll 12
                for (int i = 0; i < Rows; ++i)
#pragma GCC unroll 2
                    for (int j = 0; j < Vectors; ++j) done(k + i, j, c[i][j]);
            });
        });
    }

    /// Scores become probabilities, d P in `ds` becomes d s.
    void softmax_gradient(int lane, V maximum) const {
        using namespace simd;
        V sums[4] = {}, products[4] = {};
        for (int k = 0; k < N; ++k) {
            T* s = probability + k * width + lane;
            const V e = exp(max(load(s) - maximum, broadcast(T(least_exponent))));
            store(s, e);
            sums[k % 4] += e;
            products[k % 4] = fma(e, load(ds + k * width + lane), products[k % 4]);
        }
        const V inverse = broadcast(T(1)) / ((sums[0] + sums[1]) + (sums[2] + sums[3]));
        const V mean = ((products[0] + products[1]) + (products[2] + products[3])) * inverse;
        for (int k = 0; k < N; ++k) {
            T *s = probability + k * width + lane, *d = ds + k * width + lane;
            const V p = load(s) * inverse;
            store(s, p);
            store(d, p * (load(d) - mean));
        }
    }

    /// to[k, :] += sum over queries of panel[k, query] rows[query, :].
    void key_products(const T* panel, const T* rows_of_queries, T* to) const {
        using namespace simd;
        const PanelLayout<T> columns{padded_D, 1};
        for (int part = 0; part < columns.panels(); ++part) {
            const int count = columns.vectors(part), d = part * columns.width;
            each_tile(N, max_tile_rows(count), [&](int k, int rows) {
                with_rows<most_tile_rows>(rows, [&]<int Rows>() {
                    const auto tile = [&]<int Vectors>() {
                        V c[Rows][Vectors];
                        for (int i = 0; i < Rows; ++i)
                            for (int j = 0; j < Vectors; ++j) c[i][j] = load(to + (k + i) * padded_D + d + j * lanes);
                        accumulate<T, Rows, Vectors>(RowsOperand<T, Rows>(panel + k * width, width),
                                                     rows_of_queries + d, padded_D, queries, c);
                        for (int i = 0; i < Rows; ++i)
                            for (int j = 0; j < Vectors; ++j) store(to + (k + i) * padded_D + d + j * lanes, c[i][j]);
                    };
                    if (count == 1) return tile.template operator()<1>();
                    if constexpr (Rows <= max_tile_rows(2)) tile.template operator()<2>();
                });
            });
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

/// d_q (R, C) and d_kv (windows, N, 2 C) (+)=, for the windows in `rows`; d_table +=. Each may be nowhere. Windows are
/// summed in at most eight pieces.
template <class T>
void window_attention_gradient(BasicCpu<T>& cpu, const WindowGrid& grid, const ActiveRows& rows, WindowFrames frames,
                               int num_heads, In<T, 2> q, In<T, 3> kv, const PackedPositionBias<BasicCpu<T>>& bias,
                               In<T, 2> dy, Gradient<T> d_q, Gradient<T> d_kv, Gradient<T> d_table) {
    using Panel = detail::AttentionGradientPanel<T>;
    constexpr int lanes = Panel::lanes, width = Panel::width;
    const int C = q.extent(1), D = C / num_heads, N = frames.keys * grid.window.tokens(), windows = rows.counts[1];
    const int padded_D = simd::round_up(D, lanes), padded_Q = bias.padded_queries;
    const int piece = std::max(1, simd::ceil_div(windows, 8)), pieces = simd::ceil_div(windows, piece);
    const T scale = T(1 / std::sqrt(double(D)));
    const auto scope = cpu.scope();
    const auto parts = cpu.scratch(pieces, num_heads, N, padded_Q);
    cpu.reserve_worker_scratch(std::size_t(3 * D * width + 2 * width * padded_D + 3 * N * width + 2 * N * padded_D) *
                                   sizeof(T) +
                               12 * cache_line);
    cpu.parallel_for(pieces, 1, [&](std::ptrdiff_t begin, std::ptrdiff_t, int worker) {
        Arena& arena = cpu.worker_scratch(worker);
        const ScratchScope worker_scope(arena);
        const auto take = [&](std::ptrdiff_t count) {
            T* memory = static_cast<T*>(arena.take(std::size_t(count) * sizeof(T)));
            std::fill(memory, memory + count, T(0));  // lanes without a query compute on finite numbers
            return memory;
        };
        const auto put = [&](const T* row, Gradient<T> d, std::ptrdiff_t at) {  // one head's channels of a token
            T* to = d.data + at;
            for (int i = 0; i < D; i += lanes) {
                const int some = std::min(lanes, D - i);
                const simd::Vec<T> g = simd::load(row + i);  // rows are padded
                simd::store_first(to + i, d.is_fresh ? g : g + simd::load_first(to + i, some), some);
            }
        };
        T *query = take(D * width), *out = take(D * width), *dq = take(D * width), *picked = take(N * width);
        T *query_rows = take(width * padded_D), *dy_rows = take(width * padded_D);
        T *probability = take(N * width), *ds = take(N * width), *dk = take(N * padded_D), *dv = take(N * padded_D);
        T* part = parts[begin].data;
        std::fill(part, part + std::ptrdiff_t(num_heads) * N * padded_Q, T(0));
        for (int w = int(begin) * piece; w < std::min(windows, (int(begin) + 1) * piece); ++w) {
            const int first = rows.begin[w], queries = rows.begin[w + 1] - first, window = rows.window[w];
            const bool full = queries == bias.queries, regions = grid.has_regions(window);
            for (int h = 0; h < num_heads; ++h) {
                std::fill(dk, dk + N * padded_D, T(0));
                std::fill(dv, dv + N * padded_D, T(0));
                const T* by_query = bias.by_query.data() + std::size_t(h) * bias.queries * N;
                const T* by_key = bias.by_key.data() + std::size_t(h) * N * padded_Q;
                T* bias_sum = part + std::ptrdiff_t(h) * N * padded_Q;
                for (int i0 = 0; i0 < queries; i0 += width) {
                    const int count = std::min(width, queries - i0);
                    const int* tokens = rows.token.data + first + i0;
                    const auto row = [&](const T* all, int i) {
                        return all + std::ptrdiff_t(first + i0 + i) * C + h * D;
                    };
                    simd::rows_to_panel<T>([&](int i) { return row(q.data, i); }, count, D, query, width);
                    simd::rows_to_panel<T>([&](int i) { return row(dy.data, i); }, count, D, out, width);
                    for (int i = 0; i < D * width; i += lanes)
                        simd::store(query + i, simd::load(query + i) * simd::broadcast(scale));
                    for (int i = 0; i < count; ++i)
                        for (int d = 0; d < D; ++d) {
                            query_rows[i * padded_D + d] = scale * row(q.data, i)[d];
                            dy_rows[i * padded_D + d] = row(dy.data, i)[d];
                        }
                    const T* start = by_key + i0;
                    std::ptrdiff_t stride = padded_Q;
                    if (!full || regions) {
                        simd::rows_to_panel<T>([&](int i) { return by_query + std::ptrdiff_t(tokens[i]) * N; }, count,
                                               N, picked, width);
                        if (regions) detail::add_region_penalty(grid, window, tokens, count, N, picked, width);
                        start = picked;
                        stride = width;
                    }
                    Panel{.D = D,
                          .N = N,
                          .vectors = count > lanes ? 2 : 1,
                          .queries = count,
                          .keys = kv[w].data + h * D,
                          .values = kv[w].data + C + h * D,
                          .kv_stride = 2 * C,
                          .query = query,
                          .dy = out,
                          .query_rows = query_rows,
                          .dy_rows = dy_rows,
                          .padded_D = padded_D,
                          .bias = start,
                          .bias_stride = stride,
                          .probability = probability,
                          .ds = ds,
                          .dq = dq,
                          .dk = dk,
                          .dv = dv}
                        .run();
                    for (int k = 0; d_table && k < N; ++k) {
                        T* sum = bias_sum + k * padded_Q;
                        if (full)
                            for (int i = 0; i < count; i += lanes)
                                simd::store(sum + i0 + i, simd::load(sum + i0 + i) + simd::load(ds + k * width + i));
                        else
                            for (int i = 0; i < count; ++i) sum[tokens[i]] += ds[k * width + i];
                    }
                    if (!d_q) continue;
                    for (int i = 0; i < D * width; i += lanes)
                        simd::store(dq + i, simd::load(dq + i) * simd::broadcast(scale));
                    simd::panel_to_rows<T>(dq, width, count, D, [&](int i) { return query_rows + i * padded_D; });
                    for (int i = 0; i < count; ++i)
                        put(query_rows + i * padded_D, d_q, std::ptrdiff_t(first + i0 + i) * C + h * D);
                }
                for (int k = 0; d_kv && k < N; ++k) {
                    const std::ptrdiff_t at = (std::ptrdiff_t(w) * N + k) * 2 * C + h * D;
                    put(dk + k * padded_D, d_kv, at);
                    put(dv + k * padded_D, d_kv, at + C);
                }
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
    const In<T, 2> q_used = q.slice(0, rows.counts[0]);
    const In<T, 3> kv_used = kv.slice(0, rows.counts[1]);
    tape.reads(q_used);
    tape.reads(kv_used);
    tape.push(Out<T, 2>(y.slice(0, rows.counts[0])), [=, &tape](View<const T, 2> dy) {
        window_attention_gradient<T>(tape.backend(), grid, rows, frames, num_heads, q_used, kv_used, position->packed,
                                     dy, tape.whole_gradient(q_used), tape.whole_gradient(kv_used),
                                     tape.gradient(position->table));
    });
}

}  // namespace mia
