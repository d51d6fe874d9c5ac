#pragma once
#include <algorithm>
#include <charconv>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <system_error>

#include "mia/core/error.hpp"
#include "mia/video/checks.hpp"

// https://wiki.multimedia.cx/index.php/YUV4MPEG2

namespace mia::detail {

inline bool is_y4m(std::string_view head) { return head.starts_with("YUV4MPEG2"); }

/// The first line of a y4m stream, made printable.
inline std::string y4m_header(std::string_view head) {
    std::string line(head.substr(0, head.find('\n')));
    for (char& c : line)
        if (c < ' ' || c > '~') c = '?';
    constexpr std::size_t most = 160;
    return line.size() > most ? line.substr(0, most) + "..." : line;
}

/// Refuses y4m headers whose numbers cannot be meant, before memory is taken for them; what they say of colour is left
/// to FFmpeg. `head`: the first bytes of the stream.
inline void check_y4m_header(std::string_view head, std::int64_t max_pixels, const std::string& name) {
    const std::string where = text(name, ": the y4m header \"", y4m_header(head), "\" ");
    const std::string remedy = ". Check the program that wrote it.";
    require(head.find('\n') != head.npos, where, "does not end within the first ", head.size(), " bytes", remedy);
    const auto number = [](std::string_view digits, std::int64_t& value) {
        const auto [end, failure] = std::from_chars(digits.data(), digits.data() + digits.size(), value);
        return failure == std::errc() && end == digits.data() + digits.size();
    };
    std::int64_t width = 0, height = 0, rate = 0, scale = 0;
    std::string_view rest = head.substr(0, head.find('\n'));
    while (!rest.empty()) {
        const std::string_view field = rest.substr(0, rest.find(' '));
        rest.remove_prefix(std::min(rest.size(), field.size() + 1));
        if (field.empty()) continue;
        const std::string_view value = field.substr(1);
        const std::size_t colon = value.find(':');
        bool right = true;
        if (field[0] == 'W') right = number(value, width);
        if (field[0] == 'H') right = number(value, height);
        if (field[0] == 'F')
            right =
                colon != value.npos && number(value.substr(0, colon), rate) && number(value.substr(colon + 1), scale);
        require(right, where, "has a field ", field, " that is no number", remedy);
        require(field != "Im", where,
                "mixes interlaced and progressive frames, which FFmpeg does not read. "
                "Deinterlace the video before it becomes y4m.");
    }
    check_picture_size(width, height, max_pixels, name);
    require(rate > 0 && scale > 0 && rate <= INT32_MAX && scale <= INT32_MAX, where, "states no usable frame rate (F",
            rate, ":", scale, "). Have the program that writes it state one, such as F25:1.");
}

}  // namespace mia::detail
