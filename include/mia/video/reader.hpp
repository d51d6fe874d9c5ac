#pragma once
#include <algorithm>
#include <cmath>
#include <cstdint>
#include <deque>
#include <filesystem>
#include <memory>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>
#include <vector>

#include "mia/core/error.hpp"
#include "mia/video/color.hpp"
#include "mia/video/container_check.hpp"
#include "mia/video/ffmpeg.hpp"
#include "mia/video/frame.hpp"
#include "mia/video/images.hpp"

namespace mia {

struct VideoReaderConfig {
    bool keep_packets = false;  ///< keep packets of other streams for take_packet(); who sets it must take them
};

/// Frames out of a video file of any kind that FFmpeg's libraries read, or out of a folder of PNG images in natural
/// order (25 frames a second). One thread at a time.
class VideoReader {
public:
    /// Error when the path is missing, is no video, holds no video stream, or is cut short as its headers tell.
    explicit VideoReader(const std::filesystem::path& path, VideoReaderConfig config = {}) : config_(config) {
        std::error_code failure;
        info_.path = path;
        require(std::filesystem::exists(path, failure), name(), ": no such file or folder. Check the path.");
        if (std::filesystem::is_directory(path, failure))
            open_folder();
        else
            open_file();
    }

    const VideoInfo& info() const { return info_; }

    /// The file with its streams, for writers that copy some of them; null for a folder.
    const AVFormatContext* streams() const { return file_.get(); }

    /// The next frame; false after the last one. Error when the file is damaged, when it holds no frame at all, and
    /// when the size changes.
    bool read(VideoFrame& frame) { return info_.kind == SourceKind::images ? read_image(frame) : read_file(frame); }

    /// The next of the other streams' packets met so far, in the file's order; its stream_index is the file's. False
    /// when there is none yet.
    bool take_packet(Packet& packet) {
        if (packets_.empty()) return false;
        packet = std::move(packets_.front());
        packets_.pop_front();
        return true;
    }

private:
    std::string name() const { return info_.path.string(); }

    void open_folder() {
        images_ = list_png(info_.path);
        png_ = std::make_unique<PngReader>();
        VideoFrame first;
        png_->read(images_.front(), first);
        info_.kind = SourceKind::images;
        info_.width = first.width;
        info_.height = first.height;
        info_.frame_count = std::int64_t(images_.size());
        info_.seconds = double(info_.frame_count) * av_q2d(info_.time_base);
        info_.color.matrix = AVCOL_SPC_RGB;
        info_.color.range = AVCOL_RANGE_JPEG;
        info_.codec = "png";
    }

    bool read_image(VideoFrame& frame) {
        if (count_ == info_.frame_count) return false;
        png_->read(images_[std::size_t(count_)], frame);
        check_size(frame.width, frame.height, frame.name);
        frame.pts = count_++;
        frame.duration = 1;
        return true;
    }

    void open_file() {
        std::error_code failure;
        if (std::filesystem::is_regular_file(info_.path, failure)) {
            require(std::filesystem::file_size(info_.path, failure) > 0, name(),
                    ": the file is empty. Make or copy it again.");
            const std::uint64_t missing = missing_bytes(info_.path);
            require(missing == 0, name(), ": the file is cut short, at least ", missing,
                    " bytes are missing. Copy or download it again.");
        }
        AVFormatContext* opened = nullptr;
        const char* remedy = ". Check that it is a video: ffprobe FILE";
        int code = avformat_open_input(&opened, detail::file_url(info_.path).c_str(), nullptr, nullptr);
        file_.reset(opened);
        require(code >= 0, name(), ": not a video that FFmpeg can read (", detail::av_text(code), ")", remedy);
        code = avformat_find_stream_info(file_.get(), nullptr);
        require(code >= 0, name(), ": its streams cannot be read (", detail::av_text(code), ")", remedy);
        choose_stream();
        open_decoder();
        read_properties();
        if (!config_.keep_packets)
            for (unsigned i = 0; i < file_->nb_streams; ++i)
                if (int(i) != info_.stream_index) file_->streams[i]->discard = AVDISCARD_ALL;
    }

