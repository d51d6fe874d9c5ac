#pragma once
#include <unistd.h>

#include <cstdint>
#include <filesystem>
#include <memory>
#include <string>
#include <system_error>
#include <utility>
#include <vector>

#include "mia/core/error.hpp"
#include "mia/video/ffmpeg.hpp"
#include "mia/video/frame.hpp"
#include "mia/video/frame_output.hpp"
#include "mia/video/image_output.hpp"
#include "mia/video/resize_frame.hpp"
#include "mia/video/video_output.hpp"
#include "mia/video/writer_config.hpp"
#include "mia/video/y4m_writer.hpp"

namespace mia {

/// Frames into a video file (.mp4, .mov, .mkv, .webm, and what else FFmpeg's libraries write), into a folder of PNG
/// images (any path without an extension), or as y4m to standard output ("-").
///
/// A file or folder appears under its name only when finish() has returned. Until then it grows in a folder beside it,
/// OUTPUT.partial, chunk by chunk: what end_chunk() has returned from is on the disk, whatever happens to the process
/// or the machine, and a later run with the same input and options can go on from there. Such a run gives the same
/// bytes as one that was never interrupted. Meanwhile, and for a moment more in finish(), the disk holds the output
/// twice.
///
/// One thread at a time.
class VideoWriter {
public:
    /// `info` describes the output: size, time base, colour, depth and whatever else was true of the input; `info.path`
    /// is the input, which the output must not be. `source`, when given, is read by this constructor: its streams
    /// beside the video are declared in the output, with metadata and chapters, so that their packets can be written.
    /// Error, before any work: when the output exists, cannot be written, is being written by another process, or is
    /// the input; when an unfinished run is there, or is another one than this; when the output cannot hold a stream;
    /// when codec and options do not fit.
    VideoWriter(const std::filesystem::path& path, const VideoInfo& info, const VideoWriterConfig& config = {},
                const AVFormatContext* source = nullptr)
        : path_(path.has_filename() ? path : path.parent_path()), info_(info) {
        check_size();
        if (path == "-") {
            output_ = std::make_unique<detail::Y4mWriter>(STDOUT_FILENO, "standard output", info, config);
            return;
        }
        check_is_not_input();
        std::error_code failure;
        if (std::filesystem::is_directory(path_, failure) || !path.has_filename() || !path_.has_extension())
            output_ = std::make_unique<detail::ImageOutput>(path_, info, config);
        else
            output_ = std::make_unique<detail::VideoOutput>(path_, info, config, source);
        count_ = output_->frames_done();
    }

    /// Frames that an earlier, interrupted run has finished: the first frame to be written is this one. 0 without one.
    std::int64_t frames_done() const { return output_->frames_done(); }

    /// The next frame; its pts and duration are kept, in units of `info.time_base`. Of another size than `info` says it
    /// is resized (bicubic). Error when the pts does not grow, and when writing fails.
    void write(const VideoFrame& frame) {
        require(!has_pts_ || frame.pts > last_pts_, path_.string(), ": frame ", count_, " has the time stamp ",
                frame.pts, ", the one before it ", last_pts_,
                ". Time stamps must grow; remux the input with ffmpeg -fflags +genpts.");
        last_pts_ = frame.pts;
        has_pts_ = true;
        output_->write(frame.height == info_.height && frame.width == info_.width ? frame : resized(frame));
        ++count_;
    }

    /// A packet of the source's other streams, byte for byte and with its time; of streams that the output does not
    /// hold it is passed over. All packets from the first one on are to be given, in the same order in every run: a
    /// resumed one passes over those that it has. The packet's content is taken.
    void write(Packet& packet) { output_->write(packet); }

    /// Makes what was written since the last call an encoded segment of its own that a later run can start from. Where
    /// the calls are must depend on the input alone, or a resumed run would not have the bytes of an uninterrupted one.
    void end_chunk() { output_->end_chunk(); }

    /// Completes the output and gives it its name.
    void finish() {
        require(count_ > 0, path_.string(), ": no frame was written, there is no output. Give at least one frame.");
        output_->finish();
    }

    /// Whether something stays on the disk when the writer is destroyed without finish(), for a later run to resume.
    bool resumable() const { return output_->resumable(); }

    /// What of the source is left out because the output cannot hold it, one line each: "stream 2, subtitle (subrip)".
    const std::vector<std::string>& left_out() const { return output_->left_out; }

    /// What was found damaged when an unfinished run was taken up, and what that means; else empty.
    std::string note() const { return output_->note(); }

    /// The folder where the output grows until it is whole; empty for standard output.
    std::filesystem::path partial_path() const { return output_->partial_path(); }

private:
    void check_size() const {
        require(info_.width > 0 && info_.height > 0, path_.string(), ": the output's size is ", info_.width, " x ",
                info_.height, ". Give the size of its frames.");
    }

    void check_is_not_input() const {
        std::error_code failure;
        require(!std::filesystem::equivalent(path_, info_.path, failure), path_.string(),
                ": the output is the input. Choose another name for the output.");
        const std::filesystem::path partial = path_.string() + ".partial";
        require(!std::filesystem::equivalent(partial, info_.path, failure), path_.string(),
                ": the output grows in the ", "folder ", partial.string(),
                ", which is the input. Choose another name for the output.");
    }

    const VideoFrame& resized(const VideoFrame& frame) {
        resized_.resize(info_.height, info_.width);
        resizer_.resize(frame.view(), resized_.view());
        resized_.pts = frame.pts;
        resized_.duration = frame.duration;
        resized_.name = frame.name;
        return resized_;
    }

    std::filesystem::path path_;
    VideoInfo info_;
    std::unique_ptr<detail::FrameOutput> output_;
    FrameResizer resizer_;
    VideoFrame resized_;
    std::int64_t count_ = 0, last_pts_ = 0;
    bool has_pts_ = false;
};

}  // namespace mia
