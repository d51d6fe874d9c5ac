#pragma once
#include "mia/core/mma.cuh"
#include "mia/ops/device_weights.cuh"

namespace mia::detail {

/// A block's tile. Its warps have rows of their own and all columns, so that few columns idle none.
/// WarpRows: 16, or 32 for half the loads from shared memory an operation and twice the registers.
template <int WarpRows>
struct MmaProductSize {
    static constexpr int warps = 4, threads = 32 * warps;
    static constexpr int rows = WarpRows * warps, columns = 64, depth = 32;
};

template <int WarpRows>
struct MmaProductTile {
    using Size = MmaProductSize<WarpRows>;
    static constexpr int stride = Size::depth + 8;           // eight rows of 16 bytes lie in different banks
    static constexpr int result_stride = Size::columns + 8;  // so do four rows of a quad of lanes
    struct Part {
        Bf16 a[Size::rows][stride], b[Size::columns][stride];
    };
    union {
        Part parts[2];  // one is multiplied while the other arrives
        float results[Size::warps][16][result_stride];
    };
};

/// What lies at multiples of its size wherever it begins.
struct Movable {
    bool chunks_of_a;  ///< eight neighbours along the sum, 16 bytes
    bool quads_of_y;   ///< four neighbours of a row of y and of the residual, 8 bytes
};

/// The product of tiled_product.cuh on tensor cores: products of bf16 summed in float, the result rounded when it is
/// written. With place() the sum is rounded before that too, as conv2d_shuffle's contract has it.
/// `can_move` tells what is whole and aligned.
template <class A, class Y>
__global__ void __launch_bounds__(MmaProductSize<A::warp_rows>::threads)
    mma_product_kernel(A a, ProductOperands<Bf16, Y> p, Movable can_move) {
    using Tile = MmaProductTile<A::warp_rows>;
    using Size = typename Tile::Size;
    constexpr int row_chunks = Size::depth / 8, chunk_rows = Size::threads / row_chunks;  // of all threads, in a step
    constexpr int loads = Size::rows / chunk_rows, row_tiles = A::warp_rows / 16, column_tiles = Size::columns / 8;
    constexpr bool has_place = requires { a.place(0, 0, 0); };
    auto& tile = shared_memory<Tile>();
    const int M = row_count(p.rows, p.capacity), m0 = int(blockIdx.x) * Size::rows,
              n0 = int(blockIdx.y) * Size::columns;
    if (m0 >= M) return;  // the whole block
    const int thread = int(threadIdx.x), lane = thread % 32, warp = thread / 32;
    const int block_rows = min(Size::rows, ceil_div(M - m0, 16) * 16),
              block_columns = min(Size::columns, p.columns - n0);

    const int load_k = thread % row_chunks * 8, load_row = thread / row_chunks;
    typename A::Row rows[loads];
#pragma unroll
    for (int i = 0; i < loads; ++i) rows[i] = a.row(m0 + load_row + i * chunk_rows);
    const auto load = [&](int k0, typename Tile::Part& part) {
        if (can_move.chunks_of_a) {
            const auto column = a.column(k0 + load_k);
#pragma unroll
            for (int i = 0; i < loads; ++i) {
                const int row = load_row + i * chunk_rows;
                if (row < block_rows)
                    copy_async<8>(&part.a[row][load_k],
                                  k0 + load_k < p.K && m0 + row < M ? a.find(rows[i], column) : nullptr);
            }
        } else {
            const int k = thread % Size::depth;
            const auto column = a.column(k0 + k);
            for (int row = thread / Size::depth; row < block_rows; row += Size::threads / Size::depth)
                part.a[row][k] = k0 + k < p.K && m0 + row < M ? a.at(a.row(m0 + row), column) : Bf16(0);
        }
        for (int n = load_row; n < block_columns; n += chunk_rows)
            copy_async<8>(&part.b[n][load_k], p.weights + std::ptrdiff_t(n0 + n) * p.depth + k0 + load_k);
        __pipeline_commit();
    };

    const int first = warp * A::warp_rows;  // of this warp's rows
    MmaSum sum[row_tiles][column_tiles] = {};
    load(0, tile.parts[0]);
    for (int k0 = 0, current = 0; k0 < p.K; k0 += Size::depth, current ^= 1) {
        __pipeline_wait_prior(0);
        __syncthreads();  // this part is there for all, and the one before has been read
        if (k0 + Size::depth < p.K) load(k0 + Size::depth, tile.parts[current ^ 1]);
        const auto& part = tile.parts[current];
#pragma unroll
        for (int k = 0; k < Size::depth; k += 16) {
            MmaLeft left[row_tiles];
#pragma unroll
            for (int i = 0; i < row_tiles; ++i)
                if (first + 16 * i < block_rows) left[i] = load_left(&part.a[first + 16 * i][k], Tile::stride, lane);
#pragma unroll
            for (int j = 0; j < column_tiles; j += 2) {
                if (8 * j >= block_columns || first >= block_rows) continue;
                MmaRight right[2];
                load_right_transposed(&part.b[8 * j][k], Tile::stride, lane, right);
#pragma unroll
                for (int i = 0; i < row_tiles; ++i) {
                    if (first + 16 * i >= block_rows) continue;
                    multiply_add(sum[i][j], left[i], right[0]);
                    multiply_add(sum[i][j + 1], left[i], right[1]);
                }
            }
        }
    }
    __syncthreads();  // the results lie where the parts were

    // Through shared memory: in registers a row's neighbours are spread over lanes.
#pragma unroll
    for (int i = 0; i < row_tiles; ++i) {
        const int m = m0 + first + 16 * i;
        if (m >= M) break;
        auto& results = tile.results[warp];
#pragma unroll
        for (int j = 0; j < column_tiles; ++j)
#pragma unroll
            for (int e = 0; e < 4; ++e) results[mma_row(lane, e)][8 * j + mma_column(lane, e)] = sum[i][j].x[e];
        __syncwarp();
        for (int q = lane; q < 16 * Size::columns / 4; q += 32) {
            const int row = q / (Size::columns / 4), n = q % (Size::columns / 4) * 4;
            if (m + row >= M || n0 + n >= p.N) continue;
            auto quad = *reinterpret_cast<const Quad<float>*>(&results[row][n]);
#pragma unroll
            for (int e = 0; e < 4; ++e) {
                float value = quad.v[e] + p.bias[n0 + n + e];  // there are as many as the weights have columns
                if constexpr (has_place) value = float(Bf16(value));
                quad.v[e] = p.activate(value);
            }
            if constexpr (!has_place && std::is_same_v<Y, Bf16>) {
                if (can_move.quads_of_y) {
                    const std::ptrdiff_t at = std::ptrdiff_t(m + row) * p.N + n0 + n;
                    if (p.residual) {
                        const auto rest = *reinterpret_cast<const Quad<Bf16>*>(p.residual + at);
#pragma unroll
                        for (int e = 0; e < 4; ++e) quad.v[e] += rest.v[e];
                    }
                    *reinterpret_cast<Bf16Pairs*>(p.y + at) = {bf16_pair(quad.v[0], quad.v[1]),
                                                               bf16_pair(quad.v[2], quad.v[3])};
                    continue;
                }
            }
#pragma unroll
            for (int e = 0; e < 4; ++e) {
                if (n0 + n + e >= p.N) break;
                std::ptrdiff_t at;
                if constexpr (has_place)
                    at = a.place(m + row, n0 + n + e, p.N);
                else
                    at = std::ptrdiff_t(m + row) * p.N + n0 + n + e;
                p.y[at] = Y(p.residual ? quad.v[e] + p.residual[at] : quad.v[e]);
            }
        }
        __syncwarp();
    }
}

template <class A, class Y>
void product(CudaBf16& cuda, const char* op, const A& a, int M, RowCount rows, const DeviceWeights<Bf16>& weights,
             Activation activation, const Y* residual, Y* y) {
    using Tile = MmaProductTile<A::warp_rows>;
    using Size = typename Tile::Size;
    const auto is_aligned = [](const void* p, std::size_t bytes) {
        return reinterpret_cast<std::uintptr_t>(p) % bytes == 0;
    };
    const Movable can_move{a.run() % 8 == 0 && is_aligned(a.x, 16),
                           weights.N % 4 == 0 && is_aligned(y, 8) && is_aligned(residual, 8)};
    launch(cuda, op,
           {.grid = {unsigned(ceil_div(M, Size::rows)), unsigned(ceil_div(weights.N, Size::columns))},
            .block = Size::threads,
            .shared_bytes = sizeof(Tile)},
           mma_product_kernel<A, Y>, a, weights.operands(M, rows, activation, residual, y), can_move);
}

}  // namespace mia::detail
