// upscale INPUT OUTPUT: a video, or a folder of images, made larger by a network. The library does the work; this file
// puts its parts together. options.cpp reads the command line, display.cpp talks.
#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <fstream>
#include <iterator>
#include <optional>
#include <string>

#include "display.hpp"
#include "mia/core/error.hpp"
#include "mia/models/session_plan.hpp"
#include "mia/video/pipeline.hpp"
#include "mia/video/reader.hpp"
#include "mia/video/writer.hpp"
#include "options.hpp"
#include "statistics.hpp"
#include "support/choose_model.hpp"
#include "support/interrupt.hpp"

namespace {

using mia::text;

/// Half of the memory of the machine, or of the container that the process runs in.
std::uint64_t default_memory() {
    std::uint64_t bytes = std::uint64_t(sysconf(_SC_PHYS_PAGES)) * std::uint64_t(sysconf(_SC_PAGESIZE));
    std::uint64_t limit = 0;
    if (std::ifstream file("/sys/fs/cgroup/memory.max"); file >> limit && limit > 0) bytes = std::min(bytes, limit);
    return bytes / 2;
}

/// The output's size: as asked for, or what the model makes.
void set_size(const Options& options, int scale, mia::VideoInfo& info) {
    const mia::VideoInfo input = info;
    info.width *= scale;
    info.height *= scale;
    if (options.height > 0) {
        // Even, because most codecs halve the chroma.
        const double width = double(options.height) * input.width / input.height;
        info.width = std::max(2, 2 * int(std::lround(width / 2)));
        info.height = options.height;
    }
    if (options.width > 0) {
        info.width = options.width;
        info.height = options.height;
    }
    // Pixels that are not square stay so when the output has another shape.
    if (info.sample_aspect_ratio.num > 0)
        av_reduce(&info.sample_aspect_ratio.num, &info.sample_aspect_ratio.den,
                  std::int64_t(info.sample_aspect_ratio.num) * input.width * info.height,
                  std::int64_t(info.sample_aspect_ratio.den) * input.height * info.width, 1 << 20);
    if (info.bit_depth < 8) info.bit_depth = 8;
}

std::vector<std::int64_t> read_cuts(const std::filesystem::path& path) {
    std::ifstream file(path, std::ios::binary);
    mia::require(file.is_open(), path.string(),
                 ": the file of scene cuts cannot be opened. Check its path, or use auto or off.");
    const std::string content(std::istreambuf_iterator<char>(file), {});
    return mia::parse_cuts(content, path.string());
}

/// What decides the pixels of the result, beside the input and the encoder.
std::map<std::string, std::string> identity(const Options& options, const mia::AnyModel& model,
                                            const mia::SessionConfig& session) {
    const auto& [chunk, context, tiles, scenes, first] = session;
    std::string cuts = scenes.detect ? text("found, threshold ", scenes.threshold) : "off";
    for (std::size_t i = 0; i < scenes.cuts.size(); ++i) cuts += text(i == 0 ? ", at " : " ", scenes.cuts[i]);
    const auto& mask = options.model.options;
    return {{"model", model.name()},
            {"device", options.model.device == Device::cuda ? "cuda" : "cpu"},
            {"weights", weights_hash(options.model)},
            {"mask", mask.mask == mia::MaskUse::off       ? "off"
                     : mask.mask == mia::MaskUse::by_hand ? text(mask.threshold)
                                                          : "as trained"},
            {"chunks", text(chunk, " frames with ", context, " around them")},
            {"tiles", text(tiles.rows, " x ", tiles.columns, ", overlap ", tiles.overlap)},
            {"scenes", cuts},
            {"deinterlacing", options.reading.deinterlace ? "on" : "off"}};
}

/// The run in one line for people, and as JSON members.
void announce(Display& display, const Options& options, const mia::VideoInfo& in, const mia::VideoInfo& out,
              mia::AnyModel& model, const mia::SessionConfig& session, std::int64_t frames_kept) {
    const std::uint64_t memory = mia::session_memory_bytes(model, in.height, in.width, session);
    std::string words = text(options.input.string(), ": ", in.width, " x ", in.height);
    if (in.frame_count > 0) words += text(", ", in.frame_count, in.frame_count == 1 ? " frame" : " frames");
    words +=
        text(" -> ", out.width, " x ", out.height, " with ", model.name(), ", ", memory / 1000000, " MB of memory");
    if (!session.tiles.whole()) words += text(", in ", session.tiles.rows, " x ", session.tiles.columns, " tiles");
    if (frames_kept > 0) words += text(", going on after frame ", frames_kept);
    display.start(words, text("\"input\": ", mia::json_string(options.input.string()), ", \"width\": ", in.width,
                              ", \"height\": ", in.height, ", \"output\": ", mia::json_string(options.output.string()),
                              ", \"output_width\": ", out.width, ", \"output_height\": ", out.height,
                              ", \"model\": ", mia::json_string(model.name()), ", \"memory_bytes\": ", memory,
                              ", \"chunk_frames\": ", session.chunk_frames, ", \"tile_rows\": ", session.tiles.rows,
                              ", \"tile_columns\": ", session.tiles.columns, ", \"frames_kept\": ", frames_kept));
    if (in.color.guessed)
        display.warn(text(options.input.string(), ": the file does not say which colour matrix it has; ",
                          av_color_space_name(in.color.matrix), " is the custom for its size and is taken"));
}

/// What the model is and costs for frames of the input's size.
void print_summary(const Options& options) {
    const mia::VideoReader reader(options.input, options.reading);
    const auto model = choose_model(options.model);
    std::printf("%s\n%s", model->name().c_str(), model->summary(reader.info().height, reader.info().width).c_str());
}

class Run {
public:
    Run(const Options& options, const Interrupt& interrupt, Display& display)
        : options_(options),
          display_(display),
          reader_(options.input, options.reading),
          model_(choose_model(options.model)),
          session_(plan()),
          writer_(options.output, output_info(), writer_config(), reader_.streams()) {
        config_.session = session_;
        config_.frames_total = reader_.info().frame_count;
        config_.stop = interrupt.token();
        config_.on_progress = [this](const mia::Progress& progress) { display_.progress(progress); };
    }

