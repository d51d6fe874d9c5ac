#pragma once
#include "mia/ops/block_match/block_match.hpp"
#include "mia/ops/flow_warp/flow_warp.hpp"
#include "mia/ops/flow_warp/sampling_grid.hpp"
#include "mia/ops/patch_align/patch_align.hpp"
#include "mia/ops/subpixel_align/subpixel_align.hpp"
#include "mia/train/vjp/products.hpp"

// flow_warp: each pixel's gradient goes to the four that it was mixed from; the flow's is the slope of the mixture
// along x and y, zero where the border has stopped it.  patch_align: to the pixel that was read; nearest sampling gives
// the flow none; so subpixel_align.  block_match: a search over integers, no gradient.

namespace mia {

namespace detail {

/// Where an output coordinate of flow_warp reads along an axis, and how that changes with the flow.
struct WarpTap {
    float first;      ///< of two neighbouring positions
    float weight[2];  ///< theirs
    float slope;      ///< of the position with respect to the flow: 1, or 0 where it does not follow
    MIA_HOST_DEVICE WarpTap(int position, float displacement, int size, Padding padding) {
        float u = sampling_coordinate(position, displacement, size);
        slope = size > 1 ? 1.0f : 0.0f;
        if (padding == Padding::border) {
            const float last = float(size - 1), inside = u < 0.0f ? 0.0f : last < u ? last : u;  // NaN stays
            if (inside != u) slope = 0;
            u = inside;
        }
        first = std::floor(u);
        weight[0] = first + 1 - u;
        weight[1] = u - first;
    }
    MIA_HOST_DEVICE bool is_inside(int i, int size) const {  // compared as floats: they may be huge
        return first + float(i) >= 0 && first + float(i) <= float(size - 1);
    }
};

/// d flow += of pixel p.
template <class U>
struct AddWarpSlope {
    View<const U, 3> dy, x;
    View<const float, 3> flow;
    Padding padding;
    float* d;
    MIA_HOST_DEVICE void operator()(std::ptrdiff_t p) const {
        const int H = dy.extent(0), W = dy.extent(1), C = dy.extent(2), i = int(p / W), j = int(p % W);
        const WarpTap tx(j, flow(i, j, 0), W, padding), ty(i, flow(i, j, 1), H, padding);
        U corner[2][2] = {};  // sum over channels of dy * x there
        for (int a = 0; a < 2; ++a)
            for (int b = 0; b < 2; ++b) {
                if (!ty.is_inside(a, H) || !tx.is_inside(b, W)) continue;
                for (int c = 0; c < C; ++c) corner[a][b] += dy(i, j, c) * x(int(ty.first) + a, int(tx.first) + b, c);
            }
        const U along_x =
            U(ty.weight[0]) * (corner[0][1] - corner[0][0]) + U(ty.weight[1]) * (corner[1][1] - corner[1][0]);
        const U along_y =
            U(tx.weight[0]) * (corner[1][0] - corner[0][0]) + U(tx.weight[1]) * (corner[1][1] - corner[0][1]);
        d[2 * p] += tx.slope * float(along_x);
        d[2 * p + 1] += ty.slope * float(along_y);
    }
};

}  // namespace detail

/// d_x (H, W, C) += ; dy: (H, W, C).
template <class T, class U>
void flow_warp_input_gradient(BasicCpu<T>& cpu, View<const U, 3> dy, View<const float, 3> flow, Padding padding,
                              U* d_x) {
    const int H = dy.extent(0), W = dy.extent(1), C = dy.extent(2);
    detail::scatter_by_rows(cpu, H, [&](int begin, int end) {
        for (int i = 0; i < H; ++i)
            for (int j = 0; j < W; ++j) {
                const detail::WarpTap tx(j, flow(i, j, 0), W, padding), ty(i, flow(i, j, 1), H, padding);
                const U* g = dy.data + (std::ptrdiff_t(i) * W + j) * C;
                for (int a = 0; a < 2; ++a) {
                    if (!ty.is_inside(a, H)) continue;
                    const int row = int(ty.first) + a;
                    if (row < begin || row >= end) continue;
                    for (int b = 0; b < 2; ++b) {
                        if (!tx.is_inside(b, W)) continue;
                        const U weight = U(tx.weight[b] * ty.weight[a]);
                        U* to = d_x + (std::ptrdiff_t(row) * W + int(tx.first) + b) * C;
                        for (int c = 0; c < C; ++c) to[c] += weight * g[c];
                    }
                }
            }
    });
}

template <class B, class U>
void flow_warp(Tape<B>& tape, In<U, 3> x, View<const float, 3> flow, Padding padding, View<U, 3> y) {
    flow_warp(tape.backend(), x, flow, padding, y);
    tape.reads(flow);
    if (tape.has_gradient(flow)) tape.reads(x);
    tape.push(y, [=, &tape](View<const U, 3> dy) {
        if (const auto d_x = tape.gradient(x)) flow_warp_input_gradient(tape.backend(), dy, flow, padding, d_x.data);
        if (const auto d_flow = tape.gradient(flow))
            each_element(tape.backend(), "flow_warp vjp", flow.size() / 2,
                         detail::AddWarpSlope<U>{dy, x, flow, padding, d_flow.data});
    });
}

/// d_x (H, W, C) += ; dy: (H, W, C).
template <class T>
void patch_align_gradient(BasicCpu<T>& cpu, In<T, 3> dy, View<const float, 3> flow, T* d_x) {
    const int H = dy.extent(0), W = dy.extent(1), C = dy.extent(2);
    const auto scope = cpu.scope();
    const auto mean = cpu.template scratch<float>(simd::ceil_div(H, patch_size), simd::ceil_div(W, patch_size), 2);
    detail::patch_mean<T>(cpu, flow, mean);
    detail::scatter_by_rows(cpu, H, [&](int begin, int end) {
        for (int i = 0; i < H; ++i)
            for (int j = 0; j < W; ++j) {
                const float* m = &mean(i / patch_size, j / patch_size, 0);
                const int row = detail::nearest(sampling_coordinate(i, m[1], H), H);
                if (row < begin || row >= end) continue;
                const int column = detail::nearest(sampling_coordinate(j, m[0], W), W);
                if (column < 0) continue;
                const T* g = dy.data + (std::ptrdiff_t(i) * W + j) * C;
                T* to = d_x + (std::ptrdiff_t(row) * W + column) * C;
                for (int c = 0; c < C; ++c) to[c] += g[c];
            }
    });
}

template <class B>
void patch_align(Tape<B>& tape, In<typename B::Scalar, 3> x, View<const float, 3> flow, Out<typename B::Scalar, 3> y) {
    using T = typename B::Scalar;
    patch_align(tape.backend(), x, flow, y);
    tape.reads(flow);
    tape.push(y, [=, &tape](View<const T, 3> dy) {
        if (const auto d_x = tape.gradient(x)) patch_align_gradient<T>(tape.backend(), dy, flow, d_x.data);
    });
}

/// d_x (H, W, C) += ; dy: (H, W, C).
template <class T>
void subpixel_align_gradient(BasicCpu<T>& cpu, In<T, 3> dy, View<const float, 3> flow, int factor, T* d_x) {
    const int H = dy.extent(0), W = dy.extent(1), C = dy.extent(2), fine = factor * factor;
    detail::scatter_by_rows(cpu, H, [&](int begin, int end) {
        detail::each_fine_run(flow, factor, 0, H, [&](int i, int j, int from, int row, int column, int to, int n) {
            if (row < begin || row >= end) return;
            const T* g = dy.data + (std::ptrdiff_t(i) * W + j) * C + from;
            T* out = d_x + (std::ptrdiff_t(row) * W + column) * C + to;
            for (int k = 0; k < C; k += fine)
                for (int b = 0; b < n; ++b) out[k + b] += g[k + b];
        });
    });
}

template <class B>
void subpixel_align(Tape<B>& tape, In<typename B::Scalar, 3> x, View<const float, 3> flow, int factor,
                    Out<typename B::Scalar, 3> y) {
    using T = typename B::Scalar;
    subpixel_align(tape.backend(), x, flow, factor, y);
    tape.reads(flow);
    tape.push(y, [=, &tape](View<const T, 3> dy) {
        if (const auto d_x = tape.gradient(x)) subpixel_align_gradient<T>(tape.backend(), dy, flow, factor, d_x.data);
    });
}

template <class B>
void block_match(Tape<B>& tape, In<typename B::Scalar, 3> ref, In<typename B::Scalar, 3> supp, View<float, 3> flow,
                 MatchPrecision precision = MatchPrecision::pixel) {
    block_match(tape.backend(), ref, supp, flow, precision);
    tape.push(flow, [](View<const float, 3>) {});
}

}  // namespace mia