    void choose_stream() {
        info_.stream_index = av_find_best_stream(file_.get(), AVMEDIA_TYPE_VIDEO, -1, -1, nullptr, 0);
        if (info_.stream_index >= 0 &&
            (file_->streams[info_.stream_index]->disposition & AV_DISPOSITION_ATTACHED_PIC) == 0)
            return;
        std::string found;
        for (unsigned i = 0; i < file_->nb_streams; ++i) {
            const auto& stream = *file_->streams[i]->codecpar;
            const char* type = av_get_media_type_string(stream.codec_type);
            found += text(i > 0 ? ", " : "", type != nullptr ? type : "unknown", " (",
                          avcodec_get_name(stream.codec_id), ")");
        }
        throw Error(text(name(), ": no video stream. It holds ", found.empty() ? "nothing" : found,
                         ". Give a file with moving pictures."));
    }

    void open_decoder() {
        const AVStream& stream = *file_->streams[info_.stream_index];
        const AVCodec* codec = avcodec_find_decoder(stream.codecpar->codec_id);
        require(codec != nullptr, name(), ": FFmpeg's libraries have no decoder for ",
                avcodec_get_name(stream.codecpar->codec_id), ". Convert the video with another build of ffmpeg first.");
        decoder_ = detail::make_codec(codec);
        detail::av_check(avcodec_parameters_to_context(decoder_.get(), stream.codecpar), name(), ": ", codec->name);
        decoder_->pkt_timebase = stream.time_base;
        decoder_->thread_count = 1;  // the model needs the processor more
        detail::av_check(avcodec_open2(decoder_.get(), codec, nullptr), name(), ": the decoder ", codec->name,
                         " does not start");
        info_.codec = codec->name;
    }

    void read_properties() {
        AVStream& stream = *file_->streams[info_.stream_index];
        const AVCodecParameters& coded = *stream.codecpar;
        require(coded.width > 0 && coded.height > 0, name(), ": the video stream has no picture size (", coded.width,
                " x ", coded.height, "). The file is damaged; copy or download it again.");
        info_.width = coded.width;
        info_.height = coded.height;
        info_.time_base = stream.time_base;
        info_.frame_rate = av_guess_frame_rate(file_.get(), &stream, nullptr);
        if (stream.avg_frame_rate.num > 0) info_.frame_rate = stream.avg_frame_rate;
        info_.sample_aspect_ratio = av_guess_sample_aspect_ratio(file_.get(), &stream, nullptr);
        info_.pixel_format = AVPixelFormat(coded.format);
        if (const auto* format = av_pix_fmt_desc_get(info_.pixel_format)) info_.bit_depth = format->comp[0].depth;
        if (stream.duration != AV_NOPTS_VALUE)
            info_.seconds = double(stream.duration) * av_q2d(stream.time_base);
        else if (file_->duration != AV_NOPTS_VALUE)
            info_.seconds = double(file_->duration) / AV_TIME_BASE;
        info_.frame_count = stream.nb_frames;
        if (info_.frame_count <= 0 && info_.frame_rate.num > 0)
            info_.frame_count = std::llround(info_.seconds * av_q2d(info_.frame_rate));

        VideoColor& color = info_.color;
        color = {coded.color_space, coded.color_range, coded.color_primaries, coded.color_trc, coded.chroma_location};
        const AVPixFmtDescriptor* desc = av_pix_fmt_desc_get(info_.pixel_format);
        const bool rgb = desc != nullptr && (desc->flags & (AV_PIX_FMT_FLAG_RGB | AV_PIX_FMT_FLAG_PAL)) != 0;
        const bool grey = desc != nullptr && !rgb && desc->nb_components <= 2;
        const bool jpeg = desc != nullptr && std::string_view(desc->name).starts_with("yuvj");
        if (rgb) color.matrix = AVCOL_SPC_RGB;
        if (color.matrix == AVCOL_SPC_UNSPECIFIED) {
            color.matrix = customary_matrix(info_.width, info_.height);
            color.guessed = true;
        }
        if (jpeg || (color.range == AVCOL_RANGE_UNSPECIFIED && (rgb || grey))) color.range = AVCOL_RANGE_JPEG;
        if (color.range == AVCOL_RANGE_UNSPECIFIED) color.range = AVCOL_RANGE_MPEG;
        if (!rgb && !grey) require_known_matrix(color);  // refused now and not after an hour
    }

