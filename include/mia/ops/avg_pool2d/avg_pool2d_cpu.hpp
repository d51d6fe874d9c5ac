#pragma once
#include "mia/core/cpu.hpp"
#include "mia/ops/avg_pool2d/avg_pool2d.hpp"

namespace mia {

template <class T>
void avg_pool2d(BasicCpu<T>& cpu, In<Wide<T>, 3> x, int kernel_size, Out<Wide<T>, 3> y) {
    const int k = kernel_size, W = x.extent(1), C = x.extent(2), to_H = y.extent(0), to_W = y.extent(1);
    require(k >= 1 && to_H == x.extent(0) / k && to_W == W / k && C == y.extent(2), "avg_pool2d: x ", shape_text(x),
            " does not become y ", shape_text(y), " by a window of ", k);
    cpu.parallel_for(to_H, 8, [&](std::ptrdiff_t begin, std::ptrdiff_t end, int) {
        for (std::ptrdiff_t i = begin; i < end; ++i)
            for (int j = 0; j < to_W; ++j)
                for (int c = 0; c < C; ++c) {
                    Wide<T> sum = 0;
                    for (int u = 0; u < k; ++u)
                        for (int v = 0; v < k; ++v) sum += x.data[((i * k + u) * W + j * k + v) * C + c];
                    y.data[(i * to_W + j) * C + c] = sum / Wide<T>(k * k);
                }
    });
}

}  // namespace mia
