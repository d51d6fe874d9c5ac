#include <sys/mman.h>
#include <unistd.h>

#include <array>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <filesystem>
#include <mia/video/reader.hpp>
#include <string>

namespace {

constexpr int most_frames = 20;
constexpr std::int64_t most_pixels = 1 << 16;

/// Frames of one size with growing times, or an Error.
void read(const std::filesystem::path& path, const mia::VideoReaderConfig& config) {
    try {
        mia::VideoReader reader(path, config);
        const mia::VideoInfo& info = reader.info();
        mia::VideoFrame frame;
        std::int64_t last = 0;
        for (int i = 0; i < most_frames && reader.read(frame); ++i) {
            if (frame.width != info.width || frame.height != info.height) std::abort();
            if (std::int64_t(frame.width) * frame.height > most_pixels) std::abort();
            if (i > 0 && frame.pts <= last) std::abort();
            for (const float x : frame.pixels)
                if (!(x >= 0 && x <= 1)) std::abort();
            last = frame.pts;
        }
    } catch (const mia::Error&) {
    }
}

/// The bytes as a file that has no name but that of its descriptor.
void read_as_file(const std::uint8_t* data, std::size_t size) {
    const int file = memfd_create("fuzz", 0);
    if (file < 0 || write(file, data, size) != ssize_t(size)) std::abort();
    lseek(file, 0, SEEK_SET);
    const std::string path = "/proc/self/fd/" + std::to_string(file);
    read(path, {.max_pixels = most_pixels});
    read(path, {.start = mia::FrameNumber{1}, .end = mia::Seconds{1}, .deinterlace = true, .max_pixels = most_pixels});
    close(file);
}

/// The same through a pipe, which holds them all, so that nobody waits.
void read_as_pipe(const std::uint8_t* data, std::size_t size) {
    constexpr std::size_t pipe_holds = 1 << 16;
    std::array<int, 2> ends = {};
    if (size > pipe_holds || pipe(ends.data()) != 0) return;
    if (write(ends[1], data, size) != ssize_t(size)) std::abort();
    close(ends[1]);
    read("/proc/self/fd/" + std::to_string(ends[0]), {.max_pixels = most_pixels});
    close(ends[0]);
}

}  // namespace

extern "C" int LLVMFuzzerInitialize(int*, char***) {
    mia::silence_ffmpeg();
    return 0;
}

/// Only what begins like y4m: FFmpeg's other demuxers are not ours to search for faults.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    const std::string stream = "YUV4MPEG2" + std::string(reinterpret_cast<const char*>(data), size);
    const auto* bytes = reinterpret_cast<const std::uint8_t*>(stream.data());
    read_as_file(bytes, stream.size());
    read_as_pipe(bytes, stream.size());
    return 0;
}
