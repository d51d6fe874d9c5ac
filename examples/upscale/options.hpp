#pragma once
#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>

#include "mia/models/session_plan.hpp"
#include "mia/video/reader_config.hpp"
#include "mia/video/writer_config.hpp"
#include "support/choose_model.hpp"

enum class ProgressKind { line, json, none };

/// What the command line says.
struct Options {
    std::filesystem::path input, output;
    ModelRequest model;
    mia::VideoReaderConfig reading = {.keep_packets = true};
    mia::VideoWriterConfig writing;
    mia::SessionConfig session;
    std::filesystem::path cuts;  ///< file of scene cuts; empty: none given
    std::uint64_t memory = 0;    ///< bytes that the run may use; 0: half of the machine's
    int width = 0, height = 0;   ///< of the output; 0: what the model makes, or in proportion
    ProgressKind progress = ProgressKind::line;
    bool summary = false;
    bool stats = false;  ///< say where time and memory went
};

enum ExitCode { done = 0, failed = 1, wrong_usage = 2, interrupted = 130 };

/// Reads the command line. An exit code instead, when help was asked for or something is wrong; the text is printed.
std::optional<int> parse_options(int argc, char** argv, Options& options);

/// "out.mp4 --resume" and the like are hints; this is the line that was typed, quoted for a shell.
std::string command_line(int argc, char** argv);
