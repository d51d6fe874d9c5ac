// upscale INPUT OUTPUT: a video, or a folder of PNG images, made larger by a network. The library does the work; this
// file reads the command line, shows the progress and minds Ctrl-C.
#include <pthread.h>
#include <signal.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <chrono>
#include <cmath>
#include <condition_variable>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <iostream>
#include <mutex>
#include <stop_token>
#include <string>
#include <system_error>
#include <thread>

#include "choose_model.hpp"
#include "mia/core/error.hpp"
#include "mia/models/any_model.hpp"
#include "mia/video/pipeline.hpp"
#include "mia/video/reader.hpp"
#include "mia/video/writer.hpp"

namespace {

enum ExitCode { done = 0, failed = 1, wrong_usage = 2, interrupted = 130 };

struct Options {
    std::filesystem::path input, output;
    ModelRequest model;
    bool quiet = false, summary = false;
};

/// Ctrl-C: asks the run to stop and, because a model may take minutes for a chunk, ends the program after a moment
/// anyway. Either way the unfinished output is removed.
class Interrupt {
public:
    /// Made before any other thread, so that all of them leave the signals to the one here.
    Interrupt() {
        sigemptyset(&signals_);
        for (const int signal : {SIGINT, SIGTERM, SIGHUP}) {
            struct sigaction before = {};
            sigaction(signal, nullptr, &before);
            if (before.sa_handler != SIG_IGN) sigaddset(&signals_, signal);  // nohup means what it says
        }
        sigaddset(&signals_, SIGUSR1);  // the destructor's
        pthread_sigmask(SIG_BLOCK, &signals_, nullptr);
        signal(SIGPIPE, SIG_IGN);
        waiter_ = std::thread([this] { wait(); });
    }
    ~Interrupt() {
        {
            const std::scoped_lock lock(mutex_);
            over_ = true;
        }
        changed_.notify_all();
        pthread_kill(waiter_.native_handle(), SIGUSR1);  // wakes sigwait()
        waiter_.join();
    }

    std::stop_token token() const { return stop_.get_token(); }

    void remove_on_exit(std::filesystem::path partial) {
        const std::scoped_lock lock(mutex_);
        partial_ = std::move(partial);
    }

private:
    void wait() {
        int signal = 0;
        sigwait(&signals_, &signal);
        std::unique_lock lock(mutex_);
        if (over_) return;
        lock.unlock();
        stop_.request_stop();
        lock.lock();
        if (changed_.wait_for(lock, std::chrono::seconds(2), [this] { return over_; })) return;
        std::error_code ignored;
        if (!partial_.empty()) std::filesystem::remove_all(partial_, ignored);
        std::fputs("\nupscale: interrupted; the unfinished output was removed\n", stderr);
        _exit(interrupted);
    }

