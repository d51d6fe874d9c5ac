#pragma once
#include "mia/core/cuda.cuh"
#include "mia/ops/flow_warp/sampling_grid.hpp"
#include "mia/ops/patch_align/patch_align.hpp"

namespace mia {

namespace detail {
/// A thread per patch and axis, which sums in Cpu's order: the mean decides what is nearest.
struct PatchMean {
    View<const float, 3> flow;
    View<float, 3> mean;
    __device__ static int reflect(int i, int size) { return i < size ? i : 2 * (size - 1) - i; }
    __device__ void operator()(int row, int i) const {
        const int H = flow.extent(0), W = flow.extent(1), column = i / 2, axis = i % 2;
        float sum = 0;
        for (int y = row * patch_size; y < (row + 1) * patch_size; ++y)
            for (int x = column * patch_size; x < (column + 1) * patch_size; ++x)
                sum += flow(reflect(y, H), reflect(x, W), axis);
        mean(row, column, axis) = sum / float(patch_size * patch_size);
    }
};
/// mean: (ceil(H / 8), ceil(W / 8), 2), step 2 of the contract.
template <class T>
void patch_mean(BasicCuda<T>& cuda, View<const float, 3> flow, View<float, 3> mean) {
    each_in_rows(cuda, "patch_align", mean.extent(0), mean.extent(1) * 2, PatchMean{flow, mean});
}

template <class T>
struct PatchAlign {
    View<const T, 3> x;
    View<const float, 3> mean;
    View<T, 3> y;
    __device__ void operator()(int i, int element) const {
        const int H = x.extent(0), W = x.extent(1), C = x.extent(2), j = element / C, c = element % C;
        const int by = i / patch_size, bx = j / patch_size;
        const int column = nearest(sampling_coordinate(j, mean(by, bx, 0), W), W);
        const int row = nearest(sampling_coordinate(i, mean(by, bx, 1), H), H);
        y(i, j, c) = row < 0 || column < 0 ? T(0) : x(row, column, c);
    }
};
}  // namespace detail

template <class T>
void patch_align(BasicCuda<T>& cuda, In<T, 3> x, View<const float, 3> flow, Out<T, 3> y) {
    const int H = x.extent(0), W = x.extent(1), C = x.extent(2);
    detail::check_patch_align<T>(x, flow, y);
    const auto scope = cuda.scope();
    const auto mean = cuda.template scratch<float>(detail::ceil_div(H, patch_size), detail::ceil_div(W, patch_size), 2);
    detail::patch_mean(cuda, flow, mean);
    detail::each_in_rows(cuda, "patch_align", H, W * C, detail::PatchAlign<T>{x, mean, y});
}

}  // namespace mia
