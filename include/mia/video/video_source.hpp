#pragma once
#include "mia/video/ffmpeg.hpp"
#include "mia/video/frame.hpp"

namespace mia::detail {

/// What VideoReader reads from: one class for each way in which frames come.
class VideoSource {
public:
    VideoSource() = default;
    VideoSource(const VideoSource&) = delete;
    VideoSource& operator=(const VideoSource&) = delete;
    virtual ~VideoSource() = default;

    const VideoInfo& info() const { return info_; }

    /// The next frame; false at the end.
    virtual bool read(VideoFrame& frame) = 0;
    /// The next packet of the other streams; false when there is none yet.
    virtual bool take_packet(Packet&) { return false; }
    /// The container with its streams; null when there is none.
    virtual const AVFormatContext* streams() const { return nullptr; }

protected:
    VideoInfo info_;
};

}  // namespace mia::detail
