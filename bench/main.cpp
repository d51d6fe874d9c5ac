#include <benchmark/benchmark.h>

#include <cstdio>
#include <cstdlib>
#include <string>
#include <vector>

#include "mia/core/error.hpp"
#include "support/measure.hpp"

int main(int argc, char** argv) {
    std::string min_time =
        "--benchmark_min_time=0.25";  // before the caller's flags, which win: all cases in 10 minutes
    for (int i = 1; i < argc; ++i) {
        const std::string flag = argv[i], name = "--benchmark_min_time=";
        if (flag.starts_with(name)) mia::bench::is_short_run = std::atof(flag.c_str() + name.size()) < 0.01;
    }
    std::vector<char*> arguments(argv, argv + argc);
    arguments.insert(arguments.begin() + 1, min_time.data());
    int count = int(arguments.size());
    arguments.push_back(nullptr);
    benchmark::Initialize(&count, arguments.data());
    if (benchmark::ReportUnrecognizedArguments(count, arguments.data())) return 1;
#ifdef MIA_BENCH_CUDA
    if (const std::string missing = mia::missing_gpu(); !missing.empty()) {
        std::fprintf(stderr, "mia_bench_cuda: %s. mia_bench measures the processor.\n", missing.c_str());
        return 1;
    }
#else
    benchmark::AddCustomContext("float lanes", mia::text(mia::simd::lanes<float>));
    benchmark::AddCustomContext("compiler", __VERSION__);
    for (const int threads : {1, 2}) {
        mia::Cpu cpu(threads);
        mia::bench::copy_bandwidth(cpu);  // its memory is there
        const double peak = mia::bench::peak_now(cpu) / 1e9, copy = mia::bench::copy_bandwidth(cpu) / 1e9;
        benchmark::AddCustomContext(mia::text("peak at the start, threads: ", threads),
                                    mia::text(peak, " GFLOP/s, copies ", copy, " GB/s"));
    }
#endif
    benchmark::RunSpecifiedBenchmarks();
    benchmark::Shutdown();
}
