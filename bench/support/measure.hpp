#pragma once
#include <benchmark/benchmark.h>

#include <algorithm>
#include <functional>
#include <initializer_list>
#include <string>
#include <type_traits>
#include <vector>

#include "support/device.hpp"
#include "support/peak.hpp"

namespace mia::bench {

/// What one call of a case must do, whatever the code under test does.
struct Cost {
    double macs = 0;   ///< multiply-adds: mask respected, no padded tokens, no lanes rounded up (required_macs.hpp)
    double bytes = 0;  ///< of all inputs and outputs, each once; for ops that move memory and compute little
};

/// A run that only proves that the cases run: nothing is warmed up, nothing repeated.
inline bool is_short_run = false;
inline constexpr int least_groups = 5;  ///< of a case, unless its calls take longer than `patience` together
inline constexpr double patience = 2;   ///< seconds

inline double median(std::vector<double>& values) {
    if (values.empty()) return 0;
    const auto middle = values.begin() + std::ptrdiff_t(values.size() / 2);
    std::nth_element(values.begin(), middle, values.end());
    return *middle;
}

/// Times groups of calls, each against the machine's peak in the precision of `cpu`, measured right before and right
/// after it, so that a share is a ratio of neighbours in time; the median of the shares is reported.
template <class B>
class Pace {
public:
    Pace(B& cpu, Cost cost) : cpu_(cpu), cost_(cost) {}

