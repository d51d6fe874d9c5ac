#pragma once
#include "mia/core/cpu.hpp"
#include "mia/core/micro_kernel.hpp"
#include "mia/ops/mask/mask.hpp"

namespace mia {

namespace detail {
/// sum_c weight[c] |a[c] - b[c]|.
template <class T>
MIA_INLINE Wide<T> weighted_change(const T* a, const T* b, const T* weight, int C) {
    using namespace simd;
    Vec<T> sums{};
    int c = 0;
    for (; c + lanes<T> <= C; c += lanes<T>) sums = fma(abs(load(a + c) - load(b + c)), load(weight + c), sums);
    if (c < C)
        sums = fma(abs(load_first(a + c, C - c) - load_first(b + c, C - c)), load_first(weight + c, C - c), sums);
    return sum<T>(sums);
}

MIA_HOST_DEVICE inline bool keeps(float logit) {
    if (logit >= 0 || logit < -1e-6f) return logit >= 0;
    return 1 / (1 + std::exp(-logit / gumbel_temperature)) >= 0.5f;
}
}  // namespace detail

template <class T>
void predict_mask(BasicCpu<T>& cpu, const WindowGrid&, In<T, 2> q, In<T, 2> previous, In<T, 2> weight, In<T, 1> bias,
                  View<std::uint8_t, 1> keep) {
    const int C = q.extent(1);
    const std::int64_t macs = q.size();
    cpu.record({"predict_mask", weight.data, macs, macs});
    cpu.parallel_for(q.extent(0), 512, [&](std::ptrdiff_t begin, std::ptrdiff_t end, int) {
        for (std::ptrdiff_t p = begin; p < end; ++p)
            keep[p] = detail::keeps(
                float(bias(0) + detail::weighted_change<T>(q.data + p * C, previous.data + p * C, weight.data, C)));
    });
}

template <class T>
void threshold_mask(BasicCpu<T>& cpu, In<T, 2> q, In<T, 2> previous, float threshold, View<std::uint8_t, 1> keep) {
    const int C = q.extent(1);
    cpu.parallel_for(q.extent(0), 512, [&](std::ptrdiff_t begin, std::ptrdiff_t end, int) {
        for (std::ptrdiff_t p = begin; p < end; ++p) {
            Wide<T> sum = 0;
            for (int c = 0; c < C; ++c) sum += std::abs(q.data[p * C + c] - previous.data[p * C + c]);
            keep[p] = sum / Wide<T>(C) >= Wide<T>(threshold);
        }
    });
}

}  // namespace mia
