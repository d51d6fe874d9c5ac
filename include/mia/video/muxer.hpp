#pragma once
#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "mia/core/error.hpp"
#include "mia/video/durable_file.hpp"
#include "mia/video/ffmpeg.hpp"
#include "mia/video/frame.hpp"
#include "mia/video/stream_copy.hpp"

namespace mia::detail {

/// A video file that packets are put into: one video stream, and what is copied from the source. The same packets give
/// the same bytes.
class Muxer {
public:
    /// Writes the file's header, so that what a container refuses is refused now. `name` is what messages call the file
    /// at `path`; `source`, which may be null, is not kept.
    Muxer(const std::filesystem::path& path, std::string name, const AVOutputFormat& container, const VideoInfo& info,
          const AVCodecParameters& video, const AVFormatContext* source)
        : path_(path), name_(std::move(name)), video_time_base_(info.time_base) {
        AVFormatContext* made = nullptr;
        av_check(avformat_alloc_output_context2(&made, &container, nullptr, file_url(path).c_str()), name_);
        file_.reset(made);
        // Time stamps stay what they are: edit lists and block times hold negative ones as well.
        file_->avoid_negative_ts = AVFMT_AVOID_NEG_TS_DISABLED;
        file_->flags |= AVFMT_FLAG_BITEXACT;         // no random numbers for Matroska's identifiers
        file_->max_interleave_delta = AV_TIME_BASE;  // packets come nearly in order; few have to wait in memory
        add_video(info, video, source);
        if (source != nullptr) add_copies(*source, info);
        const int code = avio_open(&file_->pb, file_url(path).c_str(), AVIO_FLAG_WRITE);
        require(code >= 0, name_, ": cannot be written (", av_text(code), "). Check that its folder exists and is ",
                "writable.");
        av_check(avformat_write_header(file_.get(), nullptr), name_, ": a ", container.name,
                 " file cannot hold these streams");
        for (Packet& picture : covers_) mux(*picture.get());
    }

    /// Whether packets of this stream of the source are wanted.
    bool holds(int source_stream) const {
        return source_stream >= 0 && std::size_t(source_stream) < copies_.size() &&
               copies_[std::size_t(source_stream)].to >= 0;
    }
    AVRational time_base(int source_stream) const { return copies_[std::size_t(source_stream)].time_base; }

    /// From now on all streams are this much later, in units of info.time_base.
    void delay(std::int64_t ticks) { delay_ = ticks; }

    /// A packet of the video, with all its times, in units of info.time_base.
    void write_video(AVPacket& packet) { write(packet, 0, video_time_base_); }

    /// A packet of a stream of the source that holds() is true of.
    void write_copy(AVPacket& packet, int source_stream) {
        const auto [to, time_base] = copies_[std::size_t(source_stream)];
        write(packet, to, time_base);
    }

    /// Completes the file, on the disk.
    void finish() {
        check(av_write_trailer(file_.get()));
        check(avio_closep(&file_->pb));
        sync_to_disk(path_);
    }

private:
    struct Copy {
        int to = -1;  // stream of the output, -1: none
        AVRational time_base = {0, 1};
    };

    void add_video(const VideoInfo& info, const AVCodecParameters& video, const AVFormatContext* source) {
        AVStream& stream = add_stream(*file_);
        av_check(avcodec_parameters_copy(stream.codecpar, &video), name_, ": stream parameters");
        const std::string_view container = file_->oformat->name;
        if (video.codec_id == AV_CODEC_ID_HEVC && (container == "mp4" || container == "mov"))
            stream.codecpar->codec_tag = MKTAG('h', 'v', 'c', '1');  // Apple's players know no other
        stream.time_base = info.time_base;
        stream.avg_frame_rate = info.frame_rate;
        stream.sample_aspect_ratio = info.sample_aspect_ratio;
        if (source == nullptr || info.stream_index < 0) return;
        const AVStream& from = *source->streams[info.stream_index];
        copy_metadata(&stream.metadata, from.metadata);
        stream.disposition = from.disposition;
        copy_side_data(from, stream);
    }

    void add_copies(const AVFormatContext& source, const VideoInfo& info) {
        copies_.resize(source.nb_streams);
        for (unsigned i = 0; i < source.nb_streams; ++i) {
            const AVStream& from = *source.streams[i];
            if (int(i) == info.stream_index || is_made_anew(from, source) || !can_copy(from, *file_->oformat)) continue;
            const AVStream& to = add_copy(*file_, from);
            if (!is_cover(from))
                copies_[i] = {to.index, from.time_base};
            else if (to.codecpar->codec_type == AVMEDIA_TYPE_VIDEO)
                add_cover(from, to.index);
        }
        copy_metadata(&file_->metadata, source.metadata);
        copy_chapters(source, info, *file_);
    }

    void add_cover(const AVStream& from, int to) {
        Packet& picture = covers_.emplace_back();
        av_check(av_packet_ref(picture.get(), &from.attached_pic), name_, ": a cover picture");
        picture->stream_index = to;
        picture->pts = picture->dts = 0;
    }

    void write(AVPacket& packet, int stream, AVRational time_base) {
        packet.stream_index = stream;
        packet.pos = -1;
        const std::int64_t delay = av_rescale_q(delay_, video_time_base_, time_base);
        if (packet.pts != AV_NOPTS_VALUE) packet.pts += delay;
        if (packet.dts != AV_NOPTS_VALUE) packet.dts += delay;
        av_packet_rescale_ts(&packet, time_base, file_->streams[stream]->time_base);
        mux(packet);
    }

    void mux(AVPacket& packet) { check(av_interleaved_write_frame(file_.get(), &packet)); }

    void check(int code) const {
        if (code >= 0) return;
        const int error = AVUNERROR(code);
        if (error == ENOSPC || error == EDQUOT || error == EFBIG || error == EIO) fail_to_write(name_, error);
        av_check(code, name_, ": the container does not take a packet or its end. Choose another one, such as .mkv");
    }

    std::filesystem::path path_;
    std::string name_;
    AVRational video_time_base_;
    std::int64_t delay_ = 0;
    OutputPtr file_;
    std::vector<Copy> copies_;  // by stream of the source
    std::vector<Packet> covers_;
};

}  // namespace mia::detail
