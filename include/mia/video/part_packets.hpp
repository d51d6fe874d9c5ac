#pragma once
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <optional>
#include <utility>
#include <vector>

#include "mia/video/ffmpeg.hpp"

namespace mia::detail {

/// The packets of the streams beside the video, cut and shifted in time as the video is: those that begin inside the
/// part are kept. A subtitle on the screen as the part begins begins with it. All times here are the video's.
class PartPackets {
public:
    PartPackets(const AVFormatContext& file, int video) : file_(file), video_(video), past_end_(file.nb_streams) {}

    void push(Packet&& packet) {
        if (begin_ && cut_begin(*packet.get())) return;
        if (!end_ || !cut_end(*packet.get())) packets_.push_back(std::move(packet));
    }

    /// The part will not begin before `pts`: what is over by then is dropped.
    void skip_to(std::int64_t pts) {
        std::erase_if(packets_, [&](Packet& packet) { return is_over(*packet.get(), pts); });
    }

    /// The part begins at `pts`, and all times become earlier by `shift`.
    void begin_at(std::int64_t pts, std::int64_t shift) {
        begin_ = pts;
        shift_ = shift;
        std::erase_if(packets_, [&](Packet& packet) { return cut_begin(*packet.get()); });
    }

    void end_at(std::int64_t pts) {
        end_ = pts;
        std::erase_if(packets_, [&](Packet& packet) { return cut_end(*packet.get()); });
    }

    /// Whether all sound up to the end has been met.
    bool all_sound_past_end() const {
        for (unsigned i = 0; i < file_.nb_streams; ++i)
            if (file_.streams[i]->codecpar->codec_type == AVMEDIA_TYPE_AUDIO && !past_end_[i]) return false;
        return true;
    }

    /// The next packet, in the file's order, if it begins before `horizon` (nothing: in any case).
    bool pop(Packet& packet, std::optional<std::int64_t> horizon) {
        if (packets_.empty()) return false;
        AVPacket& front = *packets_.front().get();
        if (horizon && begins_after(front, *horizon)) return false;
        const std::int64_t shift = av_rescale_q(shift_, video_time_base(), time_base(front));
        if (front.pts != AV_NOPTS_VALUE) front.pts -= shift;
        if (front.dts != AV_NOPTS_VALUE) front.dts -= shift;
        packet = std::move(packets_.front());
        packets_.pop_front();
        return true;
    }

private:
    AVRational video_time_base() const { return file_.streams[video_]->time_base; }
    AVRational time_base(const AVPacket& packet) const { return file_.streams[packet.stream_index]->time_base; }

    static std::int64_t time_of(const AVPacket& packet) {
        return packet.pts != AV_NOPTS_VALUE ? packet.pts : packet.dts;
    }

    /// Negative: `time` of the packet's stream is before `pts` of the video.
    int compare(std::int64_t time, const AVPacket& packet, std::int64_t pts) const {
        return av_compare_ts(time, time_base(packet), pts, video_time_base());
    }

    bool is_over(const AVPacket& packet, std::int64_t pts) const {
        const std::int64_t time = time_of(packet);
        return time != AV_NOPTS_VALUE && compare(time + std::max<std::int64_t>(packet.duration, 0), packet, pts) < 0;
    }

    /// At `pts` or later; what has no time is nowhere outside.
    bool begins_after(const AVPacket& packet, std::int64_t pts) const {
        const std::int64_t time = time_of(packet);
        return time != AV_NOPTS_VALUE && compare(time, packet, pts) >= 0;
    }

    /// Whether the packet lies before the part. A subtitle that lasts into it is shortened instead.
    bool cut_begin(AVPacket& packet) const {
        const std::int64_t time = time_of(packet);
        if (time == AV_NOPTS_VALUE || begins_after(packet, *begin_)) return false;
        const bool subtitle = file_.streams[packet.stream_index]->codecpar->codec_type == AVMEDIA_TYPE_SUBTITLE;
        const std::int64_t begin = av_rescale_q(*begin_, video_time_base(), time_base(packet));
        if (!subtitle || time + packet.duration <= begin) return true;
        packet.duration -= begin - time;
        packet.pts = packet.dts = begin;
        return false;
    }

    /// Whether the packet lies behind the part.
    bool cut_end(const AVPacket& packet) {
        const bool outside = begins_after(packet, *end_);
        if (outside) past_end_[std::size_t(packet.stream_index)] = true;
        return outside;
    }

    const AVFormatContext& file_;
    int video_;
    std::deque<Packet> packets_;
    std::optional<std::int64_t> begin_, end_;
    std::int64_t shift_ = 0;
    std::vector<bool> past_end_;  // by stream
};

}  // namespace mia::detail
