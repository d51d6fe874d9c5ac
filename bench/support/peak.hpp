#pragma once
#include <benchmark/benchmark.h>
#include <time.h>

#include <cstddef>

#include "mia/core/cpu.hpp"
#include "mia/core/peak.hpp"
#include "mia/core/simd.hpp"
#include "mia/core/tensor.hpp"
#include "support/device.hpp"

namespace mia::bench {

/// Seconds on the clock of all measurements: processor time of the calling thread if it works alone, which leaves out
/// what other programs took; with more threads, wall time.
inline double seconds(int threads) {
    if (threads == 1) {
        timespec t{};
        clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
        return double(t.tv_sec) + 1e-9 * double(t.tv_nsec);
    }
    return steady_seconds();
}

/// FLOP/s of all threads of `cpu` together in its precision, now, on the clock of all measurements.
template <class T>
double peak_now(BasicCpu<T>& cpu) {
    return fma_peak(cpu, [&] { return seconds(cpu.threads()); });
}

/// Copies with vectors, on all threads; the baseline of ops that only move memory.
template <class T>
void copy_floats(BasicCpu<T>& cpu, View<const float, 1> source, View<float, 1> target) {
    const float* from = source.data;
    float* to = target.data;
    const std::ptrdiff_t count = source.size();
    constexpr std::ptrdiff_t piece = 1 << 16;
    cpu.parallel_for(count, piece, [&](std::ptrdiff_t begin, std::ptrdiff_t end, int) {
        std::ptrdiff_t i = begin;
        for (; i + simd::lanes<float> <= end; i += simd::lanes<float>) simd::store(to + i, simd::load(from + i));
        for (; i < end; ++i) to[i] = from[i];
    });
    benchmark::ClobberMemory();
}

#ifdef MIA_BENCH_CUDA
template <class T>
void copy_floats(BasicCuda<T>& cuda, View<const float, 1> source, View<float, 1> target) {
    copy<float>(cuda, source.reshape(1, source.size()), target.reshape(1, target.size()));
}
#endif

/// Bytes per second, read and written together, of a copy larger than the caches, on all threads of `cpu`, now.
template <class T>
double copy_bandwidth(BasicCpu<T>& cpu) {
    constexpr int count = 16 << 20;
    static const struct Buffers {
        Tensor<float, 1> from{count}, to{count};
        Buffers() {
            std::fill(from.data(), from.data() + count, 1.0f);
            std::fill(to.data(), to.data() + count, 0.0f);
        }
    } buffers;
    const double start = seconds(cpu.threads());
    copy_floats(cpu, buffers.from.view(), {const_cast<float*>(buffers.to.view().data), {count}});
    return 2.0 * sizeof(float) * count / (seconds(cpu.threads()) - start);
}

}  // namespace mia::bench
