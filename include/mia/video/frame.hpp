#pragma once
#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "mia/core/view.hpp"
#include "mia/video/ffmpeg.hpp"

namespace mia {

/// How numbers in a file become colours. The values are those of ITU-T H.273, in FFmpeg's names.
struct VideoColor {
    AVColorSpace matrix = AVCOL_SPC_BT709;
    AVColorRange range = AVCOL_RANGE_MPEG;  ///< MPEG: limited, 16 to 235 of 8 bits; JPEG: full
    AVColorPrimaries primaries = AVCOL_PRI_UNSPECIFIED;
    AVColorTransferCharacteristic transfer = AVCOL_TRC_UNSPECIFIED;
    AVChromaLocation chroma_location = AVCHROMA_LOC_UNSPECIFIED;
    bool guessed = false;  ///< the file names no matrix: this one is the custom for its size

    bool operator==(const VideoColor&) const = default;
};

/// Where frames come from.
enum class SourceKind {
    file,    ///< a video file
    images,  ///< a folder of images, or numbered images
    pipe     ///< standard input or a named pipe: read once, from front to back, of unknown length
};

/// What is known of a video, or of a sequence of images, before it is decoded.
struct VideoInfo {
    std::filesystem::path path;
    SourceKind kind = SourceKind::file;
    int stream_index = -1;            ///< of the file's streams; -1 for images
    int width = 0, height = 0;        ///< pixels
    AVRational time_base = {1, 25};   ///< seconds of one unit of a frame's pts and duration
    AVRational frame_rate = {25, 1};  ///< frames a second, the mean where it varies; 0/1 unknown
    std::int64_t frame_count = 0;     ///< 0 unknown; an estimate where the file does not count its frames
    double seconds = 0;               ///< 0 unknown
    double start_seconds = 0;         ///< the part that is read begins here, counted from the first frame
    double end_seconds = -1;          ///< and ends before this; negative: at the end
    AVPixelFormat pixel_format = AV_PIX_FMT_RGB24;
    int bit_depth = 8;                        ///< of a sample as coded
    bool interlaced = false;                  ///< as coded; what is read is progressive
    AVRational sample_aspect_ratio = {0, 1};  ///< 0: not stated
    VideoColor color;
    std::string codec;  ///< FFmpeg's name: "h264", "png"
};

/// A picture and its time.
struct VideoFrame {
    std::vector<float> pixels;  ///< (height, width, 3) RGB, in [0, 1] as decoded
    int height = 0, width = 0;
    std::int64_t pts = 0;       ///< in units of the video's time_base
    std::int64_t duration = 0;  ///< the same; 0 unknown
    std::string name;           ///< file name, where the frame is an image of a folder

    /// Keeps the memory when the size stays.
    void resize(int new_height, int new_width) {
        height = new_height;
        width = new_width;
        pixels.resize(std::size_t(height) * std::size_t(width) * 3);
    }
    View<float, 3> view() { return {pixels.data(), {height, width, 3}}; }
    View<const float, 3> view() const { return {pixels.data(), {height, width, 3}}; }
};

}  // namespace mia
