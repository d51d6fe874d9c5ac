#pragma once
#include "mia/ops/window_attention/window_attention_cuda.cuh"
#include "mia/train/vjp/linear_cuda.cuh"
#include "mia/train/vjp/window_attention.hpp"
#include "mia/train/vjp/windows_cuda.cuh"

namespace mia {

namespace detail {

/// A block has a window and a head. It takes its queries in tiles, and for each tile its keys: once to find the
/// softmax's maximum and sum, then to differentiate. A warp has a query at a time, its lanes a key each.
struct AttentionGradientSize {
    static constexpr int queries = 64, keys = 32, warps = 8, threads = 32 * warps;
};

/// + 1: lanes that read the same channel of neighbouring rows meet different banks.
template <class T, int Width>
struct AttentionGradientTile {
    using Size = AttentionGradientSize;
    T query[Size::queries][Width + 1];  ///< scaled
    T dy[Size::queries][Width + 1];
    T keys[Size::keys][Width + 1];
    T values[Size::keys][Width + 1];
    T probability[Size::queries][Size::keys + 1];
    T ds[Size::queries][Size::keys + 1];
    T maximum[Size::queries], inverse[Size::queries];  ///< 1 / sum
    T mean[Size::queries];                             ///< sum over keys of P d P
    int token[Size::queries], region[Size::queries];
};

template <class T>
struct AttentionGradientOperands {
    AttentionOperands<T> forward;  ///< y: of the forward pass
    const T* dy;
    Gradient<T> d_q, d_kv;
    T* ds;  ///< (windows, heads, all queries, keys); null: not wanted
    int all_queries;
};

template <class T, int Width>
__global__ void __launch_bounds__(AttentionGradientSize::threads)
    window_attention_gradient_kernel(AttentionGradientOperands<T> p) {
    using Size = AttentionGradientSize;
    auto& tile = shared_memory<AttentionGradientTile<T, Width>>();
    const AttentionOperands<T>& f = p.forward;
    const int w = int(blockIdx.x), head = int(blockIdx.y), thread = int(threadIdx.x), lane = thread % 32;
    const int warp = thread / 32, N = f.grid.window.tokens(), keys = f.frames.keys * N, C = f.C, D = f.D, c0 = head * D;
    const int first = f.rows.begin[w], queries = f.rows.begin[w + 1] - first, window = f.rows.window[w];
    const T* table = f.table + head * f.table_rows;
    const std::ptrdiff_t kv_at = std::ptrdiff_t(w) * keys * 2 * C + c0;

    const auto load_keys = [&](int k0, int count) {
        for (int i = thread; i < Size::keys * Width; i += Size::threads) {
            const int key = i / Width, d = i % Width;
            const bool is_there = key < count && d < D;
            const std::ptrdiff_t at = kv_at + std::ptrdiff_t(k0 + key) * 2 * C + d;
            tile.keys[key][d] = is_there ? f.kv[at] : T(0);
            tile.values[key][d] = is_there ? f.kv[at + C] : T(0);
        }
    };
    // Of a query of the tile and this lane's key, number `key` of the window.
    const auto score = [&](int i, int key) {
        T sum = 0;
#pragma unroll 8
        for (int d = 0; d < Width; ++d) sum += tile.query[i][d] * tile.keys[lane][d];
        const T bias = table[relative_position_index(f.grid.window, f.frames, tile.token[i], key)];
        return sum + bias + (f.grid.region(window, key % N) == tile.region[i] ? T(0) : T(region_penalty));
    };

    for (int q0 = 0; q0 < queries; q0 += Size::queries) {
        const int in_tile = min(Size::queries, queries - q0);
        __syncthreads();  // the tile before has been read
        for (int i = thread; i < in_tile * Width; i += Size::threads) {
            const int query = i / Width, d = i % Width;
            const std::ptrdiff_t at = std::ptrdiff_t(first + q0 + query) * C + c0 + d;
            tile.query[query][d] = d < D ? f.q[at] * f.scale : T(0);
            tile.dy[query][d] = d < D ? p.dy[at] : T(0);
        }
        if (thread < in_tile) {
            tile.token[thread] = f.rows.token[first + q0 + thread];
            tile.region[thread] = f.grid.region(window, tile.token[thread] % N);
            T mean = 0;
            for (int d = 0; d < D; ++d) {
                const std::ptrdiff_t at = std::ptrdiff_t(first + q0 + thread) * C + c0 + d;
                mean += p.dy[at] * f.y[at];
            }
            tile.mean[thread] = mean;
        }

        // Each lane's own maximum and sum, of its keys, where its results will be; the lanes' together at the end.
        for (int k0 = 0; k0 < keys; k0 += Size::keys) {
            const int count = min(Size::keys, keys - k0);
            __syncthreads();
            load_keys(k0, count);
            __syncthreads();
            for (int i = warp; i < in_tile; i += Size::warps) {
                T maximum = k0 > 0 ? tile.probability[i][lane] : T(-3e38), sum = k0 > 0 ? tile.ds[i][lane] : T(0);
                if (lane < count) {
                    const T s = score(i, k0 + lane), largest = s > maximum ? s : maximum;
                    sum = sum * std::exp(maximum - largest) + std::exp(s - largest);
                    maximum = largest;
                }
                tile.probability[i][lane] = maximum;
                tile.ds[i][lane] = sum;
            }
        }
        for (int i = warp; i < in_tile; i += Size::warps) {
            const T maximum = tile.probability[i][lane], largest = warp_max(maximum);
            const T sum = warp_sum(tile.ds[i][lane] * std::exp(maximum - largest));
            if (lane > 0) continue;
            tile.maximum[i] = largest;
            tile.inverse[i] = T(1) / sum;
        }

        constexpr int dq_of_thread = Size::queries * Width / Size::threads;
        T dq[dq_of_thread] = {};
        for (int k0 = 0; k0 < keys; k0 += Size::keys) {
            const int count = min(Size::keys, keys - k0);
            __syncthreads();
            load_keys(k0, count);
            __syncthreads();
            for (int i = warp; i < in_tile; i += Size::warps) {
                T probability = 0, ds = 0;
                if (lane < count) {
                    probability = std::exp(score(i, k0 + lane) - tile.maximum[i]) * tile.inverse[i];
                    T dp = 0;
#pragma unroll 8
                    for (int d = 0; d < Width; ++d) dp += tile.dy[i][d] * tile.values[lane][d];
                    ds = probability * (dp - tile.mean[i]);
                    if (p.ds) {
                        const std::ptrdiff_t row =
                            (std::ptrdiff_t(w) * gridDim.y + head) * p.all_queries + tile.token[i];
                        p.ds[row * keys + k0 + lane] = ds;
                    }
                }
                tile.probability[i][lane] = probability;
                tile.ds[i][lane] = ds;
            }
            __syncthreads();
#pragma unroll
            for (int n = 0; n < dq_of_thread; ++n) {
                const int i = (thread + n * Size::threads) / Width, d = (thread + n * Size::threads) % Width;
                if (i >= in_tile) break;
                for (int k = 0; k < count; ++k) dq[n] += tile.ds[i][k] * tile.keys[k][d];
            }
            if (!p.d_kv) continue;
            for (int n = thread; n < count * Width; n += Size::threads) {
                const int k = n / Width, d = n % Width;
                if (d >= D) continue;
                T dk = 0, dv = 0;
                for (int i = 0; i < in_tile; ++i) {
                    dk += tile.ds[i][k] * tile.query[i][d];
                    dv += tile.probability[i][k] * tile.dy[i][d];
                }
                const Gradient<T> to{p.d_kv.data, p.d_kv.is_fresh && q0 == 0};
                const std::ptrdiff_t at = kv_at + std::ptrdiff_t(k0 + k) * 2 * C + d;
                to.add(at, dk);
                to.add(at + C, dv);
            }
        }
        if (!p.d_q) continue;
#pragma unroll
        for (int n = 0; n < dq_of_thread; ++n) {
            const int i = (thread + n * Size::threads) / Width, d = (thread + n * Size::threads) % Width;
            if (i < in_tile && d < D) p.d_q.add(std::ptrdiff_t(first + q0 + i) * C + c0 + d, f.scale * dq[n]);
        }
    }
}

/// sums (heads, queries, keys) of ds over the windows, in their order.
template <class T>
struct SumOverWindows {
    View<const T, 2> ds;  // (windows, all of the others)
    T* sums;
    __device__ void operator()(std::ptrdiff_t i) const {
        T sum = 0;
        for (int w = 0; w < ds.extent(0); ++w) sum += ds(w, i);
        sums[i] = sum;
    }
};
/// d table (rows, heads) += what the pairs of a query and a key that use a row got.
template <class T>
struct AddToTable {
    View<const T, 3> sums;  // (heads, queries, keys)
    WindowSize window;
    WindowFrames frames;
    T* d;
    __device__ void operator()(int row, int head) const {
        const int N = window.tokens(), dt = row / window.offsets() - (frames.queries == 1 ? 0 : frames.queries - 1);
        const int dy = row % window.offsets() / (2 * window.width - 1) - (window.height - 1);
        const int dx = row % (2 * window.width - 1) - (window.width - 1);
        T sum = d[row * sums.extent(0) + head];
        for (int q = 0; q < frames.queries * N; ++q) {
            const int t = frames.keys - frames.queries + q / N - dt;
            const int y = q % N / window.width - dy, x = q % window.width - dx;
            if (t < 0 || t >= frames.keys || y < 0 || y >= window.height || x < 0 || x >= window.width) continue;
            sum += sums(head, q, (t * window.height + y) * window.width + x);
        }
        d[row * sums.extent(0) + head] = sum;
    }
};

template <class T, int Width>
void launch_window_attention_gradient(BasicCuda<T>& cuda, int windows, int heads,
                                      const AttentionGradientOperands<T>& operands) {
    launch(cuda, "window_attention vjp",
           {.grid = {unsigned(windows), unsigned(heads)},
            .block = unsigned(AttentionGradientSize::threads),
            .shared_bytes = sizeof(AttentionGradientTile<T, Width>)},
           window_attention_gradient_kernel<T, Width>, operands);
}

}  // namespace detail

template <class T>
void window_attention_gradient(BasicCuda<T>& cuda, const WindowGrid& grid, const ActiveRows& rows, WindowFrames frames,
                               In<T, 2> q, In<T, 3> kv, const PackedPositionBias<BasicCuda<T>>& bias, In<T, 2> y,
                               In<T, 2> dy, Gradient<T> d_q, Gradient<T> d_kv, Gradient<T> d_table) {
    const int C = q.extent(1), heads = bias.heads, D = C / heads, windows = grid.windows();
    const int keys = frames.keys * grid.window.tokens(), queries = frames.queries * grid.window.tokens();
    const auto scope = cuda.scope();
    View<T, 2> ds{};
    if (d_table) {
        ds = cuda.scratch(windows, heads * queries * keys);
        detail::zero_async(cuda, "window_attention vjp", ds);  // padded tokens are no queries
    }
    const detail::AttentionGradientOperands<T> operands{{grid, rows, frames, C, D, T(1 / std::sqrt(double(D))), q.data,
                                                         kv.data, bias.table.data(), bias.rows, const_cast<T*>(y.data)},
                                                        dy.data,
                                                        d_q,
                                                        d_kv,
                                                        ds.data,
                                                        queries};
    const auto run = D <= 16   ? detail::launch_window_attention_gradient<T, 16>
                     : D <= 32 ? detail::launch_window_attention_gradient<T, 32>
                               : detail::launch_window_attention_gradient<T, 64>;
    run(cuda, windows, heads, operands);
    if (!d_table) return;
    const View<T, 3> sums = cuda.scratch(heads, queries, keys);
    detail::each_element(cuda, "window_attention vjp", sums.size(), detail::SumOverWindows<T>{ds, sums.data});
    detail::each_in_rows(cuda, "window_attention vjp", bias.rows, heads,
                         detail::AddToTable<T>{sums, grid.window, frames, d_table.data});
}

}  // namespace mia
