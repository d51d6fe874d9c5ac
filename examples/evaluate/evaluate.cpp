// evaluate RESULT TRUTH: how close a video is to the true one. evaluate --model default TRUTH...: how well a model
// makes small copies of true videos large again, beside bicubic. PSNR and SSIM as the literature measures them.
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <cstdio>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "evaluate/measure.hpp"
#include "evaluate/protocol.hpp"
#include "mia/core/error.hpp"
#include "mia/io/json.hpp"
#include "mia/models/session.hpp"
#include "support/choose_model.hpp"
#include "support/model_options.hpp"
#include "support/program.hpp"
#include "support/table.hpp"

namespace {

struct Options {
    std::vector<std::filesystem::path> inputs;
    ModelRequest model;
    bool with_model = false;
    std::string protocol = "all-frames";
    std::optional<int> border;
    mia::SessionConfig session;
    bool per_frame = false, json = false, csv = false;
};

/// One line on a terminal, written over; nothing elsewhere.
void show_progress(const std::string& clip, std::size_t frames) {
    if (isatty(STDERR_FILENO)) std::fprintf(stderr, "\r%s: frame %zu\x1b[K", clip.c_str(), frames);
}
void end_progress() {
    if (isatty(STDERR_FILENO)) std::fputs("\r\x1b[K", stderr);
}

std::vector<Measured> measure(const Options& options, int border) {
    if (!options.with_model) {
        mia::require(options.inputs.size() == 2, options.inputs.size(),
                     " videos were given. Give two, a result and the truth, or --model and any number of truths.");
        return {compare(options.inputs[0], options.inputs[1], border, show_progress)};
    }
    const auto model = choose_model(options.model);
    std::vector<Measured> all;
    for (const auto& truth : options.inputs)
        for (Measured& measured : evaluate(*model, truth, border, options.session, show_progress))
            all.push_back(std::move(measured));
    return all;
}

/// The table's columns and rows: what is not the same everywhere.
class Report {
public:
    Report(const Options& options, const Protocol& protocol)
        : options_(options), protocol_(protocol), table_(columns(options, protocol)) {}

    void add(const Measured& measured) {
        mia::MeanQuality mean;
        for (const std::size_t t : counted_frames(protocol_, measured.frames.size(), measured.clip)) {
            mean.add(measured.frames[t]);
            if (options_.per_frame) add(measured, Cell(std::int64_t(t)), measured.frames[t]);
        }
        add(measured, options_.per_frame ? Cell("mean") : Cell(std::int64_t(mean.count())), mean.mean());
        of_clips_[measured.method].add(mean.mean());
        equal_ += mean.equal();
    }

    const Table& table() {
        for (const auto& [method, mean] : of_clips_)
            if (mean.count() > 1) add({mia::text("mean of ", mean.count(), " clips"), method, {}}, Cell(), mean.mean());
        return table_;
    }
    int equal_frames() const { return equal_; }

private:
    static std::vector<std::string> columns(const Options& options, const Protocol& protocol) {
        std::vector<std::string> names{"clip", options.per_frame ? "frame" : "frames"};
        if (options.with_model) names.push_back("method");
        if (protocol.y) names.insert(names.end(), {"PSNR-Y", "SSIM-Y"});
        if (protocol.rgb) names.insert(names.end(), {"PSNR-RGB", "SSIM-RGB"});
        return names;
    }

    void add(const Measured& measured, Cell frame, const mia::Quality& q) {
        std::vector<Cell> row{measured.clip, std::move(frame)};
        if (options_.with_model) row.emplace_back(measured.method);
        if (protocol_.y) row.insert(row.end(), {Cell(q.psnr_y, 3), Cell(q.ssim_y, 4)});
        if (protocol_.rgb) row.insert(row.end(), {Cell(q.psnr_rgb, 3), Cell(q.ssim_rgb, 4)});
        table_.add(std::move(row));
    }

    const Options& options_;
    const Protocol& protocol_;
    Table table_;
    std::map<std::string, mia::MeanQuality> of_clips_;
    int equal_ = 0;
};

void run(const Options& options) {
    const Protocol& protocol = protocol_named(options.protocol);
    const int border = options.border.value_or(protocol.border);
    const auto all = measure(options, border);
    end_progress();
    Report report(options, protocol);
    for (const Measured& measured : all) report.add(measured);
    const Table& table = report.table();
    if (options.json) {
        std::printf("{\"protocol\": %s, \"border\": %d, \"rows\": %s}\n", mia::json_string(protocol.name).c_str(),
                    border, table.json().c_str());
    } else if (options.csv) {
        std::fputs(table.csv().c_str(), stdout);
    } else {
        std::printf("protocol %s, %d pixels left out at the border; PSNR in dB\n%s", protocol.name, border,
                    table.text().c_str());
        if (report.equal_frames() > 0)
            std::printf("%d frames are equal: their PSNR is infinite, and so is its mean\n", report.equal_frames());
    }
}

}  // namespace

int main(int argc, char** argv) {
    Options options;
    CLI::App app("Measures how close a video is to the true one: PSNR and SSIM, as the literature does.", "evaluate");
    app.footer(
        "Examples:\n"
        "  evaluate upscaled.mp4 truth.mkv                     two videos or folders of images\n"
        "  evaluate --model default clips/*.mkv                made 4 times smaller, and large again\n"
        "  evaluate --model MIAVSR_REDS_x4.pth --protocol reds4 REDS4/000 REDS4/011 REDS4/015 REDS4/020");
    app.add_option("VIDEOS", options.inputs, "a result and the truth; with --model one or more truths")->required();
    app.add_option("--protocol", options.protocol, "all-frames, vid4 (Y), reds4 (RGB), vimeo (Y, middle frame)")
        ->check(CLI::IsMember({"all-frames", "vid4", "reds4", "vimeo"}))
        ->capture_default_str();
    app.add_option("--border", options.border, "pixels left out on each side (default: the protocol's, 0)")
        ->check(CLI::Range(0, 1000));
    app.add_flag("--per-frame", options.per_frame, "every frame's values too");
    auto* json = app.add_flag("--json", options.json, "for programs");
    app.add_flag("--csv", options.csv, "for spreadsheets")->excludes(json);
    add_model_options(app, options.model, &options.with_model);
    app.add_option("--chunk", options.session.chunk_frames, "frames that a run of the model delivers")
        ->check(CLI::Range(1, 10000))
        ->capture_default_str()
        ->group("Model");
    app.add_option("--context", options.session.context_frames, "neighbours on both sides that are computed along")
        ->check(CLI::Range(0, 10000))
        ->capture_default_str()
        ->group("Model");
    for (const char* of_model : {"--mask", "--precision", "--threads", "--chunk", "--context"})
        app.get_option(of_model)->needs(app.get_option("--model"));
    return run_program(app, argc, argv, [&] { run(options); });
}
