#pragma once
#include <algorithm>
#include <cmath>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <optional>
#include <string>
#include <utility>

#include "mia/core/error.hpp"
#include "mia/video/color.hpp"
#include "mia/video/ffmpeg.hpp"
#include "mia/video/frame.hpp"
#include "mia/video/frame_decoder.hpp"
#include "mia/video/media_file.hpp"
#include "mia/video/part_packets.hpp"
#include "mia/video/reader_config.hpp"
#include "mia/video/stream_color.hpp"
#include "mia/video/video_source.hpp"

namespace mia::detail {

/// Frames out of a video file or a pipe.
class StreamSource : public VideoSource {
public:
    /// Decodes up to the first frame of the part, whose tags complete what the container says.
    StreamSource(const std::filesystem::path& path, const VideoReaderConfig& config)
        : part_(config, path.string()),
          keep_packets_(config.keep_packets),
          file_(path, config.max_pixels),
          packets_(file_.format(), file_.stream_index()),
          decoder_(file_, config, packet_taker()) {
        if (!keep_packets_)
            for (unsigned i = 0; i < file_.format().nb_streams; ++i)
                if (int(i) != file_.stream_index()) file_.format().streams[i]->discard = AVDISCARD_ALL;
        info_.path = path;
        require(decoder_.next(*picture_), file_.name(), ": the video stream holds no frame. Make or copy the file ",
                "again.");
        has_picture_ = true;
        first_pts_ = picture_->pts;
        adopt_side_data(*picture_, file_.video());
        describe_stream();
        go_to_start(config.frame_rate);
    }

    const AVFormatContext* streams() const override { return &file_.format(); }

    /// A frame lasts until the next one, whatever its packet says (of an MP4 file's packets that is the distance in
    /// decoding order), so the decoder is one frame ahead.
    bool read(VideoFrame& frame) override {
        if (!has_picture_) return false;
        const bool more = decoder_.next(*next_picture_);
        frame.resize(picture_->height, picture_->width);
        to_rgb(frame.view());
        frame.pts = picture_->pts - shift_;
        frame.duration = more ? next_picture_->pts - picture_->pts : last_duration();
        frame.name.clear();

        std::swap(picture_, next_picture_);
        ++number_;
        has_picture_ = more && !is_after_part();
        if (more && !has_picture_) end_part();
        return true;
    }

    bool take_packet(Packet& packet) override {
        std::optional<std::int64_t> horizon;
        if (part_.has_end() && has_picture_) horizon = picture_->pts;  // the part goes on at least as far
        return packets_.pop(packet, horizon);
    }

private:
    std::function<void(Packet&&)> packet_taker() {
        if (!keep_packets_) return {};
        return [this](Packet&& packet) { packets_.push(std::move(packet)); };
    }

    AVRational time_base() const { return info_.time_base; }
    bool is_after_part() const { return part_.is_after(number_, picture_->pts - first_pts_, time_base()); }

    void describe_stream() {
        AVFormatContext& format = file_.format();
        AVStream& stream = file_.video();
        info_.kind = file_.is_pipe() ? SourceKind::pipe : SourceKind::file;
        info_.stream_index = file_.stream_index();
        info_.codec = decoder_.codec();
        info_.width = picture_->width;
        info_.height = picture_->height;
        info_.pixel_format = AVPixelFormat(picture_->format);
        info_.bit_depth = sample_depth(info_.pixel_format);
        info_.interlaced = decoder_.interlaced();
        info_.sample_aspect_ratio = av_guess_sample_aspect_ratio(&format, &stream, picture_.get());
        info_.color = stream_color(*stream.codecpar, *picture_, file_.name());
        info_.time_base = stream.time_base;
        info_.frame_rate = av_guess_frame_rate(&format, &stream, nullptr);
        if (stream.avg_frame_rate.num > 0) info_.frame_rate = stream.avg_frame_rate;
        if (stream.duration > 0)  // unknown: negative
            info_.seconds = double(stream.duration) * av_q2d(stream.time_base);
        else if (format.duration > 0)
            info_.seconds = double(format.duration) / AV_TIME_BASE;
        info_.frame_count = stream.nb_frames;
        if (info_.frame_count <= 0 && info_.frame_rate.num > 0)
            info_.frame_count = std::llround(info_.seconds * av_q2d(info_.frame_rate));
    }

