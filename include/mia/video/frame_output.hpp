#pragma once
#include <cstdint>
#include <filesystem>
#include <string>
#include <system_error>
#include <vector>

#include "mia/core/error.hpp"
#include "mia/video/ffmpeg.hpp"
#include "mia/video/frame.hpp"
#include "mia/video/writer_config.hpp"

namespace mia::detail {

/// What VideoWriter writes to: one class for each kind of output. Its words are those of VideoWriter.
class FrameOutput {
public:
    FrameOutput() = default;
    FrameOutput(const FrameOutput&) = delete;
    FrameOutput& operator=(const FrameOutput&) = delete;
    virtual ~FrameOutput() = default;

    virtual std::int64_t frames_done() const { return 0; }
    virtual void write(const VideoFrame& frame) = 0;
    virtual void write(Packet&) {}
    virtual void end_chunk() {}
    virtual void finish() = 0;
    virtual bool resumable() const { return false; }
    virtual std::filesystem::path partial_path() const { return {}; }
    virtual std::string note() const { return {}; }

    std::vector<std::string> left_out;
};

/// Refuses a name that leads to something else than an old file which may be replaced.
inline void check_existing_file(const std::filesystem::path& path, Existing existing) {
    std::error_code failure;
    const auto status = std::filesystem::status(path, failure);
    if (!std::filesystem::exists(status)) return;
    require(std::filesystem::is_regular_file(status), path.string(),
            ": the output's name is that of something that is ", "no file. Choose another name.");
    require(existing == Existing::overwrite, path.string(),
            ": the output exists already. Choose another name, or ask for overwrite.");
}

}  // namespace mia::detail
