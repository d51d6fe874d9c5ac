#include "options.hpp"

#include <CLI/CLI.hpp>
#include <charconv>
#include <cmath>
#include <memory>
#include <string_view>
#include <tuple>
#include <utility>

#include "support/model_options.hpp"

namespace {

/// A number that is the whole of `words`; nothing else.
template <class T>
std::optional<T> number(std::string_view words) {
    T value{};
    const auto [end, error] = std::from_chars(words.data(), words.data() + words.size(), value);
    if (error != std::errc() || end != words.data() + words.size()) return {};
    return value;
}

/// "90", "1:30", "0:01:30.5" are seconds, "120f" is a frame.
std::optional<mia::Position> position(std::string_view words) {
    if (words.ends_with('f')) {
        const auto frame = number<std::int64_t>(words.substr(0, words.size() - 1));
        if (!frame || *frame < 0) return {};
        return mia::FrameNumber{*frame};
    }
    double seconds = 0;
    for (bool more = true; more;) {
        const std::size_t colon = words.find(':');
        more = colon != words.npos;
        const auto part = number<double>(words.substr(0, colon));
        if (!part || *part < 0 || !std::isfinite(*part)) return {};
        seconds = 60 * seconds + *part;
        if (more) words.remove_prefix(colon + 1);
    }
    return mia::Seconds{seconds};
}

/// "800M", "4G", "1.5G".
std::optional<std::uint64_t> bytes(std::string_view words) {
    const double unit = words.ends_with('G') ? 1e9 : words.ends_with('M') ? 1e6 : 0;
    if (unit == 0) return {};
    const auto count = number<double>(words.substr(0, words.size() - 1));
    if (!count || !(*count > 0) || *count > 1e6) return {};
    return std::uint64_t(*count * unit);
}

bool size(std::string_view words, int& width, int& height) {
    const std::size_t x = words.find('x');
    if (x == words.npos) return false;
    width = number<int>(words.substr(0, x)).value_or(0);
    height = number<int>(words.substr(x + 1)).value_or(0);
    return width > 0 && height > 0;
}

/// "25", "30000/1001", "23.976".
bool rate(std::string_view words, AVRational& to) {
    if (const std::size_t slash = words.find('/'); slash != words.npos) {
        to = {number<int>(words.substr(0, slash)).value_or(0), number<int>(words.substr(slash + 1)).value_or(0)};
        return to.num > 0 && to.den > 0;
    }
    const auto value = number<double>(words);
    if (!value || !(*value > 0) || *value > 10000) return false;
    to = av_d2q(*value, 1001000);
    return true;
}

/// Throws CLI11's complaint about an option's value.
void check(bool ok, const char* option, const std::string& value, const char* wanted) {
    if (!ok) throw CLI::ValidationError(option, "\"" + value + "\" is not " + wanted);
}

/// CLI11's help without its empty lines, so that it fits a screen.
class Help : public CLI::Formatter {
public:
    Help() { column_width(23); }
    std::string make_help(const CLI::App* app, std::string name, CLI::AppFormatMode mode) const override {
        const std::string help = CLI::Formatter::make_help(app, std::move(name), mode);
        std::string dense;
        for (const char c : help)
            if (c != '\n' || !dense.ends_with('\n')) dense += c;
        return dense;
    }
};

class CommandLine {
public:
    explicit CommandLine(Options& options) : options_(options) {
        app_.name("upscale");
        app_.set_help_flag("-h,--help", "this text");
        app_.formatter(std::make_shared<Help>());
        app_.add_option("INPUT", options.input, "video, folder of images, pattern (%05d.png), or - for a pipe")
            ->option_text(" ");
        app_.add_option("OUTPUT", options.output, ".mp4, .mkv, .mov, .webm, folder (no extension), or - for y4m")
            ->option_text(" ");
        add_model();
        add_input();
        add_output();
        add_run();
        app_.footer(
            "Examples:\n"
            "  upscale holiday.mp4 holiday_x4.mp4         sound, times, colours, subtitles are kept\n"
            "  upscale film.mkv film_4k.mkv --height 2160 --codec hevc --crf 18 --resume\n"
            "  upscale frames/ large/ --weights my.safetensors\n"
            "  ffmpeg -i in.mp4 -f yuv4mpegpipe - | upscale - - | ffplay -");
    }