    void go_to_start(AVRational assumed_rate) {
        std::int64_t last_duration = decoder_.usual_duration();
        while (part_.is_before(number_, picture_->pts - first_pts_, time_base())) {
            const bool more = decoder_.next(*next_picture_);
            require(more, file_.name(), ": the part begins at ", part_.start_text(), ", beyond the end: the video has ",
                    number_ + 1, " frames and lasts ", seconds(picture_->pts - first_pts_ + last_duration),
                    " s. Let it begin earlier.");
            last_duration = next_picture_->pts - picture_->pts;
            std::swap(picture_, next_picture_);
            ++number_;
            packets_.skip_to(picture_->pts);
        }
        require(!is_after_part(), file_.name(), ": the part from ", part_.start_text(), " to ", part_.end_text(),
                " holds no frame; the one at its start is number ", number_, ", at ",
                seconds(picture_->pts - first_pts_), " s. Let it end later.");
        shift_ = picture_->pts - first_pts_;
        if (number_ > 0) packets_.begin_at(picture_->pts, shift_);
        describe_part(info_.frame_rate.num > 0 ? info_.frame_rate : assumed_rate);
    }

    void describe_part(AVRational rate) {
        info_.start_seconds = seconds(shift_);
        info_.end_seconds = part_.end_seconds(rate);
        const bool counted = info_.frame_count > 0, timed = info_.seconds > 0;
        std::int64_t end_frame = info_.frame_count;
        double end = info_.seconds;
        if (part_.has_end()) {
            end_frame = counted ? std::min(part_.end_frame(rate), end_frame) : part_.end_frame(rate);
            end = timed ? std::min(info_.end_seconds, end) : info_.end_seconds;
        }
        info_.frame_count = std::max<std::int64_t>(0, end_frame - number_);
        info_.seconds = std::max(0., end - info_.start_seconds);
    }

    /// Sound may lie behind the pictures that it belongs to: read on until all of it is there. A picture far behind
    /// the end, or an error, which is no longer ours, ends the search as well.
    void end_part() {
        constexpr double farthest = 10;  // seconds; muxers interleave within one
        packets_.end_at(picture_->pts);
        if (!keep_packets_) return;
        for (Packet packet; !packets_.all_sound_past_end() && file_.read(packet) >= 0; packet = Packet()) {
            if (packet->stream_index != file_.stream_index())
                packets_.push(std::move(packet));
            else if (packet->dts != AV_NOPTS_VALUE && seconds(packet->dts - picture_->pts) > farthest)
                return;
        }
    }

    void to_rgb(View<float, 3> out) {
        set_color(info_.color, *picture_);
        with_name(file_.name(), [&] { to_rgb_.convert(*picture_, info_.color, out); });
    }

    double seconds(std::int64_t ticks) const { return double(ticks) * av_q2d(time_base()); }

    std::int64_t last_duration() const {
        const AVStream& stream = file_.video();
        const bool measured = file_.format().duration_estimation_method != AVFMT_DURATION_FROM_BITRATE;
        if (measured && stream.duration != AV_NOPTS_VALUE && stream.start_time != AV_NOPTS_VALUE) {
            const std::int64_t rest = stream.start_time + stream.duration - picture_->pts;
            if (rest > 0) return rest;
        }
        const std::int64_t stated = duration_of(*picture_);
        return stated > 0 ? stated : decoder_.usual_duration();
    }

    Part part_;
    bool keep_packets_;
    MediaFile file_;
    PartPackets packets_;
    FrameDecoder decoder_;
    FramePtr picture_ = make_frame(), next_picture_ = make_frame();
    bool has_picture_ = false;    // picture_ waits to be delivered
    std::int64_t number_ = 0;     // of picture_, counted from the video's first frame
    std::int64_t first_pts_ = 0;  // of the video's first frame
    std::int64_t shift_ = 0;      // from the video's first frame to the part's
    ToRgb to_rgb_;
};

}  // namespace mia::detail
