#pragma once
#include <string>
#include <vector>

#include "mia/core/error.hpp"
#include "mia/metrics/quality.hpp"

/// What of a clip the literature's tables count.
struct Protocol {
    const char* name;
    bool y, rgb;       ///< the channels that are printed
    bool centre_only;  ///< the middle frame of each clip instead of the mean over all
    int border;        ///< pixels left out on each side
};

/// As BasicVSR (Chan, Wang, Yu, Dong, Loy, CVPR 2021) and those after it measure, MIA-VSR too: nothing left out at the
/// border; RGB for REDS4, Y for the others; of Vimeo-90K-T's clips of seven frames the fourth alone. docs/programs.md
/// has the sources.
inline constexpr Protocol protocols[] = {{"all-frames", true, true, false, 0},
                                         {"vid4", true, false, false, 0},
                                         {"reds4", false, true, false, 0},
                                         {"vimeo", true, false, true, 0}};

inline const Protocol& protocol_named(const std::string& name) {
    for (const Protocol& protocol : protocols)
        if (name == protocol.name) return protocol;
    throw mia::Error("the protocol " + name + " is not known. Use all-frames, vid4, reds4 or vimeo.");
}

/// The frames of a clip that count, numbered; Error for a clip without a middle frame where that one is asked for.
inline std::vector<std::size_t> counted_frames(const Protocol& protocol, std::size_t frames, const std::string& clip) {
    std::vector<std::size_t> all;
    if (protocol.centre_only) {
        mia::require(frames % 2 == 1, clip, ": a clip of ", frames, " frames has no middle frame, which ",
                     protocol.name, " measures. Use an odd number (Vimeo-90K-T: 7), or another protocol.");
        all.push_back(frames / 2);
    } else {
        for (std::size_t t = 0; t < frames; ++t) all.push_back(t);
    }
    return all;
}