    sigset_t signals_;
    std::stop_source stop_;
    std::mutex mutex_;
    std::condition_variable changed_;
    std::filesystem::path partial_;
    bool over_ = false;
    std::thread waiter_;
};

std::string clock_text(double seconds) {
    const auto whole = std::int64_t(std::lround(seconds));
    char words[32];
    if (whole >= 3600)
        std::snprintf(words, sizeof words, "%d:%02d:%02d", int(whole / 3600), int(whole / 60 % 60), int(whole % 60));
    else
        std::snprintf(words, sizeof words, "%d:%02d", int(whole / 60), int(whole % 60));
    return words;
}

std::string progress_line(const mia::Progress& progress) {
    std::string line = "frame " + std::to_string(progress.frames_done);
    if (progress.frames_total > 0)
        line += " of " + std::to_string(std::max(progress.frames_total, progress.frames_done));
    char words[64];
    std::snprintf(words, sizeof words, ", %.*f frames/s", progress.frames_per_second < 10 ? 2 : 0,
                  progress.frames_per_second);
    line += words;
    if (progress.seconds_left >= 0) line += ", " + clock_text(progress.seconds_left) + " left";
    if (progress.skipped_share > 0) {
        std::snprintf(words, sizeof words, ", %.0f %% of the tokens skipped", 100 * progress.skipped_share);
        line += words;
    }
    return line;
}

/// One line that is written over where stderr is a terminal; elsewhere a line every few seconds.
class ProgressLine {
public:
    void show(const mia::Progress& progress) {
        const auto now = std::chrono::steady_clock::now();
        const bool last = progress.frames_done == progress.frames_total;
        const auto pause = std::chrono::milliseconds(terminal_ ? 100 : 5000);
        if (!last && shown_ != std::chrono::steady_clock::time_point{} && now - shown_ < pause) return;
        shown_ = now;
        std::fprintf(stderr, terminal_ ? "\r%s\x1b[K" : "%s\n", progress_line(progress).c_str());
        open_ = terminal_;
    }
    void end() {
        if (open_) std::fputc('\n', stderr);
        open_ = false;
    }

private:
    bool terminal_ = isatty(STDERR_FILENO) != 0;
    bool open_ = false;
    std::chrono::steady_clock::time_point shown_{};
};

/// What the model is and costs for frames of the input's size.
void print_summary(const Options& options) {
    const mia::VideoReader reader(options.input, {});
    const auto model = choose_model(options.model);
    std::printf("%s\n%s", model->name().c_str(), model->summary(reader.info().height, reader.info().width).c_str());
}

void upscale(const Options& options, Interrupt& interrupt, ProgressLine& line) {
    mia::VideoReader reader(options.input, {.keep_packets = true});
    const auto model = choose_model(options.model);
    mia::VideoInfo info = reader.info();
    info.width *= model->scale();
    info.height *= model->scale();
    mia::VideoWriter writer(options.output, info, {}, reader.streams());
    interrupt.remove_on_exit(writer.partial_path());

    if (!options.quiet) {
        std::fprintf(stderr, "%s: %d x %d -> %d x %d with %s\n", options.input.c_str(), reader.info().width,
                     reader.info().height, info.width, info.height, model->name().c_str());
        for (const auto& stream : writer.left_out())
            std::fprintf(stderr, "upscale: %s cannot hold %s; it is left out\n", options.output.c_str(),
                         stream.c_str());
    }
    mia::PipelineConfig config;
    config.frames_total = info.frame_count;
    config.stop = interrupt.token();
    if (!options.quiet) config.on_progress = [&](const mia::Progress& progress) { line.show(progress); };
    mia::run_pipeline(reader, *model, writer, config);
    line.end();
    if (!options.quiet) std::fprintf(stderr, "%s is ready\n", options.output.c_str());
}

}  // namespace

int main(int argc, char** argv) {
    Options options;
    CLI::App app("Makes a video, or a folder of PNG images, larger with a video super-resolution network.");
    app.footer(
        "Examples:\n"
        "  upscale holiday.mp4 holiday_x4.mp4          sound, time stamps and colours are kept\n"
        "  upscale frames/ large/                      PNG images, the same names\n"
        "  upscale in.mkv out.mkv --weights my.safetensors --threads 8");
    std::string mask = "on";
    app.add_option("INPUT", options.input, "a video file, or a folder of PNG images")->required();
    app.add_option("OUTPUT", options.output, ".mp4, .mov or .mkv; without an extension a folder of PNG images");
    app.add_option("--weights", options.model.weights, "weights: .safetensors or .pth (default: built in)");
    app.add_option("--threads", options.model.options.threads, "threads of the model (default: one for each processor)")
        ->check(CLI::Range(1, 1024));
    app.add_option("--mask", mask, "off: compute every token, for weights with an unused mask (default: on)")
        ->check(CLI::IsMember({"on", "off"}));
    app.add_flag("--quiet", options.quiet, "nothing but errors on the terminal");
    app.add_flag("--summary", options.summary, "print what the model is and costs for this input, and stop");
    try {
        app.parse(argc, argv);
        if (options.output.empty() && !options.summary) throw CLI::RequiredError("OUTPUT");
    } catch (const CLI::ParseError& error) {
        return app.exit(error) == 0 ? done : wrong_usage;
    }
    if (mask == "off") options.model.options.mask = mia::MaskUse::off;

    mia::silence_ffmpeg();
    Interrupt interrupt;
    ProgressLine line;
    try {
        if (options.summary)
            print_summary(options);
        else
            upscale(options, interrupt, line);
        return done;
    } catch (const mia::Cancelled&) {
        line.end();
        std::fputs("upscale: interrupted; the unfinished output was removed\n", stderr);
        return interrupted;
    } catch (const std::exception& error) {
        line.end();
        std::fprintf(stderr, "upscale: %s\n", error.what());
        return failed;
    }
}
