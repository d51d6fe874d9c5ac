#pragma once
#include <tuple>

#include "mia/core/transpose.hpp"
#include "mia/ops/window_attention/projected_attention.hpp"
#include "mia/train/vjp/linear.hpp"
#include "mia/train/vjp/products.hpp"
#include "mia/train/vjp/windows.hpp"

// With P = softmax(s), s = d^-1/2 q k^T + bias, y = P v; P computed again from q, k and the softmax's statistics:
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
    const T *maximum, *inverse;  ///< (width) each, of the scores in the forward pass: AttentionPanel::statistics
    const T* mean;               ///< (width), sum over keys of P d P
    T* probability;              ///< (most_tile_rows, width), scratch
    T* ds;                       ///< (N, width), result
    T* dq;                       ///< (D, width), result, of the scaled query
    T *dk, *dv;                  ///< (N, D), rows as far apart as those of keys and values
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
        each_tile(N, max_tile_rows(Vectors), [&](int k, int rows) {
            with_rows<max_tile_rows(Vectors)>(rows, [&]<int Rows>() {
                score_tile<Rows, Vectors>(k);
                key_products<Rows>(ds + k * width, query_rows, dk + k * kv_stride);
                key_products<Rows>(probability, dy_rows, dv + k * kv_stride);
            });
        });
        each_tile(D, max_tile_rows(Vectors), [&](int d, int rows) {
            with_rows<max_tile_rows(Vectors)>(rows, [&]<int Rows>() {
                V c[Rows][Vectors] = {};
                accumulate<T, Rows, Vectors>(ColumnsOperand<T, Rows>(keys + d, kv_stride), ds, width, N, c);
#pragma GCC unroll 12
                for (int i = 0; i < Rows; ++i)
#pragma GCC unroll 2
                    for (int j = 0; j < Vectors; ++j) store(dq + (d + i) * width + j * lanes, c[i][j]);
            });
        });
    }

    /// P and d s of keys k ... k + Rows - 1.
    template <int Rows, int Vectors>
    void score_tile(int k) const {
        using namespace simd;
        // Copies: what is stored might alias what they are read from.
        T *const p = probability, *const to = ds + k * width;
        const T* from = bias + k * bias_stride;
        const std::ptrdiff_t from_stride = bias_stride;
        V largest[Vectors], factor[Vectors], means[Vectors];
        for (int j = 0; j < Vectors; ++j) {
            largest[j] = load(maximum + j * lanes);
            factor[j] = load(inverse + j * lanes);
            means[j] = load(mean + j * lanes);
        }
        {
            V c[Rows][Vectors] = {};
            accumulate<T, Rows, Vectors>(RowsOperand<T, Rows>(keys + k * kv_stride, kv_stride), query, width, D, c);
#pragma GCC unroll 12
            for (int i = 0; i < Rows; ++i)
#pragma GCC unroll 2
                for (int j = 0; j < Vectors; ++j)
                    store(p + i * width + j * lanes, c[i][j] + load(from + i * from_stride + j * lanes) - largest[j]);
        }
#pragma GCC unroll 1
        for (int i = 0; i < Rows; ++i)  // unrolled it would be most of the code
#pragma GCC unroll 2
            for (int j = 0; j < Vectors; ++j) {
                T* at = p + i * width + j * lanes;
                store(at, exp(max(load(at), broadcast(T(least_exponent)))) * factor[j]);
            }
        V c[Rows][Vectors] = {};
        accumulate<T, Rows, Vectors>(RowsOperand<T, Rows>(values + k * kv_stride, kv_stride), dy, width, D, c);
#pragma GCC unroll 12
        for (int i = 0; i < Rows; ++i)
#pragma GCC unroll 2
            for (int j = 0; j < Vectors; ++j) {
                const int at = i * width + j * lanes;
                store(to + at, load(p + at) * (c[i][j] - means[j]));
            }
    }

    /// to[k, :] (+)= sum over queries of panel[k, query] rows[query, :], k < Rows.
    template <int Rows>
    void key_products(const T* panel, const T* rows, T* to) const {
        using namespace simd;
        constexpr int most = Rows <= max_tile_rows(2) ? 2 : 1;
        const std::ptrdiff_t stride = kv_stride;
        for (int d = 0; d < D; d += most * lanes) {
            const auto tile = [&]<int Vectors>() {
                const int last = std::min(lanes, D - d - (Vectors - 1) * lanes);
                T* at = to + d;
                V c[Rows][Vectors] = {};
                if (adds)
#pragma GCC unroll 12
                    for (int i = 0; i < Rows; ++i)
#pragma GCC unroll 2
                        for (int j = 0; j < Vectors; ++j)
                            c[i][j] = load_first(at + i * stride + j * lanes, j + 1 < Vectors ? lanes : last);
                accumulate<T, Rows, Vectors>(RowsOperand<T, Rows>(panel, width), rows + d, row_stride, queries, c);
#pragma GCC unroll 12
                for (int i = 0; i < Rows; ++i)
#pragma GCC unroll 2
                    for (int j = 0; j < Vectors; ++j)
                        store_some(at + i * stride + j * lanes, c[i][j], j + 1 < Vectors ? lanes : last);
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

/// A worker's backward pass, window after window, and the scratch for it.
template <class T>
class AttentionGradientWorker {
    using Panel = AttentionGradientPanel<T>;
    static constexpr int lanes = Panel::lanes, width = Panel::width;
    using Packed = PackedPositionBias<BasicCpu<T>>;

public:
    /// Bytes that the constructor takes.
    static std::size_t scratch_bytes(const WindowGrid& grid, const Packed& bias, int C) {
        const std::size_t panels = std::size_t(6 * C + bias.keys + simd::most_tile_rows) * width + 2 * lanes;
        return (panels + PanelBias<T>::scratch_size(grid, bias)) * sizeof(T) + 9 * cache_line;
    }
    AttentionGradientWorker(Arena& arena, const WindowGrid& grid, const Packed& bias, int C)
        : C_(C), bias_(bias), panel_bias_(grid, bias, take(arena, PanelBias<T>::scratch_size(grid, bias))) {
        const std::size_t panel = std::size_t(C) * width, keys = std::size_t(bias.keys) * width;
        for (T** p : {&query_, &of_dy_, &of_y_, &dq_}) *p = take(arena, panel);
        for (T** p : {&query_rows_, &dy_rows_}) *p = take(arena, panel + lanes);
        ds_ = take(arena, keys);
        probability_ = take(arena, std::size_t(simd::most_tile_rows) * width);
    }

    /// A window with queries `tokens`. q, y, dy, d_q: (queries, C), kv, d_kv: (N, 2 C), bias_sums: (heads, N, padded
    /// queries), written if they are fresh; d_q and bias_sums may be nowhere. statistics: (heads, 2, R), the window's
    /// rows from `first` on.
    void run(int window, const int* tokens, int queries, const T* q, const T* kv, const T* y, In<T, 3> statistics,
             int first, const T* dy, Gradient<T> d_q, Gradient<T> d_kv, Gradient<T> bias_sums) {
        const bool is_full = queries == bias_.queries;
        if (bias_sums && bias_sums.is_fresh && (!is_full || queries % width != 0)) {
            std::fill_n(bias_sums.data, std::ptrdiff_t(bias_.heads) * bias_.keys * bias_.padded_queries, T(0));
            bias_sums.is_fresh = false;
        }
        const int D = C_ / bias_.heads, N = bias_.keys;
        const T scale = T(1 / std::sqrt(double(D)));
        for (int i0 = 0; i0 < queries; i0 += width) {
            const int count = std::min(width, queries - i0), vectors = count > lanes ? 2 : 1;
            const std::ptrdiff_t at = std::ptrdiff_t(i0) * C_;
            panel_bias_.select(window, queries, i0, tokens + i0, count);
            for (int i = 0; i < count * C_; ++i) query_rows_[i] = scale * q[at + i];
            std::copy_n(dy + at, count * C_, dy_rows_);
            simd::rows_to_panel<T>([&](int i) { return query_rows_ + i * C_; }, count, C_, query_, width);
            simd::rows_to_panel<T>([&](int i) { return dy_rows_ + i * C_; }, count, C_, of_dy_, width);
            simd::rows_to_panel<T>([&](int i) { return y + at + i * C_; }, count, C_, of_y_, width);
            for (int h = 0; h < bias_.heads; ++h) {
                for (int i = 0; i < vectors * lanes; i += lanes) {
                    simd::Vec<T> sum{};
                    for (int c = h * D; c < (h + 1) * D; ++c)
                        sum = simd::fma(simd::load(of_dy_ + c * width + i), simd::load(of_y_ + c * width + i), sum);
                    simd::store(mean_ + i, sum);
                }
                std::copy_n(&statistics(h, 0, first + i0), count, maximum_);
                std::copy_n(&statistics(h, 1, first + i0), count, inverse_);
                std::fill(maximum_ + count, maximum_ + width, T(3e38));  // P = 0 without a query
                std::fill(inverse_ + count, inverse_ + width, T(0));
                const auto bias_rows = panel_bias_.of_head(h);
                Panel{.D = D,
                      .N = N,
                      .vectors = vectors,
                      .queries = count,
                      .keys = kv + h * D,
                      .values = kv + C_ + h * D,
                      .query = query_ + h * D * width,
                      .dy = of_dy_ + h * D * width,
                      .query_rows = query_rows_ + h * D,
                      .dy_rows = dy_rows_ + h * D,
                      .row_stride = C_,
                      .bias = bias_rows.start,
                      .bias_stride = bias_rows.stride,
                      .maximum = maximum_,
                      .inverse = inverse_,
                      .mean = mean_,
                      .probability = probability_,
                      .ds = ds_,
                      .dq = dq_ + h * D * width,
                      .dk = d_kv.data + h * D,
                      .dv = d_kv.data + C_ + h * D,
                      .kv_stride = 2 * C_,
                      .adds = i0 > 0 || !d_kv.is_fresh}
                    .run();
                if (bias_sums)
                    add_to_bias({bias_sums.data + std::ptrdiff_t(h) * N * bias_.padded_queries, bias_sums.is_fresh},
                                is_full, i0, tokens, count);
            }
            if (!d_q) continue;
            T* rows_of_dq = d_q.is_fresh ? d_q.data + at : query_rows_;
            for (int i = 0; i < C_ * width; i += lanes)
                simd::store(dq_ + i, simd::load(dq_ + i) * simd::broadcast(scale));
            simd::panel_to_rows<T>(dq_, width, count, C_, [&](int i) { return rows_of_dq + i * C_; });
            if (!d_q.is_fresh) add_row(rows_of_dq, count * C_, d_q, at);
        }
    }

private:
    static T* take(Arena& arena, std::size_t count) {
        T* memory = static_cast<T*>(arena.take(count * sizeof(T)));
        std::fill(memory, memory + count, T(0));  // lanes without a query compute on finite numbers
        return memory;
    }
    void add_to_bias(Gradient<T> sums, bool is_full, int first, const int* tokens, int count) const {
        for (int k = 0; k < bias_.keys; ++k, sums.data += bias_.padded_queries)
            if (is_full)
                for (int i = 0; i < count; i += lanes) {
                    T* to = sums.data + first + i;
                    const auto v = simd::load(ds_ + k * width + i);
                    simd::store(to, sums.is_fresh ? v : simd::load(to) + v);
                }
            else
                for (int i = 0; i < count; ++i) sums.data[tokens[first + i]] += ds_[k * width + i];
    }

    int C_;
    const Packed& bias_;
    PanelBias<T> panel_bias_;
    T *query_, *of_dy_, *of_y_, *dq_;  // (C, width)
    T *query_rows_, *dy_rows_;         // (width, C)
    T *ds_, *probability_;             // (N, width), (most_tile_rows, width)
    alignas(cache_line) T mean_[width] = {}, maximum_[width], inverse_[width];
};

/// Windows are summed in at most eight pieces, whatever the number of threads.
struct WindowPieces {
    int windows, size, count;
    explicit WindowPieces(int all)
        : windows(all), size(std::max(1, simd::ceil_div(all, 8))), count(simd::ceil_div(all, size)) {}
    int begin(std::ptrdiff_t piece) const { return int(piece) * size; }
    int end(std::ptrdiff_t piece) const { return std::min(windows, begin(piece + 1)); }
};

}  // namespace detail

/// d_q (R, C) and d_kv (windows, N, 2 C) (+)=, for the windows in `rows`; d_table +=. y, statistics: of the forward
/// pass.
template <class T>
void window_attention_gradient(BasicCpu<T>& cpu, const WindowGrid& grid, const ActiveRows& rows, WindowFrames frames,
                               In<T, 2> q, In<T, 3> kv, const PackedPositionBias<BasicCpu<T>>& bias, In<T, 2> y,
                               In<T, 3> statistics, In<T, 2> dy, Gradient<T> d_q, Gradient<T> d_kv,
                               Gradient<T> d_table) {
    using Worker = detail::AttentionGradientWorker<T>;
    const int C = q.extent(1);
    const detail::WindowPieces pieces(rows.counts[1]);
    const std::size_t kv_size = std::size_t(kv[0].size());
    const auto scope = cpu.scope();
    const auto parts = cpu.scratch(pieces.count, bias.heads, bias.keys, bias.padded_queries);
    const auto of_table = [&](std::ptrdiff_t p, int w) {
        return d_table ? Gradient<T>{parts[p].data, w == pieces.begin(p)} : Gradient<T>{};
    };
    cpu.reserve_worker_scratch(Worker::scratch_bytes(grid, bias, C) + kv_size * sizeof(T) + cache_line);
    cpu.parallel_for(pieces.count, 1, [&](std::ptrdiff_t p, std::ptrdiff_t, int worker_number) {
        Arena& arena = cpu.worker_scratch(worker_number);
        const ScratchScope worker_scope(arena);
        Worker worker(arena, grid, bias, C);
        T* nowhere = static_cast<T*>(arena.take(kv_size * sizeof(T)));
        for (int w = pieces.begin(p); w < pieces.end(p); ++w) {
            const int first = rows.begin[w];
            const std::ptrdiff_t at = std::ptrdiff_t(first) * C;
            worker.run(
                rows.window[w], rows.token.data + first, rows.begin[w + 1] - first, q.data + at, kv[w].data,
                y.data + at, statistics, first, dy.data + at, d_q ? Gradient<T>{d_q.data + at, d_q.is_fresh} : d_q,
                d_kv ? Gradient<T>{d_kv.data + std::ptrdiff_t(kv_size) * w, d_kv.is_fresh} : Gradient<T>{nowhere, true},
                of_table(p, w));
        }
    });
    if (d_table) detail::fold_position_bias<T>(cpu, parts, bias.queries, grid.window, frames, d_table.data);
}

template <class B>
void window_attention(Tape<B>& tape, const WindowGrid& grid, const ActiveRows& rows, WindowFrames frames, int num_heads,
                      In<typename B::Scalar, 2> q, In<typename B::Scalar, 3> kv,
                      const PackedPositionBias<Tape<B>>& bias, Out<typename B::Scalar, 2> y) {
    using T = typename B::Scalar;
    const PackedPositionBias<Tape<B>>* position = &bias;
    const int R = rows.pixel.extent(0);
    const In<T, 2> q_used = q.slice(0, R), y_used = y.slice(0, R);
    tape.reads(q_used);
    tape.reads(kv);
    const auto push = [&](auto gradient) {
        tape.push(Out<T, 2>(y.slice(0, R)), [=, &tape](View<const T, 2> dy) {
            gradient(dy, tape.whole_gradient(q_used), tape.whole_gradient(kv), tape.gradient(position->table));
        });
        tape.reads(y_used);
    };
    B* backend = &tape.backend();
    if constexpr (B::memory_is_host) {
        const auto statistics = tape.scratch(num_heads, 2, R);
        window_attention(*backend, grid, rows, frames, num_heads, q, kv, bias.packed, y, statistics);
        push([=](View<const T, 2> dy, Gradient<T> d_q, Gradient<T> d_kv, Gradient<T> d_table) {
            window_attention_gradient<T>(*backend, grid, rows, frames, q_used, kv, position->packed, y_used, statistics,
                                         dy, d_q, d_kv, d_table);
        });
    } else {
        window_attention(*backend, grid, rows, frames, num_heads, q, kv, bias.packed, y);
        push([=](View<const T, 2> dy, Gradient<T> d_q, Gradient<T> d_kv, Gradient<T> d_table) {
            window_attention_gradient<T>(*backend, grid, rows, frames, q_used, kv, position->packed, y_used, dy, d_q,
                                         d_kv, d_table);
        });
    }
}

/// The linear maps' parameters whose gradient is wanted.
template <class T>
struct LinearGradient {
    Gradient<T> weight, bias;
    T scale;
};

/// Window by window, so that all but q, kv and their likes of the image stays in L2: d_cond and d_x, of each frame,
/// (+)=, the parameters' +=. q, kv, y, statistics: of the forward pass.
template <class T>
void projected_attention_gradient(BasicCpu<T>& cpu, const WindowGrid& grid, const ActiveRows& rows, WindowFrames frames,
                                  In<T, 4> cond, In<T, 4> x, const PackedLinear<BasicCpu<T>>& query_transposed,
                                  const PackedLinear<BasicCpu<T>>& key_value_transposed,
                                  const PackedPositionBias<BasicCpu<T>>& bias, In<T, 2> q, In<T, 3> kv, In<T, 2> y,
                                  In<T, 3> statistics, In<T, 2> dy, View<const Gradient<T>, 1> d_frames,
                                  const LinearGradient<T>& d_query, const LinearGradient<T>& d_key_value,
                                  Gradient<T> d_table) {
    using Worker = detail::AttentionGradientWorker<T>;
    const int C = x.extent(3), N = grid.window.tokens(), F = frames.keys, padded = simd::round_up(C, simd::lanes<T>);
    const int queries = frames.queries * N, before = F - x.extent(0);
    const detail::WindowPieces pieces(rows.counts[1]);
    const auto scope = cpu.scope();
    const auto parts = cpu.scratch(pieces.count, bias.heads, bias.keys, bias.padded_queries);
    const auto of_table = [&](std::ptrdiff_t p, int w) {
        return d_table ? Gradient<T>{parts[p].data, w == pieces.begin(p)} : Gradient<T>{};
    };
    const auto weights = cpu.scratch(pieces.count, 3 * C, padded);
    const auto biases = cpu.scratch(pieces.count, 3 * C);
    const std::size_t tokens_size = std::size_t(F * N * C), kv_size = 2 * tokens_size;
    const std::size_t queries_size = std::size_t(queries * C), tail = std::size_t(simd::lanes<T>);
    cpu.reserve_worker_scratch(Worker::scratch_bytes(grid, bias, C) +
                               (2 * tokens_size + kv_size + 3 * queries_size + 2 * tail) * sizeof(T) + 6 * cache_line);
    cpu.parallel_for(pieces.count, 1, [&](std::ptrdiff_t p, std::ptrdiff_t, int worker_number) {
        Arena& arena = cpu.worker_scratch(worker_number);
        const ScratchScope worker_scope(arena);
        const auto take = [&](std::size_t count) { return static_cast<T*>(arena.take(count * sizeof(T))); };
        Worker worker(arena, grid, bias, C);
        T *tokens = take(tokens_size + tail), *d_tokens = take(tokens_size), *d_kv = take(kv_size);
        T *active = take(queries_size + tail), *d_active = take(queries_size), *d_q = take(queries_size);
        std::fill_n(tokens + tokens_size, tail, T(0));
        std::fill_n(active, queries_size + tail, T(0));
        T *of_query = weights[p].data, *of_key_value = of_query + C * padded, *of_bias = biases[p].data;
        std::fill_n(of_query, weights[p].size(), T(0));
        std::fill_n(of_bias, biases[p].size(), T(0));
        const auto map_gradient = [&](const T* dy_rows, int M, int O, const T* x_rows, T* d_weight, T* d_bias,
                                      const PackedLinear<BasicCpu<T>>& transposed, T* d_rows) {
            detail::OuterProducts<T>{.a = dy_rows,
                                     .a_stride = O,
                                     .a_run = 0,
                                     .b = x_rows,
                                     .b_stride = C,
                                     .b_run = 0,
                                     .runs = 1,
                                     .K = M,
                                     .M = O,
                                     .N = C,
                                     .c = d_weight,
                                     .c_stride = padded,
                                     .adds = true}
                .run();
            detail::add_column_sums(dy_rows, M, O, d_bias);
            detail::product_rows<T>({.weights = transposed,
                                     .a = dy_rows,
                                     .a_stride = O,
                                     .segments = 1,
                                     .run = O,
                                     .segment_stride = 0,
                                     .y = d_rows,
                                     .y_stride = C},
                                    M);
        };
        for (int w = pieces.begin(p); w < pieces.end(p); ++w) {
            const int window = rows.window[w], first = rows.begin[w], count = rows.begin[w + 1] - first;
            const int* pixels = &rows.pixel[first];
            const std::ptrdiff_t at = std::ptrdiff_t(first) * C;
            if (w + 1 < pieces.end(p)) {
                const std::ptrdiff_t next = at + std::ptrdiff_t(count) * C;
                const std::ptrdiff_t rows_next = std::ptrdiff_t(rows.begin[w + 2] - rows.begin[w + 1]) * C;
                simd::fetch(kv[w + 1].data, std::ptrdiff_t(kv_size));
                simd::fetch(q.data + next, rows_next);
                simd::fetch(y.data + next, rows_next);
            }
            detail::gather_window(grid, window, cond, x, tokens);
            worker.run(window, &rows.token[first], count, q.data + at, kv[w].data, y.data + at, statistics, first,
                       dy.data + at, {d_q, true}, {d_kv, true}, of_table(p, w));
            map_gradient(d_kv, F * N, 2 * C, tokens, of_key_value, of_bias + C, key_value_transposed, d_tokens);
            for (int f = 0; f < F; ++f)
                if (d_frames[f]) detail::scatter_window(grid, window, d_tokens + f * N * C, C, d_frames[f]);
            detail::each_run(pixels, count, [&](int i, int pixel, int length) {
                std::copy_n(x.data + std::ptrdiff_t(pixel) * C, length * C, active + i * C);
            });
            map_gradient(d_q, count, C, active, of_query, of_bias, query_transposed, d_active);
            detail::each_run(pixels, count, [&](int i, int pixel, int length) {
                const int frame = pixel / grid.pixels();
                const Gradient<T> d = d_frames[before + frame];
                if (d)
                    detail::add_row<T>(d_active + i * C, length * C, {d.data, false},
                                       std::ptrdiff_t(pixel - frame * grid.pixels()) * C);
            });
        }
    });
    for (const auto& [d, first, count] : {std::tuple(&d_query, 0, C), std::tuple(&d_key_value, C, 2 * C)}) {
        for (int p = 0; d->scale != T(1) && p < pieces.count; ++p) {
            for (int i = first * padded; i < (first + count) * padded; ++i) weights[p].data[i] *= d->scale;
            for (int i = first; i < first + count; ++i) biases[p].data[i] *= d->scale;
        }
        if (d->weight)
            detail::add_parts(cpu, weights.data + first * padded, pieces.count, weights[0].size(), count, C, padded,
                              d->weight.data);
        if (d->bias) detail::add_parts(cpu, biases.data + first, pieces.count, 3 * C, 1, count, count, d->bias.data);
    }
    if (d_table) detail::fold_position_bias<T>(cpu, parts, bias.queries, grid.window, frames, d_table.data);
}

/// Of the tokens by windows, many more than the image's, only keys, values and queries are kept. A tape of another
/// backend runs and differentiates the composition.
template <class B>
void projected_attention(Tape<B>& tape, const WindowGrid& grid, const ActiveRows& rows, WindowFrames frames,
                         int num_heads, In<typename B::Scalar, 4> cond, In<typename B::Scalar, 4> x,
                         const PackedLinear<Tape<B>>& query, const PackedLinear<Tape<B>>& key_value,
                         const PackedPositionBias<Tape<B>>& bias,
                         Out<typename B::Scalar, 2> y) requires(B::memory_is_host) {
    using T = typename B::Scalar;
    const int C = x.extent(3), N = grid.window.tokens(), R = rows.pixel.extent(0), windows = rows.window.extent(0);
    require(query.ready && key_value.ready,
            "projected_attention: the parameters are not packed; call prepare(tape, model) after loading or changing "
            "them");
    const auto kv = tape.scratch(windows, frames.keys * N, 2 * C);
    const auto q = tape.scratch(R, C);
    const auto statistics = tape.scratch(num_heads, 2, R);
    const Out<T, 2> y_used = y.slice(0, R);
    {
        B& backend = tape.backend();
        const auto scope = backend.scope();
        const auto tokens = backend.scratch(windows, frames.keys, N, C);
        gather_windows(backend, grid, rows, cond, x, tokens);
        linear(backend, rows_of(tokens), key_value.forward, rows_of(kv));
        const auto active = backend.scratch(R, C);
        gather_rows(backend, rows_of(x), rows, active);
        linear(backend, active, query.forward, q);
        window_attention(backend, grid, rows, frames, num_heads, q, kv, bias.packed, y_used, statistics);
    }
    tape.reads(cond);
    tape.reads(x);
    const auto *of_query = &query, *of_key_value = &key_value;
    const auto* position = &bias;
    tape.push(y_used, [=, &tape](View<const T, 2> dy) {
        B& backend = tape.backend();
        const auto scope = backend.scope();
        const auto d_frames = backend.template scratch<Gradient<T>>(frames.keys);
        int frame = 0;
        for (const auto& images : {cond, x})
            for (int f = 0; images.data && f < images.extent(0); ++f)
                d_frames[frame++] = tape.whole_gradient(images[f]);  // each pixel is reached
        const auto gradient_of = [&](const auto& map) {
            return LinearGradient<T>{tape.gradient(map.weight), tape.gradient(map.bias), map.scale};
        };
        projected_attention_gradient<T>(backend, grid, rows, frames, cond, x, of_query->transposed,
                                        of_key_value->transposed, position->packed, q, kv, y_used, statistics, dy,
                                        d_frames, gradient_of(*of_query), gradient_of(*of_key_value),
                                        tape.gradient(position->table));
    });
    tape.reads(y_used);
}

}  // namespace mia
