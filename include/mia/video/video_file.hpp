#pragma once
#include <cstdint>
#include <filesystem>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "mia/core/error.hpp"
#include "mia/video/color.hpp"
#include "mia/video/ffmpeg.hpp"
#include "mia/video/frame.hpp"
#include "mia/video/writer_config.hpp"

namespace mia {

namespace detail {

/// One video file being written: the encoder, the muxer, and the streams copied from the source.
class VideoFile {
public:
    /// `path` is the file, `name` what messages call it. Appends to `left_out` what the container cannot hold.
    VideoFile(const std::filesystem::path& path, std::string name, const VideoInfo& info,
              const VideoWriterConfig& config, const AVFormatContext* source, std::vector<std::string>& left_out)
        : name_(std::move(name)), info_(info), color_(output_color(info.color)) {
        AVFormatContext* made = nullptr;
        avformat_alloc_output_context2(&made, nullptr, nullptr, path.c_str());
        file_.reset(made);
        require(file_ != nullptr, name_, ": FFmpeg's libraries cannot write this container. Use .mp4, .mov or .mkv.");
        // Time stamps stay what they are: edit lists and block times hold negative ones as well.
        file_->avoid_negative_ts = AVFMT_AVOID_NEG_TS_DISABLED;
        open_encoder(config);
        add_video_stream();
        if (source != nullptr) copy_streams(*source, left_out);
        const int code = avio_open(&file_->pb, file_url(path).c_str(), AVIO_FLAG_WRITE);
        require(code >= 0, name_, ": the output cannot be written (", av_text(code),
                "). Check that its folder exists and is writable.");
        av_check(avformat_write_header(file_.get(), nullptr), name_, ": the container's header cannot be written");
    }

    void write(const VideoFrame& frame) {
        require(count_ == 0 || frame.pts > last_pts_, name_, ": frame ", count_, " has the time stamp ", frame.pts,
                ", the one before it ", last_pts_,
                ". Time stamps must grow; remux the input with ffmpeg -fflags +genpts.");
        last_pts_ = frame.pts;
        // The encoder may still hold the buffer of an earlier frame.
        av_check(av_frame_make_writable(picture_.get()), name_, ": frame ", count_);
        from_rgb_.convert(frame.view(), color_, *picture_);
        picture_->pts = frame.pts;
        durations_.emplace_back(frame.pts, frame.duration);
        av_check(avcodec_send_frame(encoder_.get(), picture_.get()), name_, ": frame ", count_, " cannot be encoded");
        ++count_;
        write_encoded();
    }

    void write(Packet& packet) {
        const auto index = std::size_t(packet->stream_index);
        if (index >= copied_.size() || copied_[index].to < 0) return;
        const auto [to, time_base] = copied_[index];
        packet->stream_index = to;
        packet->pos = -1;
        av_packet_rescale_ts(packet.get(), time_base, file_->streams[to]->time_base);
        mux(packet);
    }

    void finish() {
        av_check(avcodec_send_frame(encoder_.get(), nullptr), name_, ": the last frames cannot be encoded");
        write_encoded();
        av_check(av_write_trailer(file_.get()), name_, ": the end of the file cannot be written");
        av_check(avio_closep(&file_->pb), name_, ": the file cannot be closed. Check the free space");
    }

private:
    struct Copied {
        int to = -1;  // stream of the output, -1 none
        AVRational time_base = {0, 1};
    };

