#pragma once
#include "mia/core/cpu.hpp"
#include "mia/ops/pad/pad.hpp"

namespace mia {

template <class T>
void pad_replicate(BasicCpu<T>& cpu, In<Wide<T>, 3> x, Out<Wide<T>, 3> y) {
    const int H = x.extent(0), W = x.extent(1), C = x.extent(2);
    cpu.parallel_for(y.extent(0), 16, [&](std::ptrdiff_t begin, std::ptrdiff_t end, int) {
        for (std::ptrdiff_t i = begin; i < end; ++i)
            for (int j = 0; j < y.extent(1); ++j) {
                const Wide<T>* from = &x(std::min(int(i), H - 1), std::min(j, W - 1), 0);
                std::copy(from, from + C, &y(i, j, 0));
            }
    });
}

template <class T>
void crop_image(BasicCpu<T>& cpu, In<Wide<T>, 3> x, Out<Wide<T>, 3> y) {
    const std::size_t bytes = std::size_t(y.extent(1)) * std::size_t(y.extent(2)) * sizeof(Wide<T>);
    cpu.parallel_for(y.extent(0), 16, [&](std::ptrdiff_t begin, std::ptrdiff_t end, int) {
        for (std::ptrdiff_t i = begin; i < end; ++i) std::memcpy(y[i].data, x[i].data, bytes);
    });
}

}  // namespace mia
