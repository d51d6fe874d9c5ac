// inspect FILE: what a video, a folder of images or a file of weights holds, and what making it larger takes. With
// --pictures, --compare or --report the model runs on a part of the video, and what it sees and does is drawn.
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <charconv>
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <filesystem>
#include <memory>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>
#include <vector>

#include "inspect/describe.hpp"
#include "inspect/frame_pictures.hpp"
#include "inspect/model_run.hpp"
#include "inspect/report.hpp"
#include "mia/core/error.hpp"
#include "mia/video/png_writer.hpp"
#include "mia/video/reader.hpp"
#include "mia/video/writer.hpp"
#include "mia/visual/compose.hpp"
#include "support/choose_model.hpp"
#include "support/model_options.hpp"
#include "support/program.hpp"

namespace {

struct Options {
    std::filesystem::path input, pictures, compare, report, truth;
    ModelRequest model;
    std::int64_t first = 0, last = 15;  ///< frames that are computed, both included
    PictureScales scales;
    mia::SessionConfig session;

    bool runs_the_model() const { return !pictures.empty() || !compare.empty() || !report.empty(); }
};

constexpr std::int64_t to_the_end = INT64_MAX;

/// "8..23", both included, or "8..", to the end.
void set_frames(Options& options, std::string_view words) {
    const auto fail = [&] {
        throw CLI::ValidationError("--frames", "\"" + std::string(words) + "\" is not of the form 8..23 or 8..");
    };
    const auto number = [&](std::string_view digits) {
        std::int64_t value = 0;
        const auto [at, error] = std::from_chars(digits.data(), digits.data() + digits.size(), value);
        if (error != std::errc() || at != digits.data() + digits.size() || value < 0) fail();
        return value;
    };
    const std::size_t dots = words.find("..");
    if (dots == words.npos) fail();
    options.first = number(words.substr(0, dots));
    options.last = dots + 2 < words.size() ? number(words.substr(dots + 2)) : to_the_end;
    if (options.last < options.first) fail();
}

mia::VideoReaderConfig part_of(const Options& options) {
    mia::VideoReaderConfig config;
    config.start = mia::FrameNumber{options.first};
    if (options.last != to_the_end) config.end = mia::FrameNumber{options.last + 1};
    return config;
}

/// A reader that takes interlaced video too. It is refused without the filter that makes frames of fields, which in
/// turn does not know every pixel format: so the filter is used only where the video is refused without it.
std::unique_ptr<mia::VideoReader> open_video(const std::filesystem::path& path, mia::VideoReaderConfig config = {}) {
    try {
        return std::make_unique<mia::VideoReader>(path, config);
    } catch (const mia::Error& error) {
        config.deinterlace = true;
        try {
            return std::make_unique<mia::VideoReader>(path, config);
        } catch (const mia::Error&) {
            throw mia::Error(error.what());
        }
    }
}

/// A folder of pictures: frame_00012_flow.png and so on.
class PictureFolder {
public:
    explicit PictureFolder(std::filesystem::path path) : path_(std::move(path)) {
        std::error_code failure;
        std::filesystem::create_directories(path_, failure);
        mia::require(!failure, path_.string(), ": the folder cannot be made (", failure.message(),
                     "). Choose another name.");
        mia::require(std::filesystem::is_empty(path_, failure) && !failure, path_.string(),
                     ": the folder is not empty. Choose another name, or empty it.");
    }
    void write(std::int64_t frame, const char* what, const Picture& picture) {
        if (picture.size() == 0) return;
        char name[64];
        std::snprintf(name, sizeof name, "frame_%05lld_%s.png", static_cast<long long>(frame), what);
        png_.write(path_ / name, picture.view());
    }

private:
    std::filesystem::path path_;
    mia::PngWriter png_;
};

/// Everything that is made of a run's frames.
class Looker {
public:
    Looker(const Options& options, const mia::VideoReader& reader, int scale, std::int64_t frames)
        : options_(options), scales_(options.scales), scale_(scale), frames_(frames) {
        if (!options.pictures.empty()) folder_ = std::make_unique<PictureFolder>(options.pictures);
        if (options.compare.empty()) return;
        mia::VideoInfo info = reader.info();
        info.width *= scale;
        info.height *= scale;
        period_ = std::max(2, int(std::lround(4 * av_q2d(info.frame_rate))));
        compare_ = std::make_unique<mia::VideoWriter>(options.compare, info);
    }

