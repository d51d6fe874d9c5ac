#pragma once
#include "mia/core/mma.cuh"
#include "mia/ops/window_attention/attention_operands.cuh"

namespace mia::detail {

/// Parts of keys and values in shared memory: one is worked on while the next one arrives. Width: channels of a head,
/// rounded up to products' 16.
template <int Width, int Heads>
struct MmaAttentionTile {
    static constexpr int keys = 32, stride = Width + 8;  // eight rows of 16 bytes lie in different banks
    struct Part {
        Bf16 keys[Heads][MmaAttentionTile::keys][stride], values[Heads][MmaAttentionTile::keys][stride];
        int offset[MmaAttentionTile::keys];  ///< of a key's row in the bias table from that of key 0
        int region[MmaAttentionTile::keys];
    };
    Part parts[2];
};

inline constexpr int mma_attention_warps = 4;  // of a block, at most

/// Channels c and c + 1 of a row of D, zeros beyond; `even`: they lie at a multiple of 4 bytes.
__device__ __forceinline__ unsigned channel_pair(const Bf16* row, int c, int D, bool even) {
    if (c >= D) return 0;
    if (even) return reinterpret_cast<const Bf16Pair*>(row + c)->bits;
    return row[c].bits | unsigned(c + 1 < D ? row[c + 1].bits : 0) << 16;
}

/// window_attention on tensor cores. A block has a window; each of its warps has 16 queries of a head, one head for all
/// or, in small windows, one of `Heads` each. Scores stay in registers: as sums of the first product they have the
/// layout of the second one's left side, where softmax's weights go rounded to bf16. The running maximum and sum of a
/// query are float and lie in four lanes. `chunk`: neighbouring channels of a head that lie at a multiple of their
/// size, 8, 4, 2 or 1. Four blocks a multiprocessor: left alone, nvcc aims at more and spills on some chips.
template <int Width, int Heads>
__global__ void __launch_bounds__(32 * mma_attention_warps, Width <= 32 ? 4 : 3)
    mma_attention_kernel(AttentionOperands<Bf16> p, int chunk) {
    using Tile = MmaAttentionTile<Width, Heads>;
    using Part = typename Tile::Part;
    constexpr int score_tiles = Tile::keys / 8, channel_tiles = Width / 8;
    constexpr float lowest = -3e38f;
    auto& tile = shared_memory<Tile>();
    const int w = int(blockIdx.x), thread = int(threadIdx.x), lane = thread % 32, warp = thread / 32;
    if (w >= p.rows.counts[1]) return;  // the whole block
    const int C = p.C, D = p.D, first_head = int(blockIdx.y) * Heads, heads = min(Heads, C / D - first_head);
    const int first = p.rows.begin[w], queries = p.rows.begin[w + 1] - first, window = p.rows.window[w];
    const int N = p.grid.window.tokens(), keys = p.frames.keys * N;
    const bool has_regions = p.grid.has_regions(window), even = chunk % 2 == 0;
    const Bf16* kv = p.kv + std::ptrdiff_t(w) * keys * 2 * C + first_head * D;

    const auto load_chunks = [&]<int Count>(std::integral_constant<int, Count>, int k0, int rows, Part& part) {
        constexpr int chunks = Width / Count;
#pragma unroll 1  // three copies of it: unrolled they take the registers of all the rest
        for (int i = thread; i < rows * Heads * chunks; i += int(blockDim.x)) {
            const int c = i % chunks * Count, head = i / chunks % Heads, key = i / (chunks * Heads);
            if (head >= heads) continue;
            const bool is_there = k0 + key < keys && c < D;
            const Bf16* from = kv + std::ptrdiff_t(k0 + key) * 2 * C + head * D + c;
            copy_async<Count>(&part.keys[head][key][c], is_there ? from : nullptr);
            copy_async<Count>(&part.values[head][key][c], is_there ? from + C : nullptr);
        }
    };
    const auto load = [&](int k0, Part& part) {
        const int rows = min(Tile::keys, ceil_div(keys - k0, 16) * 16);
        if (chunk == 8)
            load_chunks(std::integral_constant<int, 8>{}, k0, rows, part);
        else if (chunk == 4)
            load_chunks(std::integral_constant<int, 4>{}, k0, rows, part);
        else
            load_chunks(std::integral_constant<int, 1>{}, k0, rows, part);
        __pipeline_commit();
        for (int i = thread; i < rows; i += int(blockDim.x)) {
            const int key = min(k0 + i, keys - 1);
            part.offset[i] = relative_position_index(p.grid.window, p.frames, 0, key) -
                             relative_position_index(p.grid.window, p.frames, 0, 0);
            part.region[i] = p.grid.region(window, key % N);
        }
    };

    const int head = Heads == 1 ? 0 : warp, c0 = (first_head + head) * D;
    const int queries_of_block = Heads == 1 ? int(blockDim.x) / 32 * 16 : 16;
    for (int q0 = 0; q0 < queries; q0 += queries_of_block) {
        const int query = q0 + (Heads == 1 ? 16 * warp : 0) + lane / 4;  // and the one eight rows below
        const bool has_work = query - lane / 4 < queries && head < heads;
        if (q0 > 0) __syncthreads();  // the parts have been read
        load(0, tile.parts[0]);

        MmaLeft q[Width / 16] = {};
        const float* bias[2] = {};
        int region[2] = {};
        if (has_work)
#pragma unroll
            for (int i = 0; i < 2; ++i) {
                const int row = first + min(query + 8 * i, queries - 1), token = p.rows.token[row];
                bias[i] = p.table + (first_head + head) * p.table_rows +
                          relative_position_index(p.grid.window, p.frames, token, 0);
                region[i] = p.grid.region(window, token % N);
#pragma unroll
                for (int k = 0; k < Width; k += 8)
                    q[k / 16].x[k / 8 % 2 * 2 + i] =
                        channel_pair(p.q + std::ptrdiff_t(row) * C + c0, k + mma_column(lane, 0), D, even);
            }
        MmaSum result[channel_tiles] = {};
        float maximum[2] = {lowest, lowest}, sum[2] = {};

        for (int k0 = 0, current = 0; k0 < keys; k0 += Tile::keys, current ^= 1) {
            __pipeline_wait_prior(0);
            __syncthreads();  // this part is there for all, and the one before has been read
            if (k0 + Tile::keys < keys) load(k0 + Tile::keys, tile.parts[current ^ 1]);
            if (!has_work) continue;
            const Part& part = tile.parts[current];
            const int in_part = min(Tile::keys, keys - k0);

            MmaSum scores[score_tiles];
            float largest[2] = {maximum[0], maximum[1]};
#pragma unroll
            for (int j = 0; j < score_tiles; j += 2) {
                if (8 * j >= in_part) continue;
                scores[j] = scores[j + 1] = {};
#pragma unroll
                for (int k = 0; k < Width; k += 16) {
                    MmaRight right[2];
                    load_right_transposed(&part.keys[head][8 * j][k], Tile::stride, lane, right);
                    multiply_add(scores[j], q[k / 16], right[0]);
                    multiply_add(scores[j + 1], q[k / 16], right[1]);
                }
#pragma unroll
                for (int e = 0; e < 8; ++e) {
                    const int i = e % 4 / 2, key = 8 * j + e / 4 * 8 + mma_column(lane, e % 4);
                    float& score = scores[j + e / 4].x[e % 4];
                    score = score * p.scale + bias[i][part.offset[key]];
                    if (has_regions && part.region[key] != region[i]) score += float(region_penalty * log2e);
                    if (key >= in_part) score = lowest;
                    largest[i] = fmaxf(largest[i], score);
                }
            }
            float rescale[2];
#pragma unroll
            for (int i = 0; i < 2; ++i) {
#pragma unroll
                for (int step = 1; step < 4; step *= 2)
                    largest[i] = fmaxf(largest[i], __shfl_xor_sync(all_lanes, largest[i], step));
                rescale[i] = exp2f(maximum[i] - largest[i]);
                maximum[i] = largest[i];
                sum[i] *= rescale[i];
            }
#pragma unroll
            for (int d = 0; d < channel_tiles; ++d)
#pragma unroll
                for (int e = 0; e < 4; ++e) result[d].x[e] *= rescale[e / 2];
#pragma unroll
            for (int j = 0; j < score_tiles; j += 2) {
                if (8 * j >= in_part) continue;
#pragma unroll
                for (int e = 0; e < 8; ++e) {
                    float& score = scores[j + e / 4].x[e % 4];
                    score = exp2f(score - maximum[e % 4 / 2]);
                    sum[e % 4 / 2] += score;
                }
                const MmaLeft weights = round_to_left(scores[j], scores[j + 1]);
#pragma unroll
                for (int d = 0; d < channel_tiles; d += 2) {
                    MmaRight right[2];
                    load_right(&part.values[head][8 * j][8 * d], Tile::stride, lane, right);
                    multiply_add(result[d], weights, right[0]);
                    if (8 * d + 8 < D) multiply_add(result[d + 1], weights, right[1]);
                }
            }
        }
        if (!has_work) continue;
#pragma unroll
        for (int i = 0; i < 2; ++i) {
#pragma unroll
            for (int step = 1; step < 4; step *= 2) sum[i] += __shfl_xor_sync(all_lanes, sum[i], step);
            if (query + 8 * i >= queries) continue;
            const float inverse = 1 / sum[i];
            Bf16* y = p.y + std::ptrdiff_t(first + query + 8 * i) * C + c0;
#pragma unroll
            for (int d = 0; d < channel_tiles; ++d) {
                const int c = 8 * d + mma_column(lane, 0);
                const float a = result[d].x[2 * i] * inverse, b = result[d].x[2 * i + 1] * inverse;
                if (c >= D) continue;
                if (even) {
                    reinterpret_cast<Bf16Pair*>(y + c)->bits = bf16_pair(a, b);
                } else {
                    y[c] = Bf16(a);
                    if (c + 1 < D) y[c + 1] = Bf16(b);
                }
            }
        }
    }
}

template <int Width, int Heads>
void launch_mma_attention(CudaBf16& cuda, int windows, int heads, int warps, const AttentionOperands<Bf16>& operands) {
    // What the pointers and a row of D channels are multiples of, in elements.
    const auto offset = reinterpret_cast<std::uintptr_t>(operands.q) | reinterpret_cast<std::uintptr_t>(operands.kv) |
                        reinterpret_cast<std::uintptr_t>(operands.y);
    int chunk = 8;
    while (operands.D % chunk != 0 || offset % (std::size_t(chunk) * sizeof(Bf16)) != 0) chunk /= 2;
    launch(cuda, "window_attention",
           {.grid = {unsigned(windows), unsigned(ceil_div(heads, Heads))},
            .block = unsigned(32 * warps),
            .shared_bytes = sizeof(MmaAttentionTile<Width, Heads>)},
           mma_attention_kernel<Width, Heads>, operands, chunk);
}

inline void launch_attention(CudaBf16& cuda, int windows, int heads, AttentionOperands<Bf16> operands) {
    operands.scale *= float(log2e);  // scores are exponents of 2
    const int D = operands.D, queries = operands.frames.queries * operands.grid.window.tokens();
    constexpr int most = mma_attention_warps;
    if (queries <= 16 && D <= 32) {  // one warp has them all
        const auto launch_it = D <= 16 ? launch_mma_attention<16, most> : launch_mma_attention<32, most>;
        return launch_it(cuda, windows, heads, std::min(heads, most), operands);
    }
    const auto launch_it = D <= 16   ? launch_mma_attention<16, 1>
                           : D <= 32 ? launch_mma_attention<32, 1>
                                     : launch_mma_attention<64, 1>;
    launch_it(cuda, windows, heads, std::min(ceil_div(queries, 16), most), operands);
}

}  // namespace mia::detail
