#pragma once
#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <string>
#include <vector>

#include "media.hpp"
#include "mia/video/frame.hpp"
#include "mia/video/reader.hpp"
#include "mia/video/writer.hpp"

// What the tests of the writing half share.

namespace mia::test {

inline VideoInfo info_of(int width, int height) {
    VideoInfo info;
    info.width = width;
    info.height = height;
    return info;
}

/// Frame `number` of a moving pattern, smooth, so that halved chroma is no loss; its pts is its number.
inline VideoFrame frame_of(const VideoInfo& info, std::int64_t number) {
    VideoFrame frame;
    frame.resize(info.height, info.width);
    for (int y = 0; y < frame.height; ++y)
        for (int x = 0; x < frame.width; ++x)
            for (int c = 0; c < 3; ++c)
                frame.view()(y, x, c) =
                    0.5f + 0.4f * std::sin(float(x + 3 * number) / 9 + float(c) / 2) * std::cos(float(y) / 7);
    frame.pts = number;
    frame.duration = 1;
    return frame;
}

/// Quick, and small enough for many runs.
inline VideoWriterConfig quick() { return {.preset = "ultrafast", .threads = 1}; }

inline VideoWriterConfig resuming() {
    VideoWriterConfig config = quick();
    config.unfinished = Unfinished::resume;
    return config;
}

/// Frames [from, to), a chunk for every `chunk` of them.
inline void write_frames(VideoWriter& writer, const VideoInfo& info, std::int64_t from, std::int64_t to,
                         std::int64_t chunk = 3) {
    for (std::int64_t i = from; i < to; ++i) {
        writer.write(frame_of(info, i));
        if ((i + 1) % chunk == 0) writer.end_chunk();
    }
}

/// All that a program does with a file but for the network: reads it, writes it again, a chunk for every `chunk`
/// frames. `after_frame` is called with the number of frames so far.
inline std::vector<std::string> copy_video(
    const std::filesystem::path& in, const std::filesystem::path& out, const VideoWriterConfig& config,
    VideoReaderConfig reading = {}, std::int64_t chunk = 4,
    const std::function<void(std::int64_t)>& after_frame = [](std::int64_t) {}) {
    reading.keep_packets = true;
    VideoReader reader(in, reading);
    VideoWriter writer(out, reader.info(), config, reader.streams());
    std::int64_t count = 0;
    const auto pass_packets = [&] {
        for (Packet packet; reader.take_packet(packet); packet = Packet()) writer.write(packet);
    };
    for (VideoFrame frame; reader.read(frame);) {
        pass_packets();
        if (count++ < writer.frames_done()) continue;
        writer.write(frame);
        if (count % chunk == 0) writer.end_chunk();
        after_frame(count);
    }
    pass_packets();
    writer.finish();
    return writer.left_out();
}

/// ffprobe's answer to `what`, without empty lines and without a comma or new line at the end.
inline std::string probe(const std::filesystem::path& path, const std::string& what) {
    auto words = output_of("ffprobe -v error " + what + " '" + path.string() + "'");
    for (auto at = words.find("\n\n"); at != words.npos; at = words.find("\n\n")) words.erase(at, 1);
    while (!words.empty() && (words.back() == '\n' || words.back() == ',')) words.pop_back();
    return words;
}

/// What ffmpeg says when it decodes all of a file and minds every error; empty when there is none.
inline std::string decoding_errors(const std::filesystem::path& path) {
    return output_of("ffmpeg -v error -xerror -i '" + path.string() +
                     "' -map 0:v -fps_mode passthrough -enc_time_base -1 -f null - </dev/null");
}

}  // namespace mia::test
