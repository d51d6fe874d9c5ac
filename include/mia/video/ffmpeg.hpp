#pragma once
#include "mia/core/error.hpp"

extern "C" {
#include <libavcodec/avcodec.h>
#include <libavformat/avformat.h>
#include <libavutil/avutil.h>
#include <libavutil/imgutils.h>
#include <libavutil/opt.h>
#include <libavutil/pixdesc.h>
}

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <filesystem>
#include <memory>
#include <span>
#include <string>
#include <utility>

namespace mia {

/// Keeps FFmpeg's libraries from writing to stderr, for the whole process. The library never calls it: their messages
/// are the program's to show or to hide; what matters of them reaches the caller as an Error.
inline void silence_ffmpeg() {
    av_log_set_level(AV_LOG_QUIET);
    ::setenv("SVT_LOG", "0", 0);  // the AV1 encoder has a voice of its own
}

/// One coded piece of audio, subtitles or video with its time stamps, owned.
class Packet {
public:
    Packet() : packet_(av_packet_alloc()) { require(packet_ != nullptr, "FFmpeg: no memory for a packet"); }
    Packet(Packet&& other) noexcept : packet_(std::exchange(other.packet_, nullptr)) {}
    Packet& operator=(Packet&& other) noexcept {
        std::swap(packet_, other.packet_);
        return *this;
    }
    ~Packet() { av_packet_free(&packet_); }

    AVPacket* get() const { return packet_; }
    AVPacket* operator->() const { return packet_; }

private:
    AVPacket* packet_;
};

namespace detail {

struct FreeFrame {
    void operator()(AVFrame* frame) const { av_frame_free(&frame); }
};
struct FreeCodec {
    void operator()(AVCodecContext* codec) const { avcodec_free_context(&codec); }
};
struct CloseInput {
    void operator()(AVFormatContext* format) const { avformat_close_input(&format); }
};
struct CloseOutput {
    void operator()(AVFormatContext* format) const {
        if (format->pb != nullptr) avio_closep(&format->pb);
        avformat_free_context(format);
    }
};

using FramePtr = std::unique_ptr<AVFrame, FreeFrame>;
using CodecPtr = std::unique_ptr<AVCodecContext, FreeCodec>;
using InputPtr = std::unique_ptr<AVFormatContext, CloseInput>;
using OutputPtr = std::unique_ptr<AVFormatContext, CloseOutput>;

/// FFmpeg's words for its error code.
inline std::string av_text(int code) {
    char words[AV_ERROR_MAX_STRING_SIZE] = {};
    av_strerror(code, words, sizeof words);
    return words;
}

/// Throws Error(text(parts..., FFmpeg's words)) when `code` is negative.
template <class... Parts>
int av_check(int code, const Parts&... parts) {
    if (code < 0) [[unlikely]]
        throw Error(text(parts..., ": ", av_text(code)));
    return code;
}

inline FramePtr make_frame() {
    FramePtr frame(av_frame_alloc());
    require(frame != nullptr, "FFmpeg: no memory for a frame");
    return frame;
}

inline CodecPtr make_codec(const AVCodec* codec) {
    CodecPtr context(avcodec_alloc_context3(codec));
    require(context != nullptr, "FFmpeg: no memory for the codec ", codec->name);
    return context;
}

/// The path as FFmpeg's file protocol takes it, so that "a:b.mp4" is a file and not a protocol named "a".
inline std::string file_url(const std::filesystem::path& path) { return "file:" + path.string(); }

inline std::int64_t duration_of(const AVFrame& frame) {
#if LIBAVUTIL_VERSION_INT >= AV_VERSION_INT(57, 30, 100)
    return frame.duration;
#else
    return frame.pkt_duration;
#endif
}

/// Bits of a sample, 8 for those of a palette; 0 for an unknown format.
inline int sample_depth(AVPixelFormat format) {
    const AVPixFmtDescriptor* desc = av_pix_fmt_desc_get(format);
    return desc != nullptr ? desc->comp[0].depth : 0;
}

/// FFmpeg's name of a pixel format: "yuv420p".
inline const char* format_name(int format) {
    const char* name = av_get_pix_fmt_name(AVPixelFormat(format));
    return name != nullptr ? name : "unknown";
}

/// Adds to what a stream says of itself beside its codec. The data are copied.
inline void add_side_data(AVStream& to, AVPacketSideDataType type, const std::uint8_t* data, std::size_t size) {
#if LIBAVFORMAT_VERSION_INT >= AV_VERSION_INT(60, 15, 100)
    AVPacketSideData* added =
        av_packet_side_data_new(&to.codecpar->coded_side_data, &to.codecpar->nb_coded_side_data, type, size, 0);
    std::uint8_t* copy = added != nullptr ? added->data : nullptr;
#else
    std::uint8_t* copy = av_stream_new_side_data(&to, type, size);
#endif
    require(copy != nullptr, "FFmpeg: no memory for a stream's side data");
    std::copy_n(data, size, copy);
}

/// What a stream says of itself beside its codec.
inline std::span<const AVPacketSideData> side_data_of(const AVStream& stream) {
#if LIBAVFORMAT_VERSION_INT >= AV_VERSION_INT(60, 15, 100)
    return {stream.codecpar->coded_side_data, std::size_t(stream.codecpar->nb_coded_side_data)};
#else
    return {stream.side_data, std::size_t(stream.nb_side_data)};
#endif
}

/// The stream's side data of that type; null when there is none.
inline const AVPacketSideData* find_side_data(const AVStream& stream, AVPacketSideDataType type) {
    for (const AVPacketSideData& data : side_data_of(stream))
        if (data.type == type) return &data;
    return nullptr;
}

/// Copies what a stream says of itself beside its codec: display matrix (rotation), mastering display, light levels.
inline void copy_side_data(const AVStream& from, AVStream& to) {
    for (const AVPacketSideData& data : side_data_of(from)) add_side_data(to, data.type, data.data, data.size);
}

}  // namespace detail
}  // namespace mia
