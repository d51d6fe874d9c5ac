#pragma once
#include <cstdint>
#include <filesystem>
#include <iomanip>
#include <memory>
#include <sstream>
#include <string>
#include <system_error>
#include <utility>
#include <vector>

#include "mia/core/error.hpp"
#include "mia/video/color.hpp"
#include "mia/video/ffmpeg.hpp"
#include "mia/video/frame.hpp"
#include "mia/video/images.hpp"
#include "mia/video/video_file.hpp"

namespace mia {
namespace detail {

/// The files that a run writes until they are whole: a name beside the target, removed unless finish() was called.
class PartialPath {
public:
    PartialPath(std::filesystem::path partial, std::filesystem::path target)
        : partial_(std::move(partial)), target_(std::move(target)) {
        remove();  // what a killed run left behind
    }
    PartialPath(const PartialPath&) = delete;
    PartialPath& operator=(const PartialPath&) = delete;
    ~PartialPath() {
        if (!finished_) remove();
    }

    const std::filesystem::path& path() const { return partial_; }

    void finish() {
        std::error_code failure;
        std::filesystem::rename(partial_, target_, failure);
        require(!failure, target_.string(), ": the finished output cannot get its name (", failure.message(),
                "). Check the permissions of its folder.");
        finished_ = true;
    }

private:
    void remove() const {
        std::error_code ignored;
        std::filesystem::remove_all(partial_, ignored);
    }

    std::filesystem::path partial_, target_;
    bool finished_ = false;
};

}  // namespace detail

/// Frames into a video file (.mp4, .mov, .mkv) or into a folder of PNG images (any path without an extension). What is
/// written appears under its name only when finish() has returned; without it the destructor leaves nothing behind.
/// One thread at a time.
class VideoWriter {
public:
    /// `info` describes the output: size, time base, colour and whatever else was true of the input; `info.path` is the
    /// input, which the output must not be. `source`, when given, is read from now on: its streams beside video are
    /// declared in the output, with metadata and chapters, so that their packets can be written.
    /// Error when the extension is not supported, when the output cannot be written or is the input, and when the
    /// folder holds files.
    VideoWriter(const std::filesystem::path& path, const VideoInfo& info, VideoWriterConfig config = {},
                const AVFormatContext* source = nullptr)
        : path_(path.has_filename() ? path : path.parent_path()), info_(info) {
        std::error_code failure;
        require(!std::filesystem::equivalent(path_, info.path, failure), path.string(),
                ": the output is the input. Choose another name for the output.");
        const bool folder =
            std::filesystem::is_directory(path_, failure) || !path.has_filename() || !path_.has_extension();
        if (folder)
            open_folder();
        else
            open_file(config, source);
    }

    /// frame: of the size in `info`; its pts and duration are kept, in units of `info.time_base`. Error when the size
    /// differs, when the pts does not grow, and when writing fails.
    void write(const VideoFrame& frame) {
        require(frame.height == info_.height && frame.width == info_.width, path_.string(), ": frame ", count_, " is ",
                frame.width, " x ", frame.height, ", the output ", info_.width, " x ", info_.height,
                ". Give all frames the output's size.");
        if (file_ != nullptr)
            file_->write(frame);
        else
            png_.write(partial_->path() / image_name(frame), frame.view());
        ++count_;
    }

    /// A packet of the source's other streams, byte for byte and with its time; those of streams that the output does
    /// not hold are passed over. The packet's content is taken.
    void write(Packet& packet) {
        if (file_ != nullptr) file_->write(packet);
    }

    /// Frames that an earlier, interrupted run has finished: the first frame to be written is this one. 0 without one.
    std::int64_t frames_done() const { return 0; }

    /// Makes what was written since the last call an encoded segment of its own that a later run can start from. Where
    /// the calls are must depend on the input alone, or a resumed run would not have the bytes of an uninterrupted one.
    void end_chunk() {}

    /// Whether something stays on the disk when the writer is destroyed without finish(), for a later run to resume.
    bool resumable() const { return false; }

    /// Completes the output and gives it its name.
    void finish() {
        require(count_ > 0, path_.string(), ": no frame was written, there is no output. Give at least one frame.");
        if (file_ != nullptr) {
            file_->finish();
            file_.reset();
        } else if (std::error_code ignored; std::filesystem::exists(path_, ignored)) {
            std::filesystem::remove(path_, ignored);  // an empty folder gives way; one that was filled since does not
        }
        partial_->finish();
    }

    /// What of the source the output cannot hold, one line each: "stream 2, subtitle (subrip)".
    const std::vector<std::string>& left_out() const { return left_out_; }

    /// Where the output grows until it is whole.
    const std::filesystem::path& partial_path() const { return partial_->path(); }

private:
    void open_folder() {
        std::error_code failure;
        if (std::filesystem::exists(path_, failure)) {
            require(std::filesystem::is_directory(path_, failure), path_.string(), ": a file of this name is in the ",
                    "way of the output folder. Choose another name, or add .mp4, .mov or .mkv for a video.");
            require(std::filesystem::is_empty(path_, failure) && !failure, path_.string(),
                    ": the output folder is not empty. Empty it or choose another.");
        }
        const auto hidden = "." + path_.filename().string() + ".partial";
        make_partial(path_.parent_path() / hidden);
        std::filesystem::create_directory(partial_->path(), failure);
        require(!failure, path_.string(), ": the output folder cannot be made (", failure.message(),
                "). Check that its parent exists and is writable.");
    }

    void open_file(const VideoWriterConfig& config, const AVFormatContext* source) {
        const std::string extension = lower_extension(path_);
        require(extension == ".mp4" || extension == ".mov" || extension == ".mkv", path_.string(), ": the extension \"",
                extension, "\" is not supported. Use .mp4, .mov or .mkv for a video, or a name without an extension ",
                "for a folder of PNG images.");
        const auto partial = path_.stem().string() + ".partial" + path_.extension().string();
        make_partial(path_.parent_path() / partial);
        file_ = std::make_unique<detail::VideoFile>(partial_->path(), path_.string(), info_, config, source, left_out_);
    }

    void make_partial(const std::filesystem::path& partial) {
        std::error_code failure;
        require(!std::filesystem::equivalent(partial, info_.path, failure), path_.string(), ": the output grows under ",
                "the name ", partial.string(), ", which is the input. Choose another name for the output.");
        partial_ = std::make_unique<detail::PartialPath>(partial, path_);
    }

    std::string image_name(const VideoFrame& frame) const {
        if (!frame.name.empty()) return frame.name;
        std::ostringstream name;
        name << std::setw(6) << std::setfill('0') << count_ + 1 << ".png";
        return name.str();
    }

    std::filesystem::path path_;
    VideoInfo info_;
    std::int64_t count_ = 0;
    std::vector<std::string> left_out_;
    std::unique_ptr<detail::PartialPath> partial_;  // outlives file_, which writes into it
    std::unique_ptr<detail::VideoFile> file_;
    PngWriter png_;
};

}  // namespace mia
