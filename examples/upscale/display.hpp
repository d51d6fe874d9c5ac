#pragma once
#include <chrono>
#include <cstdint>
#include <string>

#include "mia/video/pipeline.hpp"
#include "options.hpp"
#include "statistics.hpp"

/// Bytes of memory that the process holds now; 0 where the system does not tell.
std::uint64_t resident_bytes();

/// What a person, or a program with --progress json, is told on standard error. JSON is one object a line, each with an
/// "event": start, warning, progress, done, interrupted, error.
class Display {
public:
    explicit Display(ProgressKind kind);

    /// What is about to be done; `facts` are name and value pairs for programs, `words` the same for people.
    void start(const std::string& words, const std::string& json_facts);
    void warn(const std::string& message);
    void progress(const mia::Progress& progress);
    /// `statistics`: null where they were not asked for; who asks gets them even without any other word.
    void done(const std::string& output, const mia::PipelineResult& result, const RunStatistics* statistics = nullptr);
    /// `hint`: how to go on.
    void interrupted(const std::string& hint, bool resumable);
    void error(const std::string& message, const std::string& hint);

private:
    void say_done(const std::string& output, const mia::PipelineResult& result, const RunStatistics* statistics);
    void end_line();
    void say(const std::string& message);

    ProgressKind kind_;
    bool terminal_, open_ = false;  // open: a line that is to be written over
    std::chrono::steady_clock::time_point shown_{};
    std::int64_t shown_frames_ = -1;
};
