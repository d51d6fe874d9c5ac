#pragma once
#include <algorithm>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <utility>

#include "mia/core/error.hpp"
#include "mia/video/deinterlacer.hpp"
#include "mia/video/ffmpeg.hpp"
#include "mia/video/media_file.hpp"
#include "mia/video/reader_config.hpp"

namespace mia::detail {

/// The pictures of a file's video stream, all of one size, format and colour, progressive, with growing time stamps.
class FrameDecoder {
public:
    /// `keep` takes the packets of other streams as they are met; empty: they are dropped.
    FrameDecoder(MediaFile& file, const VideoReaderConfig& config, std::function<void(Packet&&)> keep)
        : file_(file), config_(config), keep_(std::move(keep)) {
        const AVStream& stream = file_.video();
        const AVCodec* codec = avcodec_find_decoder(stream.codecpar->codec_id);
        require(codec != nullptr, file_.name(), ": FFmpeg's libraries have no decoder for ",
                avcodec_get_name(stream.codecpar->codec_id), ". Convert the video with another build of ffmpeg first.");
        decoder_ = make_codec(codec);
        av_check(avcodec_parameters_to_context(decoder_.get(), stream.codecpar), file_.name(), ": ", codec->name);
        decoder_->pkt_timebase = stream.time_base;
        decoder_->max_pixels = decoder_limit(config.max_pixels);
        decoder_->thread_count = 1;  // the model needs the processor more
        av_check(avcodec_open2(decoder_.get(), codec, nullptr), file_.name(), ": the decoder ", codec->name,
                 " does not start");
        field_order_ = stream.codecpar->field_order;
        interlaced_ = is_interlaced(field_order_);
        usual_duration_ = find_usual_duration();
    }

    /// The next picture; its pts is in the stream's time base, generated from the frame rate where the file has none.
    /// False at the end.
    bool next(AVFrame& picture) {
        if (!config_.deinterlace) return decode(picture);
        for (;;) {
            if (deinterlacer_ != nullptr && deinterlacer_->pull(picture)) return true;
            if (flushed_) return false;
            if (decode(*fields_)) {
                if (deinterlacer_ == nullptr)
                    deinterlacer_ = std::make_unique<Deinterlacer>(*fields_, file_.video().time_base, file_.name());
                deinterlacer_->push(fields_.get());
            } else {
                if (deinterlacer_ != nullptr) deinterlacer_->push(nullptr);
                flushed_ = true;
                if (deinterlacer_ == nullptr) return false;
            }
        }
    }

    /// Of the frames decoded so far, as coded.
    bool interlaced() const { return interlaced_; }
    const char* codec() const { return decoder_->codec->name; }

    /// One frame at the mean rate, in the stream's time base.
    std::int64_t usual_duration() const { return usual_duration_; }

private:
    bool decode(AVFrame& picture) {
        for (;;) {
            const int code = avcodec_receive_frame(decoder_.get(), &picture);
            if (code == AVERROR_EOF) return false;
            if (code == 0) break;
            if (code != AVERROR(EAGAIN)) throw Error(damaged(av_text(code)));
            feed();
        }
        if (picture.decode_error_flags != 0 || (picture.flags & AV_FRAME_FLAG_CORRUPT) != 0)
            throw Error(damaged("errors in its data"));
        check_same(picture);
        check_fields(picture);
        set_time(picture);
        ++count_;
        return true;
    }

    void feed() {
        for (;;) {
            const int code = file_.read(packet_);
            if (code == AVERROR_EOF) {
                const std::string reason = file_.why_incomplete();
                if (!reason.empty()) throw Error(damaged(reason));
                avcodec_send_packet(decoder_.get(), nullptr);  // what it holds back comes out
                return;
            }
            if (code < 0) throw Error(damaged(av_text(code)));
            if (packet_->stream_index != file_.stream_index()) {
                if (keep_) keep_(std::exchange(packet_, Packet()));
                av_packet_unref(packet_.get());
                continue;
            }
            require(av_packet_get_side_data(packet_.get(), AV_PKT_DATA_ENCRYPTION_INFO, nullptr) == nullptr,
                    file_.name(), MediaFile::encrypted);
            if ((packet_->flags & AV_PKT_FLAG_CORRUPT) != 0)
                throw Error(damaged("the file is cut short or has a hole"));
            const int sent = avcodec_send_packet(decoder_.get(), packet_.get());
            av_packet_unref(packet_.get());
            if (sent < 0) throw Error(damaged(av_text(sent)));
            return;
        }
    }

