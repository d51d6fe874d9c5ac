#pragma once
#include <cmath>
#include <cstdint>
#include <optional>
#include <string>
#include <variant>

#include "mia/core/error.hpp"
#include "mia/video/checks.hpp"
#include "mia/video/ffmpeg.hpp"

namespace mia {

/// Counted from the video's first frame, whatever that one's time stamp is.
struct Seconds {
    double value = 0;
};
/// Counted from 0.
struct FrameNumber {
    std::int64_t value = 0;
};

/// A place in a video.
using Position = std::variant<Seconds, FrameNumber>;

/// "2.5 s", "frame 60".
inline std::string position_text(const Position& position) {
    if (const auto* frame = std::get_if<FrameNumber>(&position)) return text("frame ", frame->value);
    return text(std::get<Seconds>(position).value, " s");
}

struct VideoReaderConfig {
    bool keep_packets = false;        ///< keep packets of other streams for take_packet(); who sets it must take them
    AVRational frame_rate = {25, 1};  ///< of images, and of streams that state neither times nor a rate
    std::optional<Position> start = {};  ///< the first frame at or after it is the first one read
    std::optional<Position> end = {};    ///< the first frame at or after it is not read; may lie beyond the last one
    bool deinterlace = false;            ///< makes one frame of the two fields (bwdif) instead of refusing them
    std::int64_t max_pixels = default_max_pixels;  ///< of a frame; larger ones are refused
};

namespace detail {

/// The frames [start, end) of a video, and where a frame lies in it.
class Part {
public:
    /// Error when the values are no positions, or when the part is empty whatever the video is.
    Part(const VideoReaderConfig& config, const std::string& name) : start_(config.start), end_(config.end) {
        const AVRational rate = config.frame_rate;
        require(rate.num > 0 && rate.den > 0, name, ": the frame rate ", rate.num, "/", rate.den,
                " was asked for. Give a positive one, such as 25.");
        for (const auto& position : {start_, end_}) check(position, name);
        if (!start_ || !end_ || start_->index() != end_->index()) return;
        const bool empty = std::holds_alternative<FrameNumber>(*start_)
                               ? std::get<FrameNumber>(*start_).value >= std::get<FrameNumber>(*end_).value
                               : std::get<Seconds>(*start_).value >= std::get<Seconds>(*end_).value;
        require(!empty, name, ": the part from ", position_text(*start_), " to ", position_text(*end_),
                " is empty. Let it end after it starts.");
    }

    bool has_end() const { return end_.has_value(); }

    /// Whether frame `number`, `ticks` of `unit` seconds after the first one, lies before the part; whether behind.
    bool is_before(std::int64_t number, std::int64_t ticks, AVRational unit) const {
        return start_ && !reached(*start_, number, ticks, unit);
    }
    bool is_after(std::int64_t number, std::int64_t ticks, AVRational unit) const {
        return end_ && reached(*end_, number, ticks, unit);
    }

    /// The end, exact in its own unit and else by the mean frame rate; negative: none.
    double end_seconds(AVRational rate) const {
        if (!end_) return -1;
        if (const auto* frame = std::get_if<FrameNumber>(&*end_)) return double(frame->value) / av_q2d(rate);
        return std::get<Seconds>(*end_).value;
    }
    std::int64_t end_frame(AVRational rate) const {
        if (!end_) return -1;
        if (const auto* frame = std::get_if<FrameNumber>(&*end_)) return frame->value;
        return ticks_of(std::get<Seconds>(*end_).value, av_inv_q(rate));
    }

    std::string start_text() const { return start_ ? position_text(*start_) : "the first frame"; }
    std::string end_text() const { return end_ ? position_text(*end_) : "the last frame"; }

private:
    static void check(const std::optional<Position>& position, const std::string& name) {
        if (!position) return;
        const auto* frame = std::get_if<FrameNumber>(&*position);
        const double value = frame != nullptr ? double(frame->value) : std::get<Seconds>(*position).value;
        require(value >= 0 && std::isfinite(value), name, ": the part was to begin or end at ",
                position_text(*position), ". Give seconds or a frame number from 0 on.");
    }

    /// The first tick that is not before `seconds`. Decimal fractions are not exact in binary: 1e-6 of a tick is none.
    static std::int64_t ticks_of(double seconds, AVRational unit) {
        const double ticks = std::ceil(seconds * unit.den / unit.num - 1e-6);
        return ticks < 9e18 ? std::int64_t(ticks) : INT64_MAX;
    }

    static bool reached(const Position& position, std::int64_t number, std::int64_t ticks, AVRational unit) {
        if (const auto* frame = std::get_if<FrameNumber>(&position)) return number >= frame->value;
        return ticks >= ticks_of(std::get<Seconds>(position).value, unit);
    }

    std::optional<Position> start_, end_;
};

}  // namespace detail
}  // namespace mia
