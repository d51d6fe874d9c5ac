#pragma once
#include <chrono>
#include <cstddef>

#include "mia/core/cpu.hpp"
#include "mia/core/simd.hpp"

namespace mia {

namespace detail {

/// `repeats` times 12 independent fused multiply-adds on vectors in registers: more than latency times throughput of
/// the cores of today; of Bf16 dot products, where there is an instruction. Returns their sum, so that none of it can
/// be left out.
inline constexpr int burst_sums = 12;
template <class T>
inline constexpr int burst_macs = narrow<T> ? 1 + simd::has_pair_dot : 1;  ///< of a lane
template <class T>
float fma_burst(int repeats) {
    using namespace simd;
    const volatile float factor = 0.999f, term = 0.001f;  // each reading may differ, as far as the compiler knows
    const FloatVec a = broadcast(float(factor)), b = broadcast(float(term));
    const PairVec pairs = broadcast(Bf16Pair(Bf16(float(term)), Bf16(float(term))));
    FloatVec sums[burst_sums];
#pragma GCC unroll 12
    for (FloatVec& s : sums) s = broadcast(float(term));
#pragma GCC unroll 1
    for (int r = 0; r < repeats; ++r)
#pragma GCC unroll 12
        for (FloatVec& s : sums) s = burst_macs<T> == 2 ? dot(pairs, pairs, s) : fma(s, a, b);
    FloatVec all{};
#pragma GCC unroll 12
    for (const FloatVec& s : sums) all += s;
    return sum<float>(all);
}

}  // namespace detail

/// Seconds on a clock that never goes back.
inline double steady_seconds() {
    return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

/// FLOP/s of all threads of `cpu` together in its precision, now, at the vector width of the compiler's flags; compile
/// with optimisation. Takes about 1 ms, 10 ms with more than one thread. seconds(): the clock.
template <class T, class Clock>
double fma_peak(BasicCpu<T>& cpu, Clock&& seconds) {
    static_assert(std::is_same_v<Wide<T>, float>);
    // Small pieces: a thread that is held up leaves its share to others. More threads take longer to start.
    constexpr int repeats = 10'000;
    const int count = cpu.threads() == 1 ? 16 : 256 * cpu.threads();
    const double start = seconds();
    cpu.parallel_for(count, 1, [](std::ptrdiff_t begin, std::ptrdiff_t end, int) {
        for (std::ptrdiff_t i = begin; i < end; ++i) {
            [[maybe_unused]] const volatile float result = detail::fma_burst<T>(repeats);
        }
    });
    return 2.0 * detail::burst_macs<T> * simd::lanes<float> * detail::burst_sums * repeats * count /
           (seconds() - start);
}
template <class T>
double fma_peak(BasicCpu<T>& cpu) {
    return fma_peak(cpu, steady_seconds);
}

}  // namespace mia
