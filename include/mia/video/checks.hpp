#pragma once
#include <cstdint>
#include <string>

#include "mia/core/error.hpp"

namespace mia {

/// Of a decoded picture: 8192 x 8192. As floats, and four times as wide and high, that is already 13 GB.
inline constexpr std::int64_t default_max_pixels = std::int64_t(1) << 26;

namespace detail {

/// Runs `call`; its errors get the name of the file that they are about.
template <class Call>
void with_name(const std::string& name, Call&& call) {
    try {
        call();
    } catch (const Error& error) {
        throw Error(text(name, ": ", error.what()));
    }
}

/// The limit as FFmpeg's decoders take it: they count the padding of lines, too.
inline std::int64_t decoder_limit(std::int64_t max_pixels) {
    constexpr std::int64_t padding = std::int64_t(1) << 22;
    return max_pixels < INT64_MAX / 4 ? 2 * max_pixels + padding : INT64_MAX;
}

/// Refuses what a header says before memory is taken for it.
template <class Number>
void check_picture_size(Number width, Number height, std::int64_t max_pixels, const std::string& name) {
    require(width > 0 && height > 0, name, ": the picture has no size, its header says ", width, " x ", height,
            ". The file is damaged; make or copy it again.");
    const auto limit = std::uint64_t(max_pixels);
    require(std::uint64_t(width) <= limit / std::uint64_t(height), name, ": the picture is ", width, " x ", height,
            ", more than the limit of ", max_pixels, " pixels. If that is its true size, scale the input down or ",
            "raise VideoReaderConfig::max_pixels.");
}

}  // namespace detail
}  // namespace mia