    void start() {
        peak_ = cost_.macs > 0 ? peak_now(cpu_) : 0;
        copy_ = cost_.bytes > 0 ? copy_bandwidth(cpu_) : 0;
        begin_ = seconds(cpu_.threads());
        wall_ = seconds(0);
        calls_ = 0;
        left_out_ = 0;
    }
    /// What f does belongs to no call.
    template <class F>
    void leave_out(F&& f) {
        const double from = seconds(cpu_.threads());
        f();
        left_out_ += seconds(cpu_.threads()) - from;
    }
    /// After each call: whether the group is long enough beside its measurements of the peak.
    bool is_due() {
        ++calls_;
        return seconds(0) - wall_ > (cost_.bytes > 0 ? 0.040 : 0.016);
    }
    void end_group() {
        if (calls_ == 0) return;
        const double time = (seconds(cpu_.threads()) - begin_ - left_out_) / calls_, peak = peak_, copy = copy_;
        times_.push_back(time);
        start();
        if (cost_.macs > 0) shares_.push_back(2 * cost_.macs / time / ((peak + peak_) / 2));
        if (cost_.bytes > 0) copy_shares_.push_back(cost_.bytes / time / ((copy + copy_) / 2));
    }
    int groups() const { return int(times_.size()); }
    void report(benchmark::State& state) {
        const double time = median(times_);
        state.counters["s"] = time;
        if (cost_.macs > 0) {
            state.counters["FLOP/s"] = 2 * cost_.macs / time;
            state.counters["peak_fraction"] = median(shares_);
        }
        if (cost_.bytes > 0) {
            state.counters["bytes/s"] = cost_.bytes / time;
            state.counters["copy_fraction"] = median(copy_shares_);
        }
    }

private:
    B& cpu_;
    Cost cost_;
    double peak_ = 0, copy_ = 0, begin_ = 0, wall_ = 0, left_out_ = 0;
    int calls_ = 0;
    std::vector<double> times_, shares_, copy_shares_;
};

struct Nothing {
    void operator()() const {}
};

/// The loop of every case: run() is one call; before() comes before each and is not timed. Calls before the clock
/// starts: the first one grows the backend's scratch, the second finds it in one new piece, the third is the steady
/// state. Fewer where a call takes seconds.
template <class B, class F, class Before = Nothing>
void measure(benchmark::State& state, B& cpu, Cost cost, F&& run, int warm_up_calls = 2, Before&& before = {}) {
    for (int i = 0; i < warm_up_calls && !is_short_run; ++i) {
        before();
        run();
    }
    Pace pace(cpu, cost);
    pace.start();
    for (auto _ : state) {
        if constexpr (!std::is_same_v<std::decay_t<Before>, Nothing>) {
            state.PauseTiming();
            pace.leave_out(before);
            state.ResumeTiming();
        }
        run();
        benchmark::ClobberMemory();
        if (pace.is_due()) {
            state.PauseTiming();
            pace.end_group();
            state.ResumeTiming();
        }
    }
    pace.end_group();
    const double start = seconds(0);
    while (!is_short_run && pace.groups() < least_groups && seconds(0) - start < patience) {
        pace.leave_out(before);
        run();
        benchmark::ClobberMemory();
        if (pace.is_due()) pace.end_group();
    }
    pace.report(state);
}

#ifdef MIA_BENCH_CUDA
/// On a GPU: groups of calls between two events of its stream; the median of the groups is reported. What the host
/// does beforehand is not in it as long as the device has work.
template <class T, class F>
void measure(benchmark::State& state, BasicCuda<T>& cuda, Cost cost, F&& run, int warm_up_calls = 2) {
    CudaEvent begin, end;
    const auto seconds_of = [&](int calls) {
        begin.record(cuda);
        for (int i = 0; i < calls; ++i) run();
        end.record(cuda);
        end.synchronize();
        return 1e-3 * double(end.milliseconds_since(begin));
    };
    int calls = 1;
    if (!is_short_run) {
        for (int i = 0; i < warm_up_calls; ++i) run();
        calls = std::clamp(int(1e-3 / std::max(seconds_of(1), 1e-6)), 1, 100);  // a group: a millisecond
    }
    std::vector<double> times;  // of a call
    while (state.KeepRunningBatch(calls)) {
        times.push_back(seconds_of(calls) / calls);
        state.SetIterationTime(times.back() * calls);
    }
    const double time = median(times);
    state.counters["s"] = time;
    if (cost.macs > 0) state.counters["FLOP/s"] = 2 * cost.macs / time;
    if (cost.bytes > 0) state.counters["bytes/s"] = cost.bytes / time;
}
#endif

/// Registers run(state, device) as "<name>/threads:<n>" for each number of threads; on a GPU once, as "<name>/cuda".
inline void add_case(const std::string& name, std::initializer_list<int> threads,
                     const std::function<void(benchmark::State&, Device&)>& run) {
#ifdef MIA_BENCH_CUDA
    (void)threads;
    benchmark::RegisterBenchmark((name + "/cuda").c_str(),
                                 [run](benchmark::State& state) {
                                     Cuda cuda;
                                     run(state, cuda);
                                 })
        ->Unit(benchmark::kMillisecond)
        ->UseManualTime();
#else
    for (const int n : threads)
        benchmark::RegisterBenchmark((name + "/threads:" + std::to_string(n)).c_str(), [n,
                                                                                        run](benchmark::State& state) {
            Cpu cpu(n);
            run(state, cpu);
        })->Unit(benchmark::kMillisecond);
#endif
}
inline void add_case(const std::string& name, int threads, const std::function<void(benchmark::State&, Device&)>& run) {
    add_case(name, {threads}, run);
}

/// The baseline of an op that moves memory: a copy of as many bytes as it must read and write, half of them each.
inline void add_copy_baseline(const std::string& name, double bytes) {
    add_case(name + "/copy", 1, [bytes](benchmark::State& state, Device& device) {
        const int count = int(bytes / (2 * sizeof(float)));
        Tensor<float, 1> ones(count);
        std::fill(ones.data(), ones.data() + count, 1.0f);
        const auto from = on(device, std::move(ones));
        auto to = room(device, count);
        measure(state, device, {.bytes = bytes}, [&] { copy_floats(device, from.view(), to.view()); });
    });
}

}  // namespace mia::bench