    void use(const FrameResult& frame) {
        const std::int64_t number = frame.record.number;
        if (isatty(STDERR_FILENO)) std::fprintf(stderr, "\rframe %lld\x1b[K", static_cast<long long>(number));
        if (compare_) write_compare(frame);
        const bool in_report = !options_.report.empty() && is_shown(number - options_.first);
        if (!folder_ && !in_report) return;
        add(frame, "compare", "input with its pixels enlarged, bicubic, model", comparison_picture(frame, scale_),
            in_report);
        const Picture flow = flow_picture(frame, scales_);
        add(frame, "flow",
            mia::text("flow to the frame before and to the frame after; the wheel's rim is ", scales_.flow_pixels,
                      " pixels"),
            flow, in_report);
        add(frame, "mask", "tokens that were computed: a row for each branch, a column for each block",
            mask_picture(frame), in_report);
        add(frame, "difference",
            mia::text("luma of the model minus bicubic, blue to red: -", scales_.difference_codes, " to ",
                      scales_.difference_codes, " of 255 codes"),
            difference_picture(frame, scales_), in_report);
    }

    void finish() {
        if (isatty(STDERR_FILENO)) std::fputs("\r\x1b[K", stderr);
        if (compare_) compare_->finish();
    }

    const PictureScales& scales() const { return scales_; }
    const HtmlReport& report() const { return report_; }

private:
    /// The first, the middle and the last frame.
    bool is_shown(std::int64_t index) const { return index == 0 || index == frames_ / 2 || index == frames_ - 1; }

    void add(const FrameResult& frame, const char* what, const std::string& caption, const Picture& picture,
             bool in_report) {
        if (picture.size() == 0) return;
        if (folder_) folder_->write(frame.record.number, what, picture);
        if (!in_report) return;
        const auto bytes = png_.encode(picture.view());
        report_.add_picture(mia::text("Frame ", frame.record.number, ": ", caption),
                            {reinterpret_cast<const char*>(bytes.data()), bytes.size()});
    }

    /// Bicubic left of a line that wanders, the model right of it.
    void write_compare(const FrameResult& frame) {
        split_.resize(frame.result.extent(0), frame.result.extent(1));
        const double at = mia::divider_position(frame.record.number - options_.first + period_ / 4, period_);
        mia::split(frame.bicubic, frame.result, int(std::lround(at * split_.width)), split_.view());
        split_.pts = frame.input.pts;
        split_.duration = frame.input.duration;
        split_.name = frame.input.name;
        compare_->write(split_);
    }

