#pragma once
#include "mia/ops/flow_warp/flow_warp_cuda.cuh"
#include "mia/ops/patch_align/patch_align_cuda.cuh"
#include "mia/ops/subpixel_align/subpixel_align_cuda.cuh"
#include "mia/ops/window/windows_cuda.cuh"
#include "mia/train/vjp/products_cuda.cuh"
#include "mia/train/vjp/warps.hpp"

// The vjp of a gather is a scatter, whose sums would depend on the order of its threads. So it is turned round: for
// each pixel of x the pixels of y that read it are listed, in order, and a thread sums up what it gets.

namespace mia {

namespace detail {

/// The pixels of y that read pixel p of x: reader[begin[p]] ... reader[begin[p + 1] - 1], in order.
struct PixelReaders {
    const unsigned long long* begin;
    const int* reader;
};

template <class Targets>
struct CountReaders {
    Targets targets;
    unsigned long long* counts;
    __device__ void operator()(std::ptrdiff_t p) const {
        for (int k = 0; k < Targets::most; ++k)
            if (const int q = targets.target(int(p), k); q >= 0) atomicAdd(&counts[q], 1ull);
    }
};
/// counts: of the readers that are not listed yet.
template <class Targets>
struct ListReaders {
    Targets targets;
    const unsigned long long* begin;
    unsigned long long* counts;
    int* reader;
    __device__ void operator()(std::ptrdiff_t p) const {
        for (int k = 0; k < Targets::most; ++k)
            if (const int q = targets.target(int(p), k); q >= 0)
                reader[begin[q] + atomicAdd(&counts[q], ~0ull) - 1] = int(p);
    }
};
/// Threads listed them in any order. Lists are short: that of a pixel that nothing covers has one or a few.
struct SortReaders {
    const unsigned long long* begin;
    int* reader;
    __device__ void operator()(std::ptrdiff_t q) const {
        const unsigned long long first = begin[q], end = begin[q + 1];
        for (unsigned long long i = first + 1; i < end; ++i) {
            const int p = reader[i];
            unsigned long long at = i;
            for (; at > first && reader[at - 1] > p; --at) reader[at] = reader[at - 1];
            reader[at] = p;
        }
    }
};

/// Targets: target(p, k), k < Targets::most, is a pixel that pixel p reads, each once, or -1. In the backend's scratch.
template <class T, class Targets>
PixelReaders readers_of(BasicCuda<T>& cuda, const char* op, int pixels, Targets targets) {
    const auto counts = cuda.template scratch<unsigned long long>(pixels + 1);
    const auto begin = cuda.template scratch<unsigned long long>(pixels + 1);
    const auto reader = cuda.template scratch<int>(pixels * Targets::most);
    zero_async(cuda, op, counts);
    each_element(cuda, op, pixels, CountReaders<Targets>{targets, counts.data});
    exclusive_sum(cuda, op, counts.data, begin.data, pixels + 1);
    each_element(cuda, op, pixels, ListReaders<Targets>{targets, begin.data, counts.data, reader.data});
    each_element(cuda, op, pixels, SortReaders{begin.data, reader.data});
    return {begin.data, reader.data};
}

/// d x (H, W, C) += over the readers of each pixel what it gave them: rule(d y, reader, row, column, c).
template <class U, class Rule>
struct AddFromReaders {
    View<const U, 3> dy;
    PixelReaders readers;
    Rule rule;
    U* d;
    __device__ void operator()(int row, int i) const {
        const int W = dy.extent(1), C = dy.extent(2), column = i / C, c = i % C;
        const std::ptrdiff_t q = std::ptrdiff_t(row) * W + column;
        U sum = d[q * C + c];
        for (auto at = readers.begin[q]; at < readers.begin[q + 1]; ++at)
            sum += rule(dy, readers.reader[at] / W, readers.reader[at] % W, row, column, c);
        d[q * C + c] = sum;
    }
};

struct WarpRule {
    static constexpr int most = 4;
    View<const float, 3> flow;
    Padding padding;
    __device__ WarpTap tap(int i, int j, int axis) const {
        return axis == 0 ? WarpTap(j, flow(i, j, 0), flow.extent(1), padding)
                         : WarpTap(i, flow(i, j, 1), flow.extent(0), padding);
    }
    __device__ int target(int p, int k) const {
        const int H = flow.extent(0), W = flow.extent(1);
        const WarpTap tx = tap(p / W, p % W, 0), ty = tap(p / W, p % W, 1);
        if (!tx.is_inside(k % 2, W) || !ty.is_inside(k / 2, H)) return -1;
        return (int(ty.first) + k / 2) * W + int(tx.first) + k % 2;
    }
    template <class U>
    __device__ U operator()(View<const U, 3> dy, int i, int j, int row, int column, int c) const {
        const WarpTap tx = tap(i, j, 0), ty = tap(i, j, 1);
        const float across = float(column) == tx.first ? tx.weight[0] : tx.weight[1];
        const float down = float(row) == ty.first ? ty.weight[0] : ty.weight[1];
        return U(across * down) * dy(i, j, c);
    }
};

struct PatchRule {
    static constexpr int most = 1;
    View<const float, 3> mean;
    int H, W;
    __device__ int target(int p, int) const {
        const int i = p / W, j = p % W, by = i / patch_size, bx = j / patch_size;
        const int row = nearest(sampling_coordinate(i, mean(by, bx, 1), H), H);
        const int column = nearest(sampling_coordinate(j, mean(by, bx, 0), W), W);
        return row < 0 || column < 0 ? -1 : row * W + column;
    }
    template <class U>
    __device__ U operator()(View<const U, 3> dy, int i, int j, int, int, int c) const {
        return dy(i, j, c);
    }
};

struct SubpixelRule {
    static constexpr int most = 4;
    View<const float, 3> flow;
    int factor;
    /// Where the first of a pixel's fine positions reads.
    __device__ int first(int i, int j, int axis) const {
        return axis == 0 ? factor * j + fine_displacement(flow(i, j, 0), factor, flow.extent(1))
                         : factor * i + fine_displacement(flow(i, j, 1), factor, flow.extent(0));
    }
    /// The pixel of fine position `at`, or of the next pixel's if the factor positions from `at` reach into it.
    __device__ int pixel(int at, int next, int size) const {
        const int beyond = size + 2, moved = at + factor * beyond;  // rounded down, also outside
        if (next > 0 && moved % factor == 0) return -1;
        const int p = moved / factor - beyond + next;
        return p >= 0 && p < size ? p : -1;
    }
    __device__ int target(int p, int k) const {
        const int W = flow.extent(1), i = p / W, j = p % W;
        const int row = pixel(first(i, j, 1), k / 2, flow.extent(0)), column = pixel(first(i, j, 0), k % 2, W);
        return row < 0 || column < 0 ? -1 : row * W + column;
    }
    template <class U>
    __device__ U operator()(View<const U, 3> dy, int i, int j, int row, int column, int c) const {
        const int fine = factor * factor, phase = c % fine;
        const int a = factor * row + phase / factor - first(i, j, 1);
        const int b = factor * column + phase % factor - first(i, j, 0);
        const bool reads = a >= 0 && a < factor && b >= 0 && b < factor;
        return reads ? dy(i, j, c - phase + factor * a + b) : U(0);
    }
};

template <class T, class U, class Rule>
void add_from_readers(BasicCuda<T>& cuda, const char* op, View<const U, 3> dy, Rule rule, U* d_x) {
    const auto scope = cuda.scope();
    const int H = dy.extent(0), W = dy.extent(1), C = dy.extent(2);
    const PixelReaders readers = readers_of(cuda, op, H * W, rule);
    each_in_rows(cuda, op, H, W * C, AddFromReaders<U, Rule>{dy, readers, rule, d_x});
}

}  // namespace detail

template <class T, class U>
void flow_warp_input_gradient(BasicCuda<T>& cuda, View<const U, 3> dy, View<const float, 3> flow, Padding padding,
                              U* d_x) {
    detail::add_from_readers(cuda, "flow_warp vjp", dy, detail::WarpRule{flow, padding}, d_x);
}

template <class T>
void patch_align_gradient(BasicCuda<T>& cuda, In<T, 3> dy, View<const float, 3> flow, T* d_x) {
    const auto scope = cuda.scope();
    const int H = dy.extent(0), W = dy.extent(1);
    const auto mean = cuda.template scratch<float>(detail::ceil_div(H, patch_size), detail::ceil_div(W, patch_size), 2);
    detail::patch_mean(cuda, flow, mean);
    detail::add_from_readers(cuda, "patch_align vjp", dy, detail::PatchRule{mean, H, W}, d_x);
}

template <class T>
void subpixel_align_gradient(BasicCuda<T>& cuda, In<T, 3> dy, View<const float, 3> flow, int factor, T* d_x) {
    detail::add_from_readers(cuda, "subpixel_align vjp", dy, detail::SubpixelRule{flow, factor}, d_x);
}

}  // namespace mia
