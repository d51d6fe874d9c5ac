#include "statistics.hpp"

#include <sys/resource.h>

#include <algorithm>
#include <cstdio>

#include "mia/io/json.hpp"
#include "support/table.hpp"

namespace {

template <class... Values>
std::string format(const char* words, Values... values) {
    char line[512];
    std::snprintf(line, sizeof line, words, values...);
    return line;
}

struct Stage {
    const char* name;
    double seconds;
};
std::vector<Stage> stages(const mia::PipelineResult& run) {
    return {{"decode", run.decode_seconds}, {"model", run.compute_seconds}, {"encode", run.encode_seconds}};
}

double idle_seconds(const mia::PipelineResult& run, const Stage& stage) {
    return std::max(0.0, run.seconds - stage.seconds);
}

double ratio(double part, double whole) { return whole > 0 ? part / whole : 0; }

double flops_per_second(const mia::ModuleStatistics& m) { return ratio(2 * double(m.work.macs), m.seconds); }

/// The model's modules, then what the stage does around the model, and all of it.
std::vector<mia::ModuleStatistics> model_stage(const RunStatistics& s) {
    std::vector<mia::ModuleStatistics> rows = s.modules;
    mia::ModuleStatistics all{"all"};
    for (const auto& m : s.modules) {
        all.seconds += m.seconds;
        for (const auto count : {&mia::WorkCount::macs, &mia::WorkCount::dense_macs, &mia::WorkCount::tokens,
                                 &mia::WorkCount::active_tokens})
            all.work.*count += m.work.*count;
    }
    rows.push_back({"outside the model", std::max(0.0, s.run.compute_seconds - all.seconds)});
    all.seconds = s.run.compute_seconds;
    rows.push_back(all);
    return rows;
}

Cell number_or_dash(bool is_known, double number, int decimals) {
    Cell cell(number, decimals);
    if (!is_known) cell.text = "-";
    return cell;
}

}  // namespace

std::uint64_t peak_resident_bytes() {
    rusage usage{};
    if (getrusage(RUSAGE_SELF, &usage) != 0) return 0;
#ifdef __APPLE__
    return std::uint64_t(usage.ru_maxrss);
#else
    return std::uint64_t(usage.ru_maxrss) * 1024;
#endif
}

std::string statistics_text(const RunStatistics& s) {
    const auto& run = s.run;
    Table of_stages({"stage", "seconds", "busy %", "idle s"});
    for (const Stage& stage : stages(run))
        of_stages.add({stage.name, Cell(stage.seconds, 2), Cell(100 * ratio(stage.seconds, run.seconds), 1),
                       Cell(idle_seconds(run, stage), 2)});
    Table of_modules({"module", "seconds", "time %", "GMAC", "GFLOP/s", "peak %", "skipped %"});
    for (const auto& m : model_stage(s)) {
        const bool computes = m.work.macs > 0, has_tokens = m.work.tokens > 0;
        const double flops = flops_per_second(m);
        of_modules.add({m.module, Cell(m.seconds, 3), Cell(100 * ratio(m.seconds, run.compute_seconds), 1),
                        number_or_dash(computes, double(m.work.macs) / 1e9, 3),
                        number_or_dash(computes, flops / 1e9, 1),
                        number_or_dash(computes && s.peak_flops > 0, 100 * ratio(flops, s.peak_flops), 1),
                        number_or_dash(has_tokens, 100 * m.work.skipped_share(), 1)});
    }
    return format("\n%lld %s in %.2f s, %.2f frames/s; the stages work side by side\n",
                  static_cast<long long>(run.frames), run.frames == 1 ? "frame" : "frames", run.seconds,
                  ratio(double(run.frames), run.seconds)) +
           of_stages.text() + "\n" + of_modules.text() +
           format("GMAC: multiply-adds done, in 10^9, two FLOP each. Peak: %.1f GFLOP/s, measured after the run.\n",
                  s.peak_flops / 1e9) +
           format("\nmemory: %.1f MB declared for the frames and the model, %.1f MB at most in the whole process\n",
                  double(s.declared_bytes) / 1e6, double(s.peak_bytes) / 1e6);
}

std::string statistics_json(const RunStatistics& s) {
    std::string json =
        format("{\"frames\": %lld, \"seconds\": %.6f, \"frames_per_second\": %.6g, \"stages\": [",
               static_cast<long long>(s.run.frames), s.run.seconds, ratio(double(s.run.frames), s.run.seconds));
    for (const char* comma = ""; const Stage& stage : stages(s.run)) {
        json += format("%s{\"stage\": \"%s\", \"seconds\": %.6f, \"idle_seconds\": %.6f}", comma, stage.name,
                       stage.seconds, idle_seconds(s.run, stage));
        comma = ", ";
    }
    json += "], \"modules\": [";
    for (const char* comma = ""; const auto& m : model_stage(s)) {
        json += format("%s{\"module\": %s, \"seconds\": %.6f, \"macs\": %lld, \"macs_without_mask\": %lld, ", comma,
                       mia::json_string(m.module).c_str(), m.seconds, static_cast<long long>(m.work.macs),
                       static_cast<long long>(m.work.dense_macs));
        json += format("\"flops_per_second\": %.6g, \"peak_share\": %.4f, \"skipped_share\": %.4f}",
                       flops_per_second(m), ratio(flops_per_second(m), s.peak_flops), m.work.skipped_share());
        comma = ", ";
    }
    return json + format(
                      "], \"peak_flops_per_second\": %.6g, \"memory_declared_bytes\": %llu, "
                      "\"memory_peak_bytes\": %llu}",
                      s.peak_flops, static_cast<unsigned long long>(s.declared_bytes),
                      static_cast<unsigned long long>(s.peak_bytes));
}
