#pragma once
#include <string>
#include <string_view>

// y4m by hand: the streams that no program would write.

namespace mia::test {

/// A stream with that header line and `frames` frames of `frame_bytes` bytes, the n-th filled with the value n.
inline std::string y4m(std::string_view fields, int frames, std::size_t frame_bytes) {
    std::string bytes = "YUV4MPEG2 " + std::string(fields) + "\n";
    for (int i = 0; i < frames; ++i) bytes += "FRAME\n" + std::string(frame_bytes, char(i));
    return bytes;
}

}  // namespace mia::test