    void run() {
        announce(display_, options_, reader_.info(), output_info(), *model_, session_, writer_.frames_done());
        if (const auto note = writer_.note(); !note.empty()) display_.warn(note);
        for (const auto& stream : writer_.left_out())
            display_.warn(text(options_.output.string(), " cannot hold ", stream, "; it is left out"));
        if (options_.stats) model_->keep_statistics();
        const auto result = mia::run_pipeline(reader_, *model_, writer_, config_);
        std::optional<RunStatistics> statistics;
        if (options_.stats) statistics = statistics_of(result);
        display_.done(options_.output == "-" ? "standard output" : options_.output.string(), result,
                      statistics ? &*statistics : nullptr);
    }

    bool resumable() const { return writer_.resumable(); }

private:
    mia::SessionConfig plan() {
        mia::SessionConfig wanted = options_.session;
        if (!options_.cuts.empty()) wanted.scenes.cuts = read_cuts(options_.cuts);
        const mia::VideoInfo& info = reader_.info();
        const std::uint64_t free = model_->free_device_memory();  // a tenth is left: blocks are rounded up, others come
        const std::uint64_t memory = options_.memory > 0 ? options_.memory
                                     : free > 0          ? free / 10 * 9
                                                         : default_memory();
        try {
            return mia::fit_memory(*model_, info.height, info.width, memory, wanted);
        } catch (const mia::Error& error) {
            if (free == 0) throw;
            throw mia::Error(text(error.what(), " The GPU has ", free / 1000000,
                                  " MB free; --device cpu takes the machine's memory."));
        }
    }
    RunStatistics statistics_of(const mia::PipelineResult& result) {
        const std::uint64_t peak_bytes = peak_resident_bytes();  // before anything is measured
        const mia::VideoInfo& info = reader_.info();
        return {result, model_->statistics(), model_->peak_flops(),
                mia::session_memory_bytes(*model_, info.height, info.width, session_), peak_bytes};
    }
    mia::VideoInfo output_info() const {
        mia::VideoInfo info = reader_.info();
        set_size(options_, model_->scale(), info);
        return info;
    }
    mia::VideoWriterConfig writer_config() const {
        mia::VideoWriterConfig config = options_.writing;
        config.identity = identity(options_, *model_, session_);
        return config;
    }

    const Options& options_;
    Display& display_;
    mia::VideoReader reader_;
    std::unique_ptr<mia::AnyModel> model_;
    mia::SessionConfig session_;
    mia::VideoWriter writer_;
    mia::PipelineConfig config_;
};

/// How to go on after a run that ended early.
std::string hint_of(const Run& run, const std::string& command) {
    if (!run.resumable()) return {};
    const bool has_resume = command.find(" --resume") != std::string::npos;
    return "What is finished is kept; go on with: " + command + (has_resume ? "" : " --resume");
}

}  // namespace

int main(int argc, char** argv) {
    Options options;
    if (const auto code = parse_options(argc, argv, options)) return *code;
    mia::silence_ffmpeg();
    const Interrupt interrupt(interrupted, "upscale");
    Display display(options.progress);
    std::string hint;
    try {
        if (options.summary) {
            print_summary(options);
            return done;
        }
        Run run(options, interrupt, display);
        try {
            run.run();
        } catch (...) {
            hint = hint_of(run, command_line(argc, argv));
            throw;
        }
        return done;
    } catch (const mia::Cancelled&) {
        display.interrupted(hint.empty() ? "No chunk was finished; nothing is left." : hint, !hint.empty());
        return interrupted;
    } catch (const std::exception& error) {
        display.error(error.what(), hint);
        return failed;
    }
}
