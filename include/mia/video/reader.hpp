#pragma once
#include <filesystem>
#include <memory>
#include <string>
#include <system_error>
#include <vector>

#include "mia/core/error.hpp"
#include "mia/video/ffmpeg.hpp"
#include "mia/video/frame.hpp"
#include "mia/video/image_files.hpp"
#include "mia/video/image_source.hpp"
#include "mia/video/reader_config.hpp"
#include "mia/video/stream_source.hpp"
#include "mia/video/video_source.hpp"

namespace mia {
namespace detail {

inline std::unique_ptr<VideoSource> open_source(const std::filesystem::path& path, const VideoReaderConfig& config) {
    const auto stream = [&] { return std::make_unique<StreamSource>(path, config); };
    if (path == "-") return stream();
    std::error_code failure;
    const auto status = std::filesystem::status(path, failure);
    if (status.type() == std::filesystem::file_type::not_found) {
        require(path.filename().string().find('%') != std::string::npos, path.string(),
                ": no such file or folder. Check the path.");
        return std::make_unique<ImageSource>(path, list_numbered(path), config);
    }
    require(!failure, path.string(), ": cannot be opened (", failure.message(), "). Check its permissions.");
    if (std::filesystem::is_directory(status)) return std::make_unique<ImageSource>(path, list_images(path), config);
    if (std::filesystem::is_regular_file(status) && image_kind(path) != ImageKind::none)
        return std::make_unique<ImageSource>(path, std::vector{path}, config);
    return stream();
}

}  // namespace detail

/// Frames out of
///   - a video file of any kind that FFmpeg's libraries read,
///   - a folder of images (PNG, JPEG, TIFF, BMP or WebP, one kind) in natural order, or one image,
///   - numbered images, named by a pattern such as "frames/%05d.png", from the lowest number that exists,
///   - a pipe: "-" is standard input, and a named pipe is taken like a file; y4m, or what else can be read without
///   going
///     back.
/// Images have no times: they come at VideoReaderConfig::frame_rate. A part of the video is read when `start` or `end`
/// is set: its frames, and the packets of other streams that begin within it, get the times that the whole's beginning
/// would have had. Frames before the part are decoded and dropped, so that a part's frames are exactly the whole's.
/// One thread at a time.
class VideoReader {
public:
    /// Waits for the first frames of a pipe. Error when the path is missing or unreadable, is no video, holds no video
    /// stream or no frame, is encrypted, interlaced (unless `deinterlace` is set) or larger than `max_pixels`, is cut
    /// short as its headers tell, and when the part that was asked for holds no frame.
    explicit VideoReader(const std::filesystem::path& path, const VideoReaderConfig& config = {})
        : source_(detail::open_source(path, config)) {}

    const VideoInfo& info() const { return source_->info(); }

    /// The container with its streams, for writers that copy some of them; null for images. Rotation, mastering display
    /// and light level are the video stream's side data, also where only its first frame told them.
    const AVFormatContext* streams() const { return source_->streams(); }

    /// The next frame; false after the last one. Its pts, in units of the info's time_base, is the file's, or counted
    /// from the frame rate where the file has none; pts grow from frame to frame, and may begin below 0. Error when
    /// the file is damaged, changes its size, pixel format or colours midway, or when its times do not grow.
    bool read(VideoFrame& frame) { return source_->read(frame); }

    /// The next of the other streams' packets met so far, in the file's order; its stream_index is the file's. False
    /// when there is none yet. After the last frame all that are left come out.
    bool take_packet(Packet& packet) { return source_->take_packet(packet); }

private:
    std::unique_ptr<detail::VideoSource> source_;
};

}  // namespace mia
