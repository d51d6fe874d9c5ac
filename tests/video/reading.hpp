#pragma once
#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "media.hpp"
#include "mia/video/reader.hpp"

namespace mia::test {

class ReadingTest : public MediaTest {
protected:
    static std::vector<VideoFrame> all(const std::filesystem::path& path, const VideoReaderConfig& config = {}) {
        VideoReader reader(path, config);
        std::vector<VideoFrame> frames;
        for (VideoFrame frame; reader.read(frame);) frames.push_back(frame);
        VideoFrame none;
        EXPECT_FALSE(reader.read(none));  // the end stays the end
        return frames;
    }

    /// What reading all of it says.
    static std::string error_of(const std::filesystem::path& path, const VideoReaderConfig& config = {}) {
        return message_of([&] { all(path, config); });
    }

    static std::vector<std::int64_t> times_of(const std::vector<VideoFrame>& frames) {
        std::vector<std::int64_t> times;
        for (const auto& frame : frames) times.push_back(frame.pts);
        return times;
    }

    static std::vector<std::int64_t> durations_of(const std::vector<VideoFrame>& frames) {
        std::vector<std::int64_t> durations;
        for (const auto& frame : frames) durations.push_back(frame.duration);
        return durations;
    }
};

}  // namespace mia::test
