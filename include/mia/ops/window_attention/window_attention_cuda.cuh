#pragma once
#include "mia/core/warp.cuh"
#include "mia/ops/window_attention/attention_operands.cuh"
#include "mia/ops/window_attention/mma_attention.cuh"

namespace mia {

namespace detail {

/// A block has a window and a head; it goes through the keys in tiles. `parts` neighbouring lanes share a query, each
/// takes every parts-th key.
struct AttentionSize {
    static constexpr int keys = 64, parts = 4, queries = 64, threads = queries * parts, keys_of_part = keys / parts;
};

/// Width: channels of a head, rounded up. + 1: the lanes of a query read neighbouring rows from different banks.
template <class T, int Width>
struct AttentionTile {
    Quad<T> keys[AttentionSize::keys][Width / 4 + 1];
    Quad<T> values[AttentionSize::keys][Width / 4 + 1];
    int offset[AttentionSize::keys];  ///< of a key's row in the bias table from that of key 0
    int region[AttentionSize::keys];
};

/// Softmax without a materialised score or bias: a thread keeps the running maximum, sum and result of its keys in
/// registers, rescaled once a tile, and the lanes of a query add up theirs at the end.
template <class T, int Width>
__global__ void __launch_bounds__(AttentionSize::threads) window_attention_kernel(AttentionOperands<T> p) {
    using Size = AttentionSize;
    auto& tile = shared_memory<AttentionTile<T, Width>>();
    const int w = int(blockIdx.x), head = int(blockIdx.y), thread = int(threadIdx.x), part = thread % Size::parts;
    if (w >= p.rows.counts[1]) return;  // the whole block
    const int first = p.rows.begin[w], queries = p.rows.begin[w + 1] - first, window = p.rows.window[w];
    const int N = p.grid.window.tokens(), keys = p.frames.keys * N, C = p.C, D = p.D, c0 = head * D;
    const T* kv = p.kv + std::ptrdiff_t(w) * keys * 2 * C + c0;
    const T* table = p.table + head * p.table_rows;

    for (int q0 = 0; q0 < queries; q0 += Size::queries) {
        const bool has_query = q0 + thread / Size::parts < queries;
        const int row = first + (has_query ? q0 + thread / Size::parts : 0), token = p.rows.token[row];
        const T* bias = table + relative_position_index(p.grid.window, p.frames, token, 0);
        const int region = p.grid.region(window, token % N);
        T query[Width], result[Width];
#pragma unroll
        for (int d = 0; d < Width; ++d) {
            query[d] = d < D ? p.q[std::ptrdiff_t(row) * C + c0 + d] * p.scale : T(0);
            result[d] = 0;
        }
        T maximum = T(-3e38), sum = 0;

        for (int k0 = 0; k0 < keys; k0 += Size::keys) {
            const int in_tile = min(Size::keys, keys - k0);
            if (q0 + k0 > 0) __syncthreads();  // the tile has been read
            for (int i = thread; i < in_tile * Width; i += Size::threads) {
                const int key = i / Width, d = i % Width;
                const T* from = kv + std::ptrdiff_t(k0 + key) * 2 * C + d;
                tile.keys[key][d / 4].v[d % 4] = d < D ? from[0] : T(0);
                tile.values[key][d / 4].v[d % 4] = d < D ? from[C] : T(0);
            }
            if (thread < in_tile) {
                const int key = k0 + thread;
                tile.offset[thread] = relative_position_index(p.grid.window, p.frames, 0, key) -
                                      relative_position_index(p.grid.window, p.frames, 0, 0);
                tile.region[thread] = p.grid.region(window, key % N);
            }
            __syncthreads();
            if (!has_query) continue;

            T scores[Size::keys_of_part], largest = maximum;
#pragma unroll
            for (int i = 0; i < Size::keys_of_part; ++i) {
                const int key = i * Size::parts + part;
                if (key >= in_tile) break;
                T score = 0;
#pragma unroll
                for (int d = 0; d < Width; d += 4) {
                    const Quad<T> k = tile.keys[key][d / 4];
#pragma unroll
                    for (int e = 0; e < 4; ++e) score += query[d + e] * k.v[e];
                }
                // The bias comes last: it may be a hundred times larger than the terms before.
                score += bias[tile.offset[key]] + (tile.region[key] == region ? T(0) : T(region_penalty));
                scores[i] = score;
                largest = score > largest ? score : largest;
            }
            const T rescale = std::exp(maximum - largest);
            maximum = largest;
            sum *= rescale;
#pragma unroll
            for (int d = 0; d < Width; ++d) result[d] *= rescale;
#pragma unroll
            for (int i = 0; i < Size::keys_of_part; ++i) {
                const int key = i * Size::parts + part;
                if (key >= in_tile) break;
                const T weight = std::exp(scores[i] - maximum);
                sum += weight;
#pragma unroll
                for (int d = 0; d < Width; d += 4) {
                    const Quad<T> v = tile.values[key][d / 4];
#pragma unroll
                    for (int e = 0; e < 4; ++e) result[d + e] += weight * v.v[e];
                }
            }
        }

        // What the lanes of a query found, under one maximum. All lanes take part, those without a query too.
#pragma unroll
        for (int step = 1; step < Size::parts; step *= 2) {
            const T other = __shfl_xor_sync(all_lanes, maximum, step), largest = other > maximum ? other : maximum;
            const T rescale = std::exp(maximum - largest);
            maximum = largest;
            sum *= rescale;
            sum += __shfl_xor_sync(all_lanes, sum, step);
#pragma unroll
            for (int d = 0; d < Width; ++d) {
                result[d] *= rescale;
                result[d] += __shfl_xor_sync(all_lanes, result[d], step);
            }
        }
        if (!has_query) continue;
        const T inverse = T(1) / sum;
#pragma unroll
        for (int d = 0; d < Width; ++d)
            if (d < D && d % Size::parts == part) p.y[std::ptrdiff_t(row) * C + c0 + d] = result[d] * inverse;
    }
}

template <class T, int Width>
void launch_attention_of_width(BasicCuda<T>& cuda, int windows, int heads, const AttentionOperands<T>& operands) {
    launch(cuda, "window_attention",
           {.grid = {unsigned(windows), unsigned(heads)},
            .block = AttentionSize::threads,
            .shared_bytes = sizeof(AttentionTile<T, Width>)},
           window_attention_kernel<T, Width>, operands);
}
template <class T>
requires(!narrow<T>) void launch_attention(BasicCuda<T>& cuda, int windows, int heads,
                                           const AttentionOperands<T>& operands) {
    const int D = operands.D;
    const auto launch_it = D <= 8    ? launch_attention_of_width<T, 8>
                           : D <= 16 ? launch_attention_of_width<T, 16>
                           : D <= 20 ? launch_attention_of_width<T, 20>
                           : D <= 32 ? launch_attention_of_width<T, 32>
                                     : launch_attention_of_width<T, 64>;
    launch_it(cuda, windows, heads, operands);
}

}  // namespace detail

template <class T>
void pack_position_bias(BasicCuda<T>& cuda, In<T, 2> table, WindowSize, WindowFrames,
                        PackedPositionBias<BasicCuda<T>>& packed) {
    packed.rows = table.extent(0);
    packed.heads = table.extent(1);
    cuda.reserve(packed.table, std::size_t(table.size()));
    detail::each_in_rows(cuda, "pack_position_bias", packed.heads, packed.rows,
                         detail::TransposeTable<T>{table, packed.table.data()});
    packed.ready = true;
}

template <class T>
void window_attention(BasicCuda<T>& cuda, const WindowGrid& grid, const ActiveRows& rows, WindowFrames frames,
                      int num_heads, In<T, 2> q, In<T, 3> kv, const PackedPositionBias<BasicCuda<T>>& bias,
                      Out<T, 2> y) {
    require(bias.ready,
            "window_attention: the bias table is not packed; call prepare(backend, model) after loading or "
            "changing parameters");
    const int C = q.extent(1), D = C / num_heads, N = frames.keys * grid.window.tokens();
    require(D <= 64, "window_attention: heads of ", D, " channels; on Cuda they may have up to 64, use more heads");
    const std::int64_t macs = 2 * std::int64_t(frames.queries) * grid.pixels() * N * C;
    cuda.record({"window_attention", &bias, macs, macs});
    detail::launch_attention(cuda, grid.windows(), num_heads,
                             detail::AttentionOperands<T>{grid, rows, frames, C, D, Wide<T>(1 / std::sqrt(double(D))),
                                                          q.data, kv.data, bias.table.data(), bias.rows, y.data});
}

}  // namespace mia
