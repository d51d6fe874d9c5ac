#pragma once
#include <algorithm>
#include <map>
#include <optional>
#include <string>

#include "mia/core/error.hpp"
#include "mia/video/frame.hpp"
#include "mia/video/pixel_format.hpp"

namespace mia {

/// What to do when a file of the output's name is there. A folder that holds files is never written over.
enum class Existing {
    refuse,
    overwrite  ///< the old file stays until the new one is whole
};

/// What to do when an earlier run has left the output unfinished. Without a finished chunk there is nothing to lose,
/// and the run begins anew whatever is asked for; without an unfinished run `resume` begins one.
enum class Unfinished {
    refuse,
    resume,  ///< go on after the last finished chunk; Error when input or options are not those of the earlier run
    restart  ///< delete what the earlier run has made
};

struct VideoWriterConfig {
    /// "h264", "hevc", "vp9", "av1", "ffv1", "prores", or the name of any encoder of FFmpeg's libraries; empty: what
    /// is customary for the container and the depth. Ignored by images and y4m.
    std::string codec = {};
    std::optional<double> crf = {};  ///< quality, in the codec's own scale, smaller is better; none: near lossless
    std::string preset = {};         ///< speed against size, in the codec's own words; empty: a middle one

    /// Of the encoder; 0: one for each processor. x264's and x265's bytes depend on the number, so it is fixed: the
    /// same on every machine, and the same for the two halves of an interrupted run.
    int threads = 4;

    std::string pixel_format = {};        ///< FFmpeg's name, "yuv420p10le"; empty: by the codec, the depth and the size
    OddSize odd_size = OddSize::use_444;  ///< what becomes of an output of odd size that 4:2:0 cannot hold
    int bit_depth = 0;                    ///< of a sample of the output, 8 to 16; 0: as VideoInfo says
    std::map<std::string, std::string> encoder_options = {};  ///< the encoder's own, by FFmpeg's names

    Existing existing = Existing::refuse;
    Unfinished unfinished = Unfinished::refuse;
    bool drop_streams = false;  ///< leave out streams that the output cannot hold instead of refusing them

    /// Whatever else makes two runs the same run: the model's name, the hash of its weights, the program's options. A
    /// run is resumed only when all of it is what it was; names appear in messages.
    std::map<std::string, std::string> identity = {};
};

namespace detail {

/// Bits of a sample of the output.
inline int output_depth(const VideoInfo& info, const VideoWriterConfig& config) {
    if (config.bit_depth == 0) return std::clamp(info.bit_depth, 8, 16);
    require(config.bit_depth >= 8 && config.bit_depth <= 16, "the output's bit depth is to be ", config.bit_depth,
            ". Use 8 to 16, or 0 for that of the input.");
    return config.bit_depth;
}

}  // namespace detail

}  // namespace mia