    void open_encoder(const VideoWriterConfig& config) {
        const char* wanted = config.codec == "ffv1" ? "ffv1" : "libx264";
        const double crf = config.crf.value_or(16);
        const std::string preset = config.preset.empty() ? "medium" : config.preset;
        const AVCodec* codec = avcodec_find_encoder_by_name(wanted);
        require(codec != nullptr, name_, ": FFmpeg's libraries have no encoder ", wanted,
                ". Install a build of them that has it, or write PNG images.");
        const bool odd = info_.width % 2 != 0 || info_.height % 2 != 0;
        encoder_ = make_codec(codec);
        encoder_->width = info_.width;
        encoder_->height = info_.height;
        encoder_->pix_fmt = odd ? AV_PIX_FMT_YUV444P : AV_PIX_FMT_YUV420P;
        encoder_->time_base = info_.time_base;
        encoder_->framerate = info_.frame_rate.num > 0 ? info_.frame_rate : AVRational{25, 1};
        encoder_->sample_aspect_ratio = info_.sample_aspect_ratio;
        encoder_->colorspace = color_.matrix;
        encoder_->color_range = color_.range;
        encoder_->color_primaries = color_.primaries;
        encoder_->color_trc = color_.transfer;
        encoder_->chroma_sample_location = color_.chroma_location;
        encoder_->thread_count = config.threads;
        if ((file_->oformat->flags & AVFMT_GLOBALHEADER) != 0) encoder_->flags |= AV_CODEC_FLAG_GLOBAL_HEADER;
        if (config.codec != "ffv1") {
            av_check(av_opt_set_double(encoder_->priv_data, "crf", crf, 0), name_, ": crf ", crf);
            av_check(av_opt_set(encoder_->priv_data, "preset", preset.c_str(), 0), name_, ": preset ", preset);
        }
        av_check(avcodec_open2(encoder_.get(), codec, nullptr), name_, ": the encoder ", wanted, " does not take ",
                 info_.width, " x ", info_.height, " with preset \"", preset, "\"");

        picture_ = make_frame();
        picture_->width = info_.width;
        picture_->height = info_.height;
        picture_->format = encoder_->pix_fmt;
        picture_->colorspace = color_.matrix;
        picture_->color_range = color_.range;
        picture_->color_primaries = color_.primaries;
        picture_->color_trc = color_.transfer;
        picture_->chroma_location = color_.chroma_location;
        av_check(av_frame_get_buffer(picture_.get(), 0), name_, ": a picture of ", info_.width, " x ", info_.height);
    }

    AVStream& new_stream() {
        AVStream* stream = avformat_new_stream(file_.get(), nullptr);
        require(stream != nullptr, name_, ": no memory for a stream");
        return *stream;
    }

    void add_video_stream() {
        AVStream& stream = new_stream();
        av_check(avcodec_parameters_from_context(stream.codecpar, encoder_.get()), name_, ": stream parameters");
        stream.time_base = info_.time_base;
        stream.avg_frame_rate = info_.frame_rate;
        stream.sample_aspect_ratio = info_.sample_aspect_ratio;
    }

    void copy_streams(const AVFormatContext& source, std::vector<std::string>& left_out) {
        copied_.resize(source.nb_streams);
        for (unsigned i = 0; i < source.nb_streams; ++i) {
            const AVStream& from = *source.streams[i];
            const AVMediaType type = from.codecpar->codec_type;
            if (int(i) == info_.stream_index) {
                av_dict_copy(&file_->streams[0]->metadata, from.metadata, 0);
                av_dict_set(&file_->streams[0]->metadata, "encoder", nullptr, 0);
                file_->streams[0]->disposition = from.disposition;
                copy_side_data(from, *file_->streams[0]);
                continue;
            }
            if (can_hold(from)) {
                copied_[i] = {copy_stream(from), from.time_base};
                continue;
            }
            // Chapters of an MP4 file are a text track besides, which FFmpeg writes anew by itself.
            if (type == AVMEDIA_TYPE_DATA && source.nb_chapters > 0) continue;
            const char* type_name = av_get_media_type_string(type);
            left_out.push_back(text("stream ", i, ", ", type_name != nullptr ? type_name : "unknown", " (",
                                    avcodec_get_name(from.codecpar->codec_id), ")"));
        }
        av_dict_copy(&file_->metadata, source.metadata, 0);
        for (const char* key : {"major_brand", "minor_version", "compatible_brands", "encoder"})
            av_dict_set(&file_->metadata, key, nullptr, 0);  // of the old file, not of the film
        copy_chapters(source);
    }

