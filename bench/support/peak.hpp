#pragma once
#include <benchmark/benchmark.h>
#include <time.h>

#include <chrono>
#include <cstddef>

#include "mia/core/cpu.hpp"
#include "mia/core/simd.hpp"
#include "mia/core/tensor.hpp"

namespace mia::bench {

/// Seconds on the clock of all measurements: processor time of the calling thread if it works alone, which leaves out
/// what other programs took; with more threads, wall time.
inline double seconds(int threads) {
    if (threads == 1) {
        timespec t{};
        clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
        return double(t.tv_sec) + 1e-9 * double(t.tv_nsec);
    }
    return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

/// `repeats` times 12 independent fused multiply-adds on vectors in registers: more than latency times throughput of
/// the cores of today.
inline constexpr int burst_sums = 12;
[[gnu::noinline]] inline void fma_burst(int repeats) {
    using namespace simd;
    FloatVec sums[burst_sums], a = broadcast(0.999f), b = broadcast(0.001f);
    benchmark::DoNotOptimize(a);
    benchmark::DoNotOptimize(b);
    for (FloatVec& sum : sums) {
        sum = b;
        benchmark::DoNotOptimize(sum);  // else the compiler may see that all are equal
    }
#pragma GCC unroll 1
    for (int r = 0; r < repeats; ++r)
#pragma GCC unroll 12
        for (int i = 0; i < burst_sums; ++i) sums[i] = fma(sums[i], a, b);
    for (FloatVec& sum : sums) benchmark::DoNotOptimize(sum);
}

/// FLOP/s of all threads of `cpu` together, now; takes about 1 ms, 10 ms with more than one thread.
inline double fma_peak(Cpu& cpu) {
    // Small pieces: a thread that is held up leaves its share to others. More threads take longer to start.
    constexpr int repeats = 10'000;
    const int count = cpu.threads() == 1 ? 16 : 256 * cpu.threads();
    const double start = seconds(cpu.threads());
    cpu.parallel_for(count, 1, [](std::ptrdiff_t begin, std::ptrdiff_t end, int) {
        for (std::ptrdiff_t i = begin; i < end; ++i) fma_burst(repeats);
    });
    return 2.0 * simd::lanes<float> * burst_sums * repeats * count / (seconds(cpu.threads()) - start);
}

/// Copies with vectors, on all threads; the baseline of ops that only move memory.
inline void copy_floats(Cpu& cpu, const float* from, float* to, std::ptrdiff_t count) {
    constexpr std::ptrdiff_t piece = 1 << 16;
    cpu.parallel_for(count, piece, [&](std::ptrdiff_t begin, std::ptrdiff_t end, int) {
        std::ptrdiff_t i = begin;
        for (; i + simd::lanes<float> <= end; i += simd::lanes<float>) simd::store(to + i, simd::load(from + i));
        for (; i < end; ++i) to[i] = from[i];
    });
    benchmark::ClobberMemory();
}

/// Bytes per second, read and written together, of a copy larger than the caches, on all threads of `cpu`, now.
inline double copy_bandwidth(Cpu& cpu) {
    constexpr int count = 16 << 20;
    static const struct Buffers {
        Tensor<float, 1> from{count}, to{count};
        Buffers() {
            std::fill(from.data(), from.data() + count, 1.0f);
            std::fill(to.data(), to.data() + count, 0.0f);
        }
    } buffers;
    const double start = seconds(cpu.threads());
    copy_floats(cpu, buffers.from.view().data, const_cast<float*>(buffers.to.view().data), count);
    return 2.0 * sizeof(float) * count / (seconds(cpu.threads()) - start);
}

}  // namespace mia::bench