    const Options& options_;
    PictureScales scales_;
    int scale_;
    std::int64_t frames_;  // expected; 0 unknown
    std::unique_ptr<PictureFolder> folder_;
    std::unique_ptr<mia::VideoWriter> compare_;
    int period_ = 2;  // frames until the divider is where it was
    mia::VideoFrame split_;
    mia::PngWriter png_;
    HtmlReport report_;
};

std::vector<std::pair<std::string, std::string>> settings_of(const Options& options, const mia::AnyModel& model,
                                                             const Looker& looker, const RunRecord& run) {
    const auto& mask = options.model.options;
    return {{"model", model.name()},
            {"weights", options.model.weights.empty() ? "built in" : options.model.weights.string()},
            {"mask", mask.mask == mia::MaskUse::by_hand ? mia::text("by hand, threshold ", mask.threshold)
                     : mask.mask == mia::MaskUse::off   ? "off"
                                                        : "as trained"},
            {"threads", mask.threads == 0 ? "one for each processor" : std::to_string(mask.threads)},
            {"frames", mia::text(run.frames.front().number, " to ", run.frames.back().number)},
            {"chunks", mia::text(options.session.chunk_frames, " frames and ", options.session.context_frames,
                                 " neighbours on both sides; scenes are not looked for")},
            {"truth", options.truth.empty() ? "none" : options.truth.string()},
            {"flow's full colour",
             looker.scales().flow_pixels > 0 ? mia::text(looker.scales().flow_pixels, " pixels") : "no flow was seen"},
            {"difference's full colour", mia::text(looker.scales().difference_codes, " codes of 255")}};
}

/// Before the model runs for minutes.
void require_folder_of(const std::filesystem::path& file) {
    const auto folder = std::filesystem::absolute(file).parent_path();
    mia::require(std::filesystem::is_directory(folder), file.string(), ": the report cannot be written, there is no ",
                 "folder ", folder.string(), ". Make it first.");
}

void look(const Options& options, mia::AnyModel& model, const std::vector<std::string>& facts) {
    if (!options.report.empty()) require_folder_of(options.report);
    const auto reader = open_video(options.input, part_of(options));
    const auto truth = options.truth.empty() ? nullptr : open_video(options.truth, part_of(options));
    const std::int64_t expected = reader->info().frame_count;
    Looker looker(options, *reader, model.scale(), expected);
    const RunConfig config{options.first, options.session, truth.get()};
    const RunRecord run = run_model(model, *reader, config, [&](const FrameResult& frame) { looker.use(frame); });
    looker.finish();
    if (!options.report.empty())
        looker.report().write(options.report, "mia: " + options.input.filename().string(), facts,
                              settings_of(options, model, looker, run), run);
    for (const auto& [what, path] :
         {std::pair{"pictures", options.pictures}, {"comparison", options.compare}, {"report", options.report}})
        if (!path.empty())
            std::printf("%s of frames %lld to %lld: %s\n", what, static_cast<long long>(run.frames.front().number),
                        static_cast<long long>(run.frames.back().number), path.c_str());
}

void run(Options options) {
    if (is_weights(options.input)) {
        mia::require(!options.runs_the_model(), options.input.string(),
                     " holds weights, and pictures are made of a video. Give the video, and the weights to --model.");
        options.model.weights = options.input;
        std::fputs(describe_weights(options.model).c_str(), stdout);
        return;
    }
    std::vector<std::string> facts;
    const auto model = choose_model(options.model);
    {
        const auto reader = open_video(options.input);
        facts = {describe_video(*reader), describe_upscale(reader->info(), *model)};
    }
    for (const std::string& fact : facts) std::fputs(fact.c_str(), stdout);
    if (options.runs_the_model()) look(options, *model, facts);
}

}  // namespace

int main(int argc, char** argv) {
    Options options;
    CLI::App app("Shows what a video or a file of weights holds, and what a model sees and does in it.", "inspect");
    app.footer(
        "Examples:\n"
        "  inspect holiday.mp4                                   streams, colours, memory and time of an upscale\n"
        "  inspect weights.safetensors                           the model, its parameters and configuration\n"
        "  inspect holiday.mp4 --pictures look --frames 40..47   flows, masks, differences to bicubic\n"
        "  inspect holiday.mp4 --compare split.mp4 --frames 0..  bicubic and model with a moving divider\n"
        "  inspect small.mkv --truth large.mkv --mask 0.05 --report report.html");
    app.add_option("FILE", options.input, "a video, a folder of images, or weights (.safetensors, .pth)")->required();
    app.add_option("--pictures", options.pictures, "folder for PNG pictures of every frame");
    app.add_option("--compare", options.compare, "video, or folder of PNG images: bicubic, a divider, the model");
    app.add_option("--report", options.report, "HTML file with charts and pictures, which needs nothing else");
    app.add_option("--truth", options.truth, "the true frames of the result's size, for PSNR and SSIM in the report");
    app.add_option_function<std::string>(
        "--frames", [&](const std::string& words) { set_frames(options, words); },
        "of the video, both included: 8..23, or 8.. to the end (default: 0..15)");
    app.add_option("--flow-scale", options.scales.flow_pixels, "pixels of the full colour (default: from the data)")
        ->check(CLI::Range(0.01, 10000.));
    app.add_option("--difference-scale", options.scales.difference_codes, "codes of 255 of the full colour")
        ->check(CLI::Range(0.01, 255.))
        ->capture_default_str();
    add_model_options(app, options.model);
    app.add_option("--chunk", options.session.chunk_frames, "frames that a run of the model delivers")
        ->check(CLI::Range(1, 10000))
        ->capture_default_str()
        ->group("Model");
    app.add_option("--context", options.session.context_frames, "neighbours on both sides that are computed along")
        ->check(CLI::Range(0, 10000))
        ->capture_default_str()
        ->group("Model");
    return run_program(app, argc, argv, [&] { run(options); });
}
