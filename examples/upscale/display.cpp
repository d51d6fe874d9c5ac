#include "display.hpp"

#include <unistd.h>

#include <algorithm>
#include <cstdio>

#include "mia/io/json.hpp"
#include "support/clock_text.hpp"

namespace {

using mia::json_string;

template <class... Values>
std::string format(const char* words, Values... values) {
    std::string text(std::size_t(std::snprintf(nullptr, 0, words, values...)), '\0');
    std::snprintf(text.data(), text.size() + 1, words, values...);
    return text;
}

std::string progress_line(const mia::Progress& p) {
    const auto frame = std::max(p.frames_done, std::int64_t(p.frames_computed));
    std::string line = "frame " + std::to_string(frame);
    if (p.frames_total > 0) line += " of " + std::to_string(std::max(p.frames_total, frame));
    if (p.frames_per_second > 0)
        line += format(", %.*f frames/s", p.frames_per_second < 10 ? 2 : 0, p.frames_per_second);
    if (p.seconds_left >= 0) line += ", " + clock_text(p.seconds_left) + " left";
    if (p.skipped_share > 0) line += format(", %.0f %% skipped", 100 * p.skipped_share);
    if (const auto bytes = resident_bytes(); bytes > 0) line += format(", %.1f GB", double(bytes) / 1e9);
    return line;
}

std::string progress_json(const mia::Progress& p) {
    const auto or_null = [](bool known, double value) { return known ? format("%.6g", value) : "null"; };
    return format(
        "\"frames_done\": %lld, \"frames_total\": %s, \"frames_computed\": %.3f, \"frames_per_second\": %s, "
        "\"seconds\": %.3f, \"seconds_left\": %s, \"skipped_share\": %.4f, \"scenes\": %lld, \"memory_bytes\": %llu",
        static_cast<long long>(p.frames_done), p.frames_total > 0 ? std::to_string(p.frames_total).c_str() : "null",
        p.frames_computed, or_null(p.frames_per_second > 0, p.frames_per_second).c_str(), p.seconds,
        or_null(p.seconds_left >= 0, p.seconds_left).c_str(), p.skipped_share, static_cast<long long>(p.scenes),
        static_cast<unsigned long long>(resident_bytes()));
}

void print_event(const char* event, const std::string& members) {
    std::fprintf(stderr, "{\"event\": \"%s\"%s%s}\n", event, members.empty() ? "" : ", ", members.c_str());
}

}  // namespace

std::uint64_t resident_bytes() {
    std::uint64_t pages = 0;
    if (std::FILE* file = std::fopen("/proc/self/statm", "re")) {
        unsigned long long all = 0, resident = 0;
        if (std::fscanf(file, "%llu %llu", &all, &resident) == 2) pages = resident;
        std::fclose(file);
    }
    return pages * std::uint64_t(sysconf(_SC_PAGESIZE));
}

Display::Display(ProgressKind kind) : kind_(kind), terminal_(isatty(STDERR_FILENO) != 0) {}

void Display::start(const std::string& words, const std::string& json_facts) {
    if (kind_ == ProgressKind::line) std::fprintf(stderr, "%s\n", words.c_str());
    if (kind_ == ProgressKind::json) print_event("start", json_facts);
}

void Display::warn(const std::string& message) {
    if (kind_ == ProgressKind::line) say(message);
    if (kind_ == ProgressKind::json) print_event("warning", "\"message\": " + json_string(message));
}

/// One line that is written over where stderr is a terminal; elsewhere, and as JSON, a line every few seconds and for
/// the last frame.
void Display::progress(const mia::Progress& p) {
    if (kind_ == ProgressKind::none) return;
    const auto now = std::chrono::steady_clock::now();
    const bool last = p.frames_done == p.frames_total && p.frames_done != shown_frames_;
    const bool line = kind_ == ProgressKind::line;
    const auto pause = std::chrono::milliseconds(line && terminal_ ? 100 : line ? 5000 : 500);
    if (!last && now - shown_ < pause) return;
    shown_ = now;
    shown_frames_ = p.frames_done;
    if (!line) {
        print_event("progress", progress_json(p));
        return;
    }
    std::fprintf(stderr, terminal_ ? "\r%s\x1b[K" : "%s\n", progress_line(p).c_str());
    open_ = terminal_;
}

void Display::done(const std::string& output, const mia::PipelineResult& r, const RunStatistics* statistics) {
    say_done(output, r, statistics);
    if (statistics && kind_ != ProgressKind::json) std::fputs(statistics_text(*statistics).c_str(), stderr);
}

void Display::say_done(const std::string& output, const mia::PipelineResult& r, const RunStatistics* statistics) {
    const double rate = r.seconds > 0 ? double(r.frames) / r.seconds : 0;
    if (kind_ == ProgressKind::json)
        print_event("done",
                    format("\"output\": %s, \"frames\": %lld, \"frames_kept\": %lld, \"scenes\": %lld, "
                           "\"skipped_share\": %.4f, ",
                           json_string(output).c_str(), static_cast<long long>(r.frames),
                           static_cast<long long>(r.frames_kept), static_cast<long long>(r.scenes), r.skipped_share) +
                        format("\"seconds\": %.3f, \"decode_seconds\": %.3f, \"compute_seconds\": %.3f, "
                               "\"encode_seconds\": %.3f",
                               r.seconds, r.decode_seconds, r.compute_seconds, r.encode_seconds) +
                        (statistics ? ", \"stats\": " + statistics_json(*statistics) : ""));
    if (kind_ != ProgressKind::line) return;
    std::string words = output + " is ready: " + std::to_string(r.frames) + (r.frames == 1 ? " frame" : " frames");
    if (r.frames_kept > 0) words += " after " + std::to_string(r.frames_kept) + " of an earlier run";
    words += " in " + clock_text(r.seconds) + format(", %.2f frames/s", rate);
    if (r.scenes > 1) words += ", " + std::to_string(r.scenes) + " scenes";
    if (r.skipped_share > 0) words += format(", %.0f %% of the tokens skipped", 100 * r.skipped_share);
    say(words + format(" (reading %.1f s, model %.1f s, writing %.1f s)", r.decode_seconds, r.compute_seconds,
                       r.encode_seconds));
}

void Display::interrupted(const std::string& hint, bool resumable) {
    if (kind_ == ProgressKind::json)
        print_event("interrupted", std::string("\"resumable\": ") + (resumable ? "true" : "false"));
    else
        say("upscale: interrupted. " + hint);
}

void Display::error(const std::string& message, const std::string& hint) {
    if (kind_ == ProgressKind::json)
        print_event("error", "\"message\": " + json_string(message));
    else
        say("upscale: " + message + (hint.empty() ? "" : "\n" + hint));
}

void Display::end_line() {
    if (open_) std::fputc('\n', stderr);
    open_ = false;
}
void Display::say(const std::string& message) {
    end_line();
    std::fprintf(stderr, "%s\n", message.c_str());
}
