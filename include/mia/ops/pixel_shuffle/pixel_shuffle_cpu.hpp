#pragma once
#include "mia/core/cpu.hpp"
#include "mia/ops/pixel_shuffle/pixel_shuffle.hpp"

namespace mia {

template <class T>
void pixel_shuffle(BasicCpu<T>& cpu, In<T, 3> x, int factor, Out<T, 3> y, Activation activation = Activation::none,
                   In<T, 3> residual = {}) {
    const int r = factor, H = x.extent(0), W = x.extent(1), K = y.extent(2);
    require(r >= 1 && x.extent(2) == r * r * K && y.extent(0) == r * H && y.extent(1) == r * W, "pixel_shuffle: x ",
            shape_text(x), " does not become y ", shape_text(y), " by a factor of ", r);
    require(activation != Activation::gelu, "pixel_shuffle: gelu is not offered here; use activate");
    const T slope = T(negative_slope(activation));
    cpu.parallel_for(r * H, 4, [&](std::ptrdiff_t begin, std::ptrdiff_t end, int) {
        for (std::ptrdiff_t row = begin; row < end; ++row) {
            const int a = int(row % r);
            const T* in = x.data + row / r * W * r * r * K + a * r;
            T* out = y.data + row * r * W * K;
            const T* rest = residual.data ? residual.data + row * r * W * K : nullptr;
            for (int j = 0; j < W; ++j)
                for (int b = 0; b < r; ++b)
                    for (int k = 0; k < K; ++k) {
                        const T v = in[std::ptrdiff_t(j) * r * r * K + k * r * r + b];
                        const std::ptrdiff_t at = std::ptrdiff_t(j * r + b) * K + k;
                        out[at] = std::max(v, v * slope) + (rest ? rest[at] : T(0));
                    }
        }
    });
}

}  // namespace mia
