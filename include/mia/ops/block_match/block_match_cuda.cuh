#pragma once
#include "mia/core/cuda.cuh"
#include "mia/core/warp.cuh"
#include "mia/ops/block_match/block_match.hpp"

namespace mia {

namespace detail {

/// A thread per four pixels, which lie in one word; the border as on Cpu.
template <class T>
struct PaddedLuma {
    const T *ref, *supp;  // (H, W, 3)
    int H, W;
    View<unsigned, 3> luma;  // (2, rows, columns / 4)
    __device__ void operator()(int row, int word) const {
        const int rows = luma.extent(1), f = row / rows;
        const T* frame = f == 0 ? ref : supp;
        const int y = min(max(row % rows - match_border, 0), H - 1);
        unsigned packed = 0;
        for (int k = 0; k < 4; ++k) {
            const int x = min(max(4 * word + k - match_border, 0), W - 1);
            int v[3];
            for (int c = 0; c < 3; ++c) {
                const auto value = float(frame[(std::ptrdiff_t(y) * W + x) * 3 + c]);
                v[c] = int(std::nearbyint(255.0f * (value < 0.0f ? 0.0f : value > 1.0f ? 1.0f : value)));
            }
            packed |= unsigned((77 * v[0] + 150 * v[1] + 29 * v[2] + 128) / 256) << 8 * k;
        }
        luma(f, row % rows, word) = packed;
    }
};

struct MatchSize {
    static constexpr int moves = 2 * match_range + 1;            ///< along an axis
    static constexpr int words = match_square / 4;               ///< of a row of the square
    static constexpr int rows = match_square + 2 * match_range;  ///< of the searched area
    static constexpr int row_words = rows / 4;
};

template <int Threads>
struct MatchTile {
    unsigned square[match_square][MatchSize::words];
    unsigned area[MatchSize::rows][MatchSize::row_words + 1];  // + 1: rows begin in different banks
    int differences[MatchSize::moves * MatchSize::moves];
    unsigned long long best[Threads / 32];
};

/// A block per patch, a thread per move. Both squares are compared four pixels at a time.
template <int Threads>
__global__ void __launch_bounds__(Threads)
    block_match_kernel(View<const unsigned, 3> luma, MatchPrecision precision, View<float, 3> flow) {
    using Size = MatchSize;
    auto& tile = shared_memory<MatchTile<Threads>>();
    const int thread = int(threadIdx.x), by = int(blockIdx.y), bx = int(blockIdx.x);
    const int y0 = by * match_patch, x0 = bx * match_patch / 4;  // of the searched area, in words
    for (int i = thread; i < Size::rows * Size::row_words; i += Threads)
        tile.area[i / Size::row_words][i % Size::row_words] =
            luma(1, y0 + i / Size::row_words, x0 + i % Size::row_words);
    for (int i = thread; i < match_square * Size::words; i += Threads)
        tile.square[i / Size::words][i % Size::words] =
            luma(0, y0 + match_range + i / Size::words, x0 + match_range / 4 + i % Size::words);
    __syncthreads();

    // The smallest key wins: cost, distance, dy, dx from the high bits to the low ones.
    unsigned long long best = ~0ull;
    for (int move = thread; move < Size::moves * Size::moves; move += Threads) {
        const int i = move / Size::moves, j = move % Size::moves, dy = i - match_range, dx = j - match_range;
        unsigned sum = 0;
        for (int y = 0; y < match_square; ++y) {
            const unsigned* row = tile.area[y + i] + j / 4;
            unsigned low = row[0];
#pragma unroll
            for (int k = 0; k < Size::words; ++k) {
                const unsigned high = k + 1 < Size::words || j % 4 != 0 ? row[k + 1] : 0;
                sum += __vsadu4(tile.square[y][k], __funnelshift_r(low, high, 8 * (j % 4)));
                low = high;
            }
        }
        tile.differences[move] = int(sum);
        const unsigned cost = sum + unsigned(match_penalty * (abs(dx) + abs(dy)));
        const auto key =
            static_cast<unsigned long long>(cost) << 32 | unsigned(dx * dx + dy * dy) << 16 | unsigned(i << 8 | j);
        best = key < best ? key : best;
    }
    best = warp_min(best);
    if (thread % 32 == 0) tile.best[thread / 32] = best;
    __syncthreads();
    for (int w = 0; w < Threads / 32; ++w) best = tile.best[w] < best ? tile.best[w] : best;

    const int i = int(best >> 8) & 255, j = int(best) & 255;
    float dy = float(i - match_range), dx = float(j - match_range);
    if (precision == MatchPrecision::quarter) {
        const int* here = tile.differences + i * Size::moves + j;
        if (i > 0 && i < Size::moves - 1) dy += 0.25f * float(quarters(here[-Size::moves], here[0], here[Size::moves]));
        if (j > 0 && j < Size::moves - 1) dx += 0.25f * float(quarters(here[-1], here[0], here[1]));
    }
    for (int k = thread; k < match_patch * match_patch; k += Threads) {
        const int y = by * match_patch + k / match_patch, x = bx * match_patch + k % match_patch;
        if (y >= flow.extent(0) || x >= flow.extent(1)) continue;
        flow(y, x, 0) = dx;
        flow(y, x, 1) = dy;
    }
}

}  // namespace detail

template <class T>
void block_match(BasicCuda<T>& cuda, In<Wide<T>, 3> ref, In<Wide<T>, 3> supp, View<float, 3> flow,
                 MatchPrecision precision = MatchPrecision::pixel) {
    using namespace detail;
    const int H = ref.extent(0), W = ref.extent(1);
    check_block_match<Wide<T>>(ref, supp, flow);
    constexpr int threads = 160;  // two moves each, of 17 x 17
    const auto scope = cuda.scope();
    const int down = ceil_div(H, match_patch), across = ceil_div(W, match_patch);
    const int rows = down * match_patch + 2 * match_border, columns = across * match_patch + 2 * match_border;
    const auto luma = cuda.template scratch<unsigned>(2, rows, columns / 4);
    each_in_rows(cuda, "block_match", 2 * rows, columns / 4, PaddedLuma<Wide<T>>{ref.data, supp.data, H, W, luma});
    launch(cuda, "block_match",
           {.grid = {unsigned(across), unsigned(down)}, .block = threads, .shared_bytes = sizeof(MatchTile<threads>)},
           block_match_kernel<threads>, luma, precision, flow);
}

}  // namespace mia
