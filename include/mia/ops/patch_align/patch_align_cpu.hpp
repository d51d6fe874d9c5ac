#pragma once
#include "mia/core/cpu.hpp"
#include "mia/core/micro_kernel.hpp"
#include "mia/ops/flow_warp/sampling_grid.hpp"
#include "mia/ops/patch_align/patch_align.hpp"

namespace mia {

namespace detail {
/// mean: (ceil(H / 8), ceil(W / 8), 2), step 2 of the contract.
template <class T>
void patch_mean(BasicCpu<T>& cpu, View<const float, 3> flow, View<float, 3> mean) {
    const int H = flow.extent(0), W = flow.extent(1);
    const auto reflect = [](int i, int size) { return i < size ? i : 2 * (size - 1) - i; };
    cpu.parallel_for(mean.extent(0), 4, [&](std::ptrdiff_t begin, std::ptrdiff_t end, int) {
        for (int by = int(begin); by < int(end); ++by)
            for (int bx = 0; bx < mean.extent(1); ++bx) {
                float sum[2] = {};
                for (int y = by * patch_size; y < (by + 1) * patch_size; ++y)
                    for (int x = bx * patch_size; x < (bx + 1) * patch_size; ++x)
                        for (int axis = 0; axis < 2; ++axis) sum[axis] += flow(reflect(y, H), reflect(x, W), axis);
                for (int axis = 0; axis < 2; ++axis) mean(by, bx, axis) = sum[axis] / float(patch_size * patch_size);
            }
    });
}

/// The nearest pixel along an axis, half to even (the processor's default rounding), or -1 outside.
MIA_HOST_DEVICE inline int nearest(float coordinate, int size) {
    const float rounded = std::nearbyint(coordinate);
    return rounded >= 0 && rounded <= float(size - 1) ? int(rounded) : -1;
}

/// f(p, source) for every pixel p: the row-major number of the one that it reads, or -1 outside.
template <class T, class F>
void each_patch_source(BasicCpu<T>& cpu, View<const float, 3> flow, F f) {
    const int H = flow.extent(0), W = flow.extent(1);
    const auto scope = cpu.scope();
    const auto mean = cpu.template scratch<float>(simd::ceil_div(H, patch_size), simd::ceil_div(W, patch_size), 2);
    patch_mean<T>(cpu, flow, mean);
    cpu.parallel_for(H, 8, [&](std::ptrdiff_t begin, std::ptrdiff_t end, int) {
        for (int i = int(begin); i < int(end); ++i)
            for (int j = 0; j < W; ++j) {
                const float* m = &mean(i / patch_size, j / patch_size, 0);
                const int column = nearest(sampling_coordinate(j, m[0], W), W);
                const int row = nearest(sampling_coordinate(i, m[1], H), H);
                f(i * W + j, row < 0 || column < 0 ? -1 : row * W + column);
            }
    });
}
}  // namespace detail

template <class T>
void patch_align(BasicCpu<T>& cpu, In<T, 3> x, View<const float, 3> flow, Out<T, 3> y) {
    detail::check_patch_align<T>(x, flow, y);
    const std::ptrdiff_t C = x.extent(2);
    const std::size_t bytes = std::size_t(C) * sizeof(T);
    detail::each_patch_source(cpu, flow, [=](int p, int source) {
        if (source < 0)
            std::memset(y.data + p * C, 0, bytes);
        else
            std::memcpy(y.data + p * C, x.data + source * C, bytes);
    });
}

template <class T>
void patch_source(BasicCpu<T>& cpu, View<const float, 3> flow, View<int, 2> source) {
    const int H = flow.extent(0), W = flow.extent(1);
    require(flow.extent(2) == 2 && source.extent(0) == H && source.extent(1) == W, "patch_source: flow ",
            shape_text(flow), " and source ", shape_text(source), "; needed: (H, W, 2), (H, W)");
    detail::check_patches(H, W);
    detail::each_patch_source(cpu, flow, [=](int p, int from) { source.data[p] = from; });
}

}  // namespace mia