    /// Size, format and colour tags must stay what they were in the first frame.
    void check_same(const AVFrame& picture) {
        if (count_ == 0) {
            av_check(av_frame_copy_props(first_.get(), &picture), file_.name());
            first_->width = picture.width;
            first_->height = picture.height;
            first_->format = picture.format;
            return;
        }
        require(picture.width == first_->width && picture.height == first_->height, file_.name(), ": frame ", count_,
                " is ", picture.width, " x ", picture.height, ", the ones before it are ", first_->width, " x ",
                first_->height, ". Cut or scale the input so that all frames have one size.");
        require(picture.format == first_->format, file_.name(), ": frame ", count_, " is ", format_name(picture.format),
                ", the ones before it are ", format_name(first_->format),
                ". Cut the input there, or convert it so that all frames have one pixel format.");
        if (same_colour(picture)) return;
        throw Error(text(file_.name(), ": frame ", count_, " has other colours (", colour_text(picture),
                         ") than the first (", colour_text(*first_), "). Cut the input there, or convert it."));
    }

    bool same_colour(const AVFrame& picture) const {
        const auto same = [](auto a, auto b, auto unknown) { return a == b || a == unknown || b == unknown; };
        return same(picture.colorspace, first_->colorspace, AVCOL_SPC_UNSPECIFIED) &&
               same(picture.color_range, first_->color_range, AVCOL_RANGE_UNSPECIFIED) &&
               same(picture.color_primaries, first_->color_primaries, AVCOL_PRI_UNSPECIFIED) &&
               same(picture.color_trc, first_->color_trc, AVCOL_TRC_UNSPECIFIED);
    }

    static std::string colour_text(const AVFrame& picture) {
        const auto word = [](const char* name) { return name != nullptr ? name : "unknown"; };
        return text("matrix ", word(av_color_space_name(picture.colorspace)), ", range ",
                    word(av_color_range_name(picture.color_range)), ", primaries ",
                    word(av_color_primaries_name(picture.color_primaries)), ", transfer ",
                    word(av_color_transfer_name(picture.color_trc)));
    }

    /// Containers name the order of fields where the codec's frames do not tell.
    void check_fields(AVFrame& picture) {
        const bool marked = is_interlaced(picture);
        if (count_ == 0) unmarked_ = interlaced_ && !marked;
        interlaced_ = interlaced_ || marked;
        require(!interlaced_ || config_.deinterlace, file_.name(), ": the video is interlaced, which frame ", count_,
                marked ? " says" : "'s container says",
                ". Set VideoReaderConfig::deinterlace, or deinterlace it first: "
                "ffmpeg -i IN -vf bwdif=mode=0 OUT");
        if (unmarked_) mark_interlaced(picture, field_order_ == AV_FIELD_TT || field_order_ == AV_FIELD_BT);
    }

    void set_time(AVFrame& picture) {
        const std::int64_t pts = picture.best_effort_timestamp;
        picture.pts = pts == AV_NOPTS_VALUE ? expected_pts_ : pts;  // raw streams: one after the other
        require(count_ == 0 || picture.pts > last_pts_, file_.name(), ": frame ", count_, " has the time stamp ",
                picture.pts, ", the one before it ", last_pts_,
                ". Time stamps must grow; make new ones: ffmpeg -i IN -vf setpts=N/FRAME_RATE/TB OUT");
        last_pts_ = picture.pts;
        expected_pts_ = picture.pts + usual_duration_;
    }

    std::int64_t find_usual_duration() const {
        AVStream& stream = file_.video();
        AVRational rate = stream.avg_frame_rate;
        if (rate.num <= 0 || rate.den <= 0) rate = av_guess_frame_rate(&file_.format(), &stream, nullptr);
        if (rate.num <= 0 || rate.den <= 0) rate = config_.frame_rate;
        return std::max<std::int64_t>(1, av_rescale_q(1, av_inv_q(rate), stream.time_base));
    }

    std::string damaged(const std::string& reason) const {
        const char* remedy = ". The file is damaged; copy or download it again, or cut the damaged part out.";
        if (!file_.seekable()) remedy = count_ > 0 ? ". Check the program that writes into it." : MediaFile::for_pipes;
        return text(file_.name(), ": frame ", count_, " cannot be decoded (", reason, ")", remedy);
    }

    MediaFile& file_;
    VideoReaderConfig config_;
    std::function<void(Packet&&)> keep_;
    CodecPtr decoder_;
    Packet packet_;
    std::int64_t count_ = 0;         // frames decoded
    FramePtr first_ = make_frame();  // its properties, without its pixels
    AVFieldOrder field_order_ = AV_FIELD_UNKNOWN;
    bool interlaced_ = false, unmarked_ = false;
    std::int64_t usual_duration_ = 1, expected_pts_ = 0, last_pts_ = 0;
    FramePtr fields_ = make_frame();
    std::unique_ptr<Deinterlacer> deinterlacer_;
    bool flushed_ = false;
};

}  // namespace mia::detail
