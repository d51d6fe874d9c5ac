#include <benchmark/benchmark.h>

#include <thread>

#include "mia/core/error.hpp"
#include "support/peak.hpp"

int main(int argc, char** argv) {
    benchmark::Initialize(&argc, argv);
    if (benchmark::ReportUnrecognizedArguments(argc, argv)) return 1;
    benchmark::AddCustomContext("float lanes", mia::text(mia::simd::lanes<float>));
    benchmark::AddCustomContext("compiler", __VERSION__);
    for (const int threads : {1, 2}) {
        mia::Cpu cpu(threads);
        mia::bench::copy_bandwidth(cpu);  // its memory is there
        const double peak = mia::bench::fma_peak(cpu) / 1e9, copy = mia::bench::copy_bandwidth(cpu) / 1e9;
        benchmark::AddCustomContext(mia::text("peak at the start, threads: ", threads),
                                    mia::text(peak, " GFLOP/s, copies ", copy, " GB/s"));
    }
    benchmark::RunSpecifiedBenchmarks();
    benchmark::Shutdown();
}
