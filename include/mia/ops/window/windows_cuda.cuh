#pragma once
#include <cub/device/device_scan.cuh>

#include "mia/core/cuda.cuh"
#include "mia/core/warp.cuh"
#include "mia/ops/window/windows.hpp"

namespace mia {

namespace detail {

/// The tokens of a window, in the order of the list, and which of them are active.
struct WindowTokens {
    WindowGrid grid;
    int frames;
    const std::uint8_t* keep;  ///< (frames, H, W); null keeps all

    __device__ int count() const { return frames * grid.window.tokens(); }
    /// The pixel of token t of window w, frame * P + y * width + x, or -1 if the token is not active.
    __device__ int active_pixel(int w, int t) const {
        const int N = grid.window.tokens(), pixel = grid.pixel(w, t % N);
        if (pixel < 0) return -1;
        const int at = t / N * grid.pixels() + pixel;
        return keep && !keep[at] ? -1 : at;
    }
};

/// Active tokens in the low half and windows with one in the high half: one sum counts both.
using TokensAndWindows = unsigned long long;

/// A warp per window. counts: (windows + 1), the last one zero: after an exclusive sum it holds the totals.
template <int WarpsPerBlock>
__global__ void __launch_bounds__(32 * WarpsPerBlock)
    count_active_kernel(WindowTokens tokens, TokensAndWindows* counts) {
    const int lane = int(threadIdx.x), w = int(blockIdx.x) * WarpsPerBlock + int(threadIdx.y);
    const int windows = tokens.grid.windows();
    if (w > windows) return;  // the whole warp
    int count = 0;
    if (w < windows)
        for (int t = lane; t < tokens.count(); t += 32) count += tokens.active_pixel(w, t) >= 0;
    count = warp_sum(count);
    if (lane == 0) counts[w] = TokensAndWindows(count) | TokensAndWindows(count > 0) << 32;
}

/// before: (windows + 1), how many active tokens and windows come before each window. A vote of the warp gives each
/// token its place: the order is that of the tokens.
template <int WarpsPerBlock>
__global__ void __launch_bounds__(32 * WarpsPerBlock)
    list_active_kernel(WindowTokens tokens, const TokensAndWindows* before, ActiveRows rows) {
    const int lane = int(threadIdx.x), w = int(blockIdx.x) * WarpsPerBlock + int(threadIdx.y);
    const int windows = tokens.grid.windows();
    if (w > windows) return;  // the whole warp
    const int first = int(before[w] & 0xffffffffu), place = int(before[w] >> 32);
    if (w == windows) {
        if (lane == 0) {
            rows.begin[place] = first;
            rows.counts[0] = first;
            rows.counts[1] = place;
        }
        return;
    }
    int at = first;
    for (int t0 = 0; t0 < tokens.count(); t0 += 32) {
        const int t = t0 + lane, pixel = t < tokens.count() ? tokens.active_pixel(w, t) : -1;
        const unsigned active = __ballot_sync(all_lanes, pixel >= 0);
        if (pixel >= 0) {
            const int row = at + __popc(active & ((1u << lane) - 1));
            rows.pixel[row] = pixel;
            rows.token[row] = t;
        }
        at += __popc(active);
    }
    if (lane == 0 && at > first) {
        rows.window[place] = w;
        rows.begin[place] = first;
    }
}

/// to[i] = from[0] + ... + from[i - 1].
template <class T>
void exclusive_sum(BasicCuda<T>& cuda, const char* op, const unsigned long long* from, unsigned long long* to,
                   int count) {
    const auto scope = cuda.scope();
    const auto sum = [&](void* storage, std::size_t& bytes) {
        require_success(cub::DeviceScan::ExclusiveSum(storage, bytes, from, to, count, cuda.stream()), op,
                        ": sum over ", count, " numbers");
    };
    std::size_t bytes = 0;
    sum(nullptr, bytes);  // how much memory it works in
    sum(cuda.template scratch<std::byte>(bytes).data, bytes);
}

template <class T>
struct GatherRows {
    const T* x;
    const int* pixel;
    int C;
    T* y;
    __device__ void operator()(int row, int c) const {
        y[std::ptrdiff_t(row) * C + c] = x[std::ptrdiff_t(pixel[row]) * C + c];
    }
};
template <class T>
struct ScatterRows {
    const T* x;
    const int* pixel;
    int C;
    T* y;
    __device__ void operator()(int row, int c) const {
        y[std::ptrdiff_t(pixel[row]) * C + c] = x[std::ptrdiff_t(row) * C + c];
    }
};
/// A row is a token of a window with an active token.
template <class T>
struct GatherWindows {
    WindowGrid grid;
    const int* window;
    const T *cond, *x;
    int condition_frames, frames, C;  // frames: all of a window
    T* y;
    __device__ void operator()(int row, int c) const {
        const int N = grid.window.tokens(), f = row / N % frames;
        const int pixel = grid.pixel(window[row / (N * frames)], row % N);
        const bool is_cond = f < condition_frames;
        const std::ptrdiff_t at = std::ptrdiff_t(is_cond ? f : f - condition_frames) * grid.pixels() + pixel;
        y[std::ptrdiff_t(row) * C + c] = pixel < 0 ? T(0) : (is_cond ? cond : x)[at * C + c];
    }
};

}  // namespace detail

template <class T>
void select_rows(BasicCuda<T>& cuda, const WindowGrid& grid, int frames, View<const std::uint8_t, 3> keep,
                 ActiveRows& rows) {
    using namespace detail;
    constexpr int warps = 4;
    const auto scope = cuda.scope();
    const int count = grid.windows() + 1;
    const auto counts = cuda.template scratch<TokensAndWindows>(count);
    const auto before = cuda.template scratch<TokensAndWindows>(count);
    const WindowTokens tokens{grid, frames, keep.data};
    const LaunchShape shape{.grid = unsigned(ceil_div(count, warps)), .block = {32, warps}};
    launch(cuda, "select_rows", shape, count_active_kernel<warps>, tokens, counts.data);
    exclusive_sum(cuda, "select_rows", counts.data, before.data, count);
    launch(cuda, "select_rows", shape, list_active_kernel<warps>, tokens, before.data, rows);
}

template <class T>
void gather_rows(BasicCuda<T>& cuda, In<T, 2> x, const ActiveRows& rows, Out<T, 2> y) {
    const int C = x.extent(1);
    detail::each_in_rows(cuda, "gather_rows", y.extent(0), C, detail::GatherRows<T>{x.data, rows.pixel.data, C, y.data},
                         rows.rows());
}

template <class T>
void scatter_rows(BasicCuda<T>& cuda, In<T, 2> x, const ActiveRows& rows, Out<T, 2> y) {
    const int C = x.extent(1);
    detail::each_in_rows(cuda, "scatter_rows", x.extent(0), C,
                         detail::ScatterRows<T>{x.data, rows.pixel.data, C, y.data}, rows.rows());
}

template <class T>
void gather_windows(BasicCuda<T>& cuda, const WindowGrid& grid, const ActiveRows& rows, In<T, 4> cond, In<T, 4> x,
                    Out<T, 4> y) {
    const int C = x.extent(3), frames = y.extent(1), tokens = frames * grid.window.tokens();
    detail::each_in_rows(
        cuda, "gather_windows", y.extent(0) * tokens, C,
        detail::GatherWindows<T>{grid, rows.window.data, cond.data, x.data, frames - x.extent(0), frames, C, y.data},
        rows.windows(tokens));
}

}  // namespace mia
