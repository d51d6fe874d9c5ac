#pragma once
#include <cstdint>
#include <string>
#include <vector>

#include "mia/models/any_model.hpp"
#include "mia/video/pipeline.hpp"

/// Where the time and the memory of a run went.
struct RunStatistics {
    mia::PipelineResult run;
    std::vector<mia::ModuleStatistics> modules;  ///< of the model
    double peak_flops = 0;                       ///< of the processor, a second, with the model's threads
    std::uint64_t declared_bytes = 0;            ///< what the session said beforehand that it would need
    std::uint64_t peak_bytes = 0;                ///< most that the process held at once
};

/// Most memory in bytes that the process held at once.
std::uint64_t peak_resident_bytes();

/// For people: tables of the stages and of the model's modules, and the memory.
std::string statistics_text(const RunStatistics& statistics);

/// The same for programs: one JSON object in one line.
std::string statistics_json(const RunStatistics& statistics);
