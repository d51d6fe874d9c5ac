#pragma once
#include <signal.h>
#include <unistd.h>

#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <ctime>
#include <string>
#include <vector>

#include "mia/core/error.hpp"
#include "mia/video/color.hpp"
#include "mia/video/ffmpeg.hpp"
#include "mia/video/frame.hpp"
#include "mia/video/frame_output.hpp"
#include "mia/video/pixel_format.hpp"
#include "mia/video/writer_config.hpp"

// y4m: a line of text, then for each frame a line "FRAME" and its planes, samples of more than 8 bits little endian.
// https://wiki.multimedia.cx/index.php/YUV4MPEG2; the depths above 8 and XCOLORRANGE as FFmpeg and mpv know them.

namespace mia::detail {

/// Keeps a closed pipe from ending the process: write() then fails with EPIPE instead. For the calling thread only, and
/// without a trace in the process' signal handlers.
class WithoutSigpipe {
public:
    WithoutSigpipe() {
        sigset_t pending;
        sigpending(&pending);
        was_pending_ = sigismember(&pending, SIGPIPE) == 1;
        sigemptyset(&pipe_);
        sigaddset(&pipe_, SIGPIPE);
        pthread_sigmask(SIG_BLOCK, &pipe_, &before_);
    }
    WithoutSigpipe(const WithoutSigpipe&) = delete;
    WithoutSigpipe& operator=(const WithoutSigpipe&) = delete;
    ~WithoutSigpipe() {
        const timespec at_once = {};
        if (!was_pending_)
            while (sigtimedwait(&pipe_, nullptr, &at_once) < 0 && errno == EINTR) {
            }
        pthread_sigmask(SIG_SETMASK, &before_, nullptr);
    }

private:
    sigset_t pipe_, before_;
    bool was_pending_ = false;
};

/// The name of a chroma layout in y4m's header.
inline std::string y4m_colorspace(const AVPixFmtDescriptor& desc, AVChromaLocation location) {
    const int depth = desc.comp[0].depth;
    std::string name = desc.log2_chroma_h == 1 ? "420" : desc.log2_chroma_w == 1 ? "422" : "444";
    if (depth > 8) return text(name, "p", depth);
    if (name == "420")
        name += location == AVCHROMA_LOC_CENTER ? "jpeg" : location == AVCHROMA_LOC_TOPLEFT ? "paldv" : "mpeg2";
    return name;
}

/// Frames as y4m into an open file or pipe: for other programs to encode. Frames follow each other at the frame rate:
/// y4m has no times. Nothing can be resumed.
class Y4mWriter : public FrameOutput {
public:
    /// `file` stays open; `name` is what messages call it.
    Y4mWriter(int file, std::string name, const VideoInfo& info, const VideoWriterConfig& config)
        : file_(file), name_(std::move(name)), color_(output_color(info.color)) {
        const AVPixelFormat format = choose_format(info, config);
        const AVPixFmtDescriptor& desc = *av_pix_fmt_desc_get(format);
        picture_->width = info.width;
        picture_->height = info.height;
        picture_->format = format;
        av_check(av_frame_get_buffer(picture_.get(), 0), name_, ": a picture of ", info.width, " x ", info.height);
        const AVRational rate = info.frame_rate.num > 0 ? info.frame_rate : AVRational{25, 1};
        const AVRational aspect = info.sample_aspect_ratio;
        header_ = text("YUV4MPEG2 W", info.width, " H", info.height, " F", rate.num, ":", rate.den, " Ip A", aspect.num,
                       ":", aspect.num == 0 ? 0 : aspect.den, " C", y4m_colorspace(desc, color_.chroma_location),
                       " XCOLORRANGE=", color_.range == AVCOL_RANGE_JPEG ? "FULL" : "LIMITED", "\n");
    }

    void write(const VideoFrame& frame) override {
        from_rgb_.convert(frame.view(), color_, *picture_);
        bytes_.assign(header_.begin(), header_.end());
        header_.clear();
        append("FRAME\n", 6);
        const AVPixFmtDescriptor& desc = *av_pix_fmt_desc_get(AVPixelFormat(picture_->format));
        for (int plane = 0; plane < 3; ++plane) {
            const int width = plane == 0 ? picture_->width : AV_CEIL_RSHIFT(picture_->width, desc.log2_chroma_w);
            const int height = plane == 0 ? picture_->height : AV_CEIL_RSHIFT(picture_->height, desc.log2_chroma_h);
            const std::size_t row = std::size_t(width) * (desc.comp[0].depth > 8 ? 2 : 1);
            for (int y = 0; y < height; ++y)
                append(picture_->data[plane] + std::ptrdiff_t(y) * picture_->linesize[plane], row);
        }
        send();
    }

    void finish() override {}

private:
    /// What the codec "rawvideo" would take, of the formats that y4m names.
    static AVPixelFormat choose_format(const VideoInfo& info, const VideoWriterConfig& config) {
        static constexpr AVPixelFormat known[] = {
            AV_PIX_FMT_YUV420P,     AV_PIX_FMT_YUV422P,     AV_PIX_FMT_YUV444P,     AV_PIX_FMT_YUV420P10LE,
            AV_PIX_FMT_YUV422P10LE, AV_PIX_FMT_YUV444P10LE, AV_PIX_FMT_YUV420P12LE, AV_PIX_FMT_YUV422P12LE,
            AV_PIX_FMT_YUV444P12LE, AV_PIX_FMT_YUV420P16LE, AV_PIX_FMT_YUV422P16LE, AV_PIX_FMT_YUV444P16LE};
        AVPixelFormat format = av_get_pix_fmt(config.pixel_format.c_str());
        if (config.pixel_format.empty()) {
            const int depth = output_depth(info, config);
            const std::size_t row = depth <= 8 ? 0 : depth <= 10 ? 1 : depth <= 12 ? 2 : 3;
            const bool even = info.width % 2 == 0 && info.height % 2 == 0;
            format = known[3 * row + (even ? 0 : 2)];
        }
        require(std::find(std::begin(known), std::end(known), format) != std::end(known), "y4m has no pixel format \"",
                config.pixel_format,
                "\". Use yuv420p, yuv422p or yuv444p, or these of 10, 12 or 16 bits: yuv420p10le.");
        require(halves_evenly(*av_pix_fmt_desc_get(format), info.width, info.height), "y4m: ", config.pixel_format,
                " needs an even size, the output is ", info.width, " x ", info.height, ". Use yuv444p.");
        return format;
    }

    void append(const void* from, std::size_t size) {
        const auto* bytes = static_cast<const std::uint8_t*>(from);
        bytes_.insert(bytes_.end(), bytes, bytes + size);
    }

    void send() const {
        const WithoutSigpipe guard;
        for (std::size_t sent = 0; sent < bytes_.size();) {
            const ssize_t count = ::write(file_, bytes_.data() + sent, bytes_.size() - sent);
            if (count < 0 && errno == EINTR) continue;
            require(count >= 0 || errno != EPIPE, name_, ": the program that reads it has ended (",
                    std::strerror(EPIPE), "). See what that one says.");
            require(count >= 0, name_, ": cannot be written (", std::strerror(errno), ").");
            sent += std::size_t(count);
        }
    }

    int file_;
    std::string name_, header_;  // header_ is empty once it was sent
    VideoColor color_;
    FramePtr picture_ = make_frame();
    FromRgb from_rgb_;
    std::vector<std::uint8_t> bytes_;  // of one frame
};

}  // namespace mia::detail