    bool can_hold(const AVStream& from) const {
        const AVMediaType type = from.codecpar->codec_type;
        if (type != AVMEDIA_TYPE_AUDIO && type != AVMEDIA_TYPE_SUBTITLE && type != AVMEDIA_TYPE_ATTACHMENT)
            return false;
        const bool matroska = std::string_view(file_->oformat->name) == "matroska";
        if (type == AVMEDIA_TYPE_ATTACHMENT) return matroska;
        return avformat_query_codec(file_->oformat, from.codecpar->codec_id, FF_COMPLIANCE_NORMAL) == 1;
    }

    int copy_stream(const AVStream& from) {
        AVStream& to = new_stream();
        av_check(avcodec_parameters_copy(to.codecpar, from.codecpar), name_, ": stream parameters");
        // A tag of the old container may be wrong in the new one; the muxer chooses its own.
        if (file_->oformat->codec_tag == nullptr ||
            av_codec_get_id(file_->oformat->codec_tag, to.codecpar->codec_tag) != to.codecpar->codec_id)
            to.codecpar->codec_tag = 0;
        to.time_base = from.time_base;
        to.disposition = from.disposition;
        av_dict_copy(&to.metadata, from.metadata, 0);
        copy_side_data(from, to);
        return to.index;
    }

    void copy_chapters(const AVFormatContext& source) {
        if (source.nb_chapters == 0) return;
        // avformat_free_context() frees what is put here.
        file_->chapters = static_cast<AVChapter**>(av_calloc(source.nb_chapters, sizeof(AVChapter*)));
        require(file_->chapters != nullptr, name_, ": no memory for chapters");
        for (unsigned i = 0; i < source.nb_chapters; ++i) {
            auto* chapter = static_cast<AVChapter*>(av_mallocz(sizeof(AVChapter)));
            require(chapter != nullptr, name_, ": no memory for chapters");
            chapter->id = source.chapters[i]->id;
            chapter->time_base = source.chapters[i]->time_base;
            chapter->start = source.chapters[i]->start;
            chapter->end = source.chapters[i]->end;
            av_dict_copy(&chapter->metadata, source.chapters[i]->metadata, 0);
            file_->chapters[file_->nb_chapters++] = chapter;
        }
    }

    void write_encoded() {
        for (;;) {
            const int code = avcodec_receive_packet(encoder_.get(), encoded_.get());
            if (code == AVERROR(EAGAIN) || code == AVERROR_EOF) return;
            av_check(code, name_, ": frames cannot be encoded");
            encoded_->stream_index = 0;
            encoded_->duration = take_duration(encoded_->pts);
            av_packet_rescale_ts(encoded_.get(), encoder_->time_base, file_->streams[0]->time_base);
            mux(encoded_);
        }
    }

    /// Encoders reorder frames and not all of them carry the duration along.
    std::int64_t take_duration(std::int64_t pts) {
        for (auto& entry : durations_)
            if (entry.first == pts) {
                const std::int64_t duration = entry.second;
                entry = durations_.back();
                durations_.pop_back();
                return duration;
            }
        return 0;
    }

    void mux(Packet& packet) {
        av_check(av_interleaved_write_frame(file_.get(), packet.get()), name_,
                 ": the file cannot be written. Check the free space");
    }

    std::string name_;
    VideoInfo info_;
    VideoColor color_;
    OutputPtr file_;
    CodecPtr encoder_;
    FramePtr picture_;
    Packet encoded_;
    FromRgb from_rgb_;
    std::vector<Copied> copied_;                                    // by stream of the source
    std::vector<std::pair<std::int64_t, std::int64_t>> durations_;  // pts and duration of frames in the encoder
    std::int64_t count_ = 0, last_pts_ = 0;
};

}  // namespace detail
}  // namespace mia
