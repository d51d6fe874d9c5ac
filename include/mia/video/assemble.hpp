#pragma once
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <utility>
#include <vector>

#include "mia/core/error.hpp"
#include "mia/video/chunk_store.hpp"
#include "mia/video/ffmpeg.hpp"
#include "mia/video/muxer.hpp"
#include "mia/video/packet_file.hpp"

namespace mia::detail {

/// Streams in a chunk's file: 0 is the video, 1 + i stream i of the source.
inline constexpr int chunk_video = 0;
inline int chunk_stream(int source_stream) { return 1 + source_stream; }
inline int source_stream(int chunk_stream) { return chunk_stream - 1; }

/// Decoding times for packets in decoding order whose presentation times are `pts`, all different: the sorted
/// presentation times, d packets late, where d is the furthest that a packet lies behind its place in presentation
/// order. So they grow, none is after its pts, and both are true for any frame rate. Before the first pts they go on at
/// the distance of the first two.
inline std::vector<std::int64_t> decoding_times(std::span<const std::int64_t> pts) {
    std::vector<std::int64_t> sorted(pts.begin(), pts.end());
    std::sort(sorted.begin(), sorted.end());
    std::size_t delay = 0;
    for (std::size_t i = 0; i < pts.size(); ++i) {
        const auto place = std::size_t(std::lower_bound(sorted.begin(), sorted.end(), pts[i]) - sorted.begin());
        if (place < i) delay = std::max(delay, i - place);
    }
    if (delay == 0) return sorted;
    const std::int64_t step = sorted[1] - sorted[0];  // delay > 0: there are at least two
    std::vector<std::int64_t> dts(sorted.size());
    for (std::size_t i = 0; i < dts.size(); ++i)
        dts[i] = i >= delay ? sorted[i - delay] : sorted[0] - std::int64_t(delay - i) * step;
    return dts;
}

/// The packets of all chunks one after the other, those of the video or those of the other streams.
class ChunkCursor {
public:
    ChunkCursor(const ChunkStore& store, bool video) : store_(store), video_(video) {}

    bool next(Packet& packet) {
        const auto wanted = [&](int stream) { return (stream == chunk_video) == video_; };
        for (;;) {
            if (!file_) {
                if (chunk_ == store_.manifest().chunks.size()) return false;
                file_.emplace(store_.chunk_path(chunk_++));
            }
            if (file_->next(packet, wanted)) return true;
            file_.reset();
        }
    }

private:
    const ChunkStore& store_;
    bool video_;
    std::size_t chunk_ = 0;
    std::optional<PacketFileReader> file_;
};

/// Puts all chunks into the file: the video's packets and the others merged by their decoding times. Takes 16 bytes of
/// memory for each frame.
inline void assemble(const ChunkStore& store, Muxer& muxer, AVRational video_time_base) {
    std::vector<std::int64_t> pts;
    for (std::size_t i = 0; i < store.manifest().chunks.size(); ++i)
        PacketFileReader(store.chunk_path(i)).each_fields([&](const PacketFields& fields) {
            if (fields.stream == chunk_video) pts.push_back(fields.pts);
        });
    const std::vector<std::int64_t> dts = decoding_times(pts);
    // Players of MP4 hide what lies before 0.
    if (!pts.empty()) muxer.delay(std::max<std::int64_t>(0, -*std::min_element(pts.begin(), pts.end())));

    ChunkCursor videos(store, true), others(store, false);
    Packet video, other;
    std::size_t frame = 0;
    bool has_video = videos.next(video), has_other = others.next(other);
    const auto other_is_first = [&] {
        if (!has_video) return true;
        const std::int64_t time = other->dts != AV_NOPTS_VALUE ? other->dts : other->pts;
        if (time == AV_NOPTS_VALUE) return true;
        return av_compare_ts(time, muxer.time_base(source_stream(other->stream_index)), dts[frame], video_time_base) <
               0;
    };
    while (has_video || has_other) {
        if (has_other && other_is_first()) {
            muxer.write_copy(*other.get(), source_stream(other->stream_index));
            has_other = others.next(other);
        } else {
            video->dts = dts[frame++];
            muxer.write_video(*video.get());
            has_video = videos.next(video);
        }
    }
}

}  // namespace mia::detail
