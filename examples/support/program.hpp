#pragma once
#include <CLI/CLI.hpp>
#include <cstdio>
#include <exception>
#include <functional>
#include <string>

#include "mia/video/ffmpeg.hpp"

/// What every program ends with.
enum ExitCode { done = 0, failed = 1, wrong_usage = 2 };

/// Reads the command line into what `app` is bound to, then runs `body`. Errors become one message on standard error.
inline int run_program(CLI::App& app, int argc, char** argv, const std::function<void()>& body) {
    try {
        app.parse(argc, argv);
    } catch (const CLI::ParseError& error) {
        return app.exit(error) == 0 ? done : wrong_usage;
    }
    mia::silence_ffmpeg();
    try {
        body();
        return done;
    } catch (const std::exception& error) {
        std::fprintf(stderr, "%s: %s\n", app.get_name().c_str(), error.what());
        return failed;
    }
}