    std::optional<int> parse(int argc, char** argv) {
        try {
            app_.parse(argc, argv);
            if (options_.input.empty()) throw CLI::RequiredError("INPUT");
            if (options_.output.empty() && !options_.summary) throw CLI::RequiredError("OUTPUT");
            interpret();
        } catch (const CLI::ParseError& error) {
            return app_.exit(error) == 0 ? done : wrong_usage;
        }
        return {};
    }

private:
    void add_model() {
        const char* group = "Model";
        app_.add_option("--weights", options_.model.weights, "a .safetensors or .pth file (default: built in)")
            ->option_text("FILE")
            ->group(group);
        app_.add_option("--mask", mask_, "on, off, or a number: skip what changes less (try 0.05)")
            ->option_text("WHEN")
            ->group(group);
        add_precision(app_, options_.model.options)->option_text("NAME")->group(group);
        add_device(app_, options_.model.device)->option_text("NAME")->group(group);
        app_.add_option("--threads", options_.model.options.threads, "default: one for each processor")
            ->check(CLI::Range(1, 1024))
            ->option_text("N")
            ->group(group);
        app_.add_option("--memory", memory_, "may be used, as 4G (default: half of the machine's)")
            ->option_text("SIZE")
            ->group(group);
        app_.add_option("--scenes", scenes_, "auto, off, or a file of the frames that begin one")
            ->option_text("HOW")
            ->group(group);
    }
    void add_input() {
        const char* group = "Input";
        app_.add_option("--start", start_, "from here: 90, 1:30, 0:01:30.5, or a frame: 2250f")
            ->option_text("TIME")
            ->group(group);
        app_.add_option("--end", end_, "up to here, not included")->option_text("TIME")->group(group);
        app_.add_option("--rate", rate_, "frames a second of images (default: 25)")->option_text("RATE")->group(group);
        app_.add_flag("--deinterlace", options_.reading.deinterlace, "of two fields make one frame")->group(group);
    }
    void add_output() {
        const char* group = "Output";
        auto& writing = options_.writing;
        auto* size = app_.add_option("--size", size_, "WIDTHxHEIGHT instead of the model's 4 x")
                         ->option_text("WxH")
                         ->group(group);
        app_.add_option("--height", options_.height, "the width in proportion")
            ->check(CLI::Range(1, 65536))
            ->excludes(size)
            ->option_text("N")
            ->group(group);
        app_.add_option("--codec", writing.codec, "h264, hevc, vp9, av1, prores, ffv1, or FFmpeg's name")
            ->option_text("NAME")
            ->group(group);
        app_.add_option("--crf", writing.crf, "quality, smaller is better (h264: 0 ... 51)")
            ->option_text("Q")
            ->group(group);
        app_.add_option("--preset", writing.preset, "the codec's: ultrafast ... veryslow")
            ->option_text("NAME")
            ->group(group);
        app_.add_option("--pixel-format", writing.pixel_format, "FFmpeg's name, as yuv420p10le")
            ->option_text("NAME")
            ->group(group);
        app_.add_option("--depth", writing.bit_depth, "bits of a sample (default: the input's)")
            ->check(CLI::Range(8, 16))
            ->option_text("BITS")
            ->group(group);
        app_.add_option("--odd", odd_, "an odd size that 4:2:0 cannot hold: 444 (default) or refuse")
            ->option_text("HOW")
            ->check(CLI::IsMember({"444", "refuse"}))
            ->group(group);
        app_.add_flag("--drop", writing.drop_streams, "leave out streams that the output cannot hold")->group(group);
        app_.add_flag("--overwrite", overwrite_, "replace an output that is there")->group(group);
    }
    void add_run() {
        const char* group = "Run";
        auto* resume =
            app_.add_flag("--resume", resume_, "go on with an interrupted run")->option_text(" ")->group(group);
        app_.add_flag("--restart", restart_, "throw away an interrupted run")
            ->excludes(resume)
            ->option_text(" ")
            ->group(group);
        app_.add_option("--progress", progress_, "line, json or none, on standard error")
            ->check(CLI::IsMember({"line", "json", "none"}))
            ->option_text("KIND")
            ->group(group);
        app_.add_flag("--quiet", quiet_, "nothing but errors")->group(group);
        app_.add_flag("--stats", options_.stats, "at the end, where time and memory went")->group(group);
        app_.add_flag("--summary", options_.summary, "what the model is and costs for this input, and stop")
            ->group(group);
    }

    void interpret() {
        set_mask(options_.model.options, mask_);
        if (!memory_.empty()) {
            const auto budget = bytes(memory_);
            check(budget.has_value(), "--memory", memory_, "a size such as 800M or 4G");
            options_.memory = *budget;
        }
        options_.session.scenes.detect = scenes_ == "auto";
        if (scenes_ != "auto" && scenes_ != "off") options_.cuts = scenes_;
        for (const auto& [words, to, option] :
             {std::tuple{&start_, &options_.reading.start, "--start"}, {&end_, &options_.reading.end, "--end"}}) {
            if (words->empty()) continue;
            *to = position(*words);
            check(to->has_value(), option, *words, "a time (90, 1:30, 0:01:30.5) or a frame (2250f)");
        }
        if (!rate_.empty())
            check(rate(rate_, options_.reading.frame_rate), "--rate", rate_, "a rate such as 25 or 30000/1001");
        if (!size_.empty())
            check(size(size_, options_.width, options_.height), "--size", size_, "a size such as 1920x1080");
        if (odd_ == "refuse") options_.writing.odd_size = mia::OddSize::refuse;
        if (overwrite_) options_.writing.existing = mia::Existing::overwrite;
        if (resume_) options_.writing.unfinished = mia::Unfinished::resume;
        if (restart_) options_.writing.unfinished = mia::Unfinished::restart;
        options_.progress = quiet_ || progress_ == "none" ? ProgressKind::none
                            : progress_ == "json"         ? ProgressKind::json
                                                          : ProgressKind::line;
    }

    CLI::App app_{"Makes a video, or a folder of images, larger with a video super-resolution network."};
    Options& options_;
    std::string mask_ = "on", memory_, scenes_ = "auto", start_, end_, rate_, size_, odd_ = "444", progress_ = "line";
    bool overwrite_ = false, resume_ = false, restart_ = false, quiet_ = false;
};

}  // namespace

std::optional<int> parse_options(int argc, char** argv, Options& options) {
    return CommandLine(options).parse(argc, argv);
}

std::string command_line(int argc, char** argv) {
    std::string line;
    for (int i = 0; i < argc; ++i) {
        const std::string_view word = argv[i];
        const bool plain = !word.empty() && word.find_first_not_of(
                                                "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
                                                "0123456789_-+=./:,%@") == word.npos;
        if (i > 0) line += ' ';
        if (plain) {
            line += word;
            continue;
        }
        line += '\'';
        for (const char c : word) line += c == '\'' ? std::string("'\\''") : std::string(1, c);
        line += '\'';
    }
    return line;
}