    /// A frame lasts until the next one, whatever its packet says (of an MP4 file's packets that is the distance in
    /// decoding order), so the decoder is one frame ahead.
    bool read_file(VideoFrame& frame) {
        if (count_ == 0) has_picture_ = decode(*picture_);
        require(count_ > 0 || has_picture_, name(), ": the video stream holds no frame. Make or copy the file again.");
        if (!has_picture_) return false;
        ++count_;
        has_picture_ = decode(*next_picture_);
        frame.resize(picture_->height, picture_->width);
        to_rgb_.convert(*picture_, info_.color, frame.view());
        frame.pts = picture_->pts;
        frame.duration = has_picture_ ? next_picture_->pts - frame.pts : last_duration();
        frame.name.clear();
        std::swap(picture_, next_picture_);
        return true;
    }

    /// The next picture with its pts; false at the end.
    bool decode(AVFrame& picture) {
        for (;;) {
            const int code = avcodec_receive_frame(decoder_.get(), &picture);
            if (code == AVERROR_EOF) return false;
            if (code == 0) break;
            if (code != AVERROR(EAGAIN)) throw Error(damaged(detail::av_text(code)));
            feed_decoder();
        }
        if (picture.decode_error_flags != 0 || (picture.flags & AV_FRAME_FLAG_CORRUPT) != 0)
            throw Error(damaged("errors in its data"));
        check_size(picture.width, picture.height, text("frame ", count_));
        const std::int64_t pts = picture.best_effort_timestamp;
        picture.pts = pts == AV_NOPTS_VALUE ? next_pts_ : pts;  // raw streams: one after the other
        next_pts_ = picture.pts + usual_duration();
        return true;
    }

    void feed_decoder() {
        for (;;) {
            const int code = av_read_frame(file_.get(), packet_.get());
            if (code == AVERROR_EOF) {
                avcodec_send_packet(decoder_.get(), nullptr);  // what it holds back comes out
                return;
            }
            if (code < 0) throw Error(damaged(detail::av_text(code)));
            if (packet_->stream_index != info_.stream_index) {
                if (config_.keep_packets) packets_.push_back(std::exchange(packet_, Packet()));
                av_packet_unref(packet_.get());
                continue;
            }
            if ((packet_->flags & AV_PKT_FLAG_CORRUPT) != 0)
                throw Error(damaged("the file is cut short or has a hole"));
            const int sent = avcodec_send_packet(decoder_.get(), packet_.get());
            av_packet_unref(packet_.get());
            if (sent < 0) throw Error(damaged(detail::av_text(sent)));
            return;
        }
    }

    std::int64_t usual_duration() const {
        if (info_.frame_rate.num <= 0) return 1;
        return std::max<std::int64_t>(1, av_rescale_q(1, av_inv_q(info_.frame_rate), info_.time_base));
    }

    std::int64_t last_duration() const {
        const AVStream& stream = *file_->streams[info_.stream_index];
        if (stream.duration != AV_NOPTS_VALUE && stream.start_time != AV_NOPTS_VALUE) {
            const std::int64_t rest = stream.start_time + stream.duration - picture_->pts;
            if (rest > 0) return rest;
        }
        const std::int64_t stated = detail::duration_of(*picture_);
        return stated > 0 ? stated : usual_duration();
    }

    void check_size(int width, int height, const std::string& where) const {
        require(width == info_.width && height == info_.height, name(), ": ", where, " is ", width, " x ", height,
                ", the ones before it are ", info_.width, " x ", info_.height,
                ". Cut or scale the input so that all frames have one size.");
    }

    std::string damaged(const std::string& reason) const {
        return text(name(), ": frame ", count_, " cannot be decoded (", reason, "). The file is damaged; copy or ",
                    "download it again, or cut the damaged part out.");
    }

    VideoReaderConfig config_;
    VideoInfo info_;
    std::int64_t count_ = 0;

    std::vector<std::filesystem::path> images_;
    std::unique_ptr<PngReader> png_;

    detail::InputPtr file_;
    detail::CodecPtr decoder_;
    detail::FramePtr picture_ = detail::make_frame(), next_picture_ = detail::make_frame();
    bool has_picture_ = false;  // picture_ waits to be delivered
    Packet packet_;
    std::deque<Packet> packets_;
    std::int64_t next_pts_ = 0;
    ToRgb to_rgb_;
};

}  // namespace mia
