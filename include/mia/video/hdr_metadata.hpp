#pragma once
extern "C" {
#include <libavutil/mastering_display_metadata.h>
}

#include <cmath>
#include <cstdint>
#include <cstring>
#include <optional>
#include <string>

#include "mia/core/error.hpp"
#include "mia/video/ffmpeg.hpp"

namespace mia::detail {

/// The screen that a video was made for, and how bright it gets (SMPTE ST 2086, CTA-861.3).
struct HdrMetadata {
    std::optional<AVMasteringDisplayMetadata> display;
    std::optional<AVContentLightMetadata> light;
};

/// A stream's side data of this type, null without it.
inline const std::uint8_t* side_data_of(const AVStream& stream, AVPacketSideDataType type) {
#if LIBAVFORMAT_VERSION_INT >= AV_VERSION_INT(60, 15, 100)
    const AVPacketSideData* data =
        av_packet_side_data_get(stream.codecpar->coded_side_data, stream.codecpar->nb_coded_side_data, type);
    return data != nullptr ? data->data : nullptr;
#else
    return av_stream_get_side_data(&stream, type, nullptr);
#endif
}

inline HdrMetadata hdr_metadata(const AVStream& stream) {
    HdrMetadata hdr;
    const auto read = [&](AVPacketSideDataType type, auto& into) {
        if (const std::uint8_t* data = side_data_of(stream, type)) std::memcpy(&into.emplace(), data, sizeof *into);
    };
    read(AV_PKT_DATA_MASTERING_DISPLAY_METADATA, hdr.display);
    read(AV_PKT_DATA_CONTENT_LIGHT_LEVEL, hdr.light);
    return hdr;
}

/// The same in x265's words, to follow other parameters: ":master-display=G(x,y)B(x,y)R(x,y)WP(x,y)L(max,min)", in
/// units of 0.00002 and of 0.0001 cd/m2, and ":max-cll=content,frame average" in cd/m2.
inline std::string x265_params(const HdrMetadata& hdr) {
    std::string params;
    const auto in = [](AVRational value, int unit) { return std::llround(av_q2d(value) * unit); };
    if (hdr.display && hdr.display->has_primaries != 0 && hdr.display->has_luminance != 0) {
        const auto& screen = *hdr.display;
        const auto point = [&](const AVRational xy[2]) {
            return text("(", in(xy[0], 50000), ",", in(xy[1], 50000), ")");
        };
        params += text(":master-display=G", point(screen.display_primaries[1]), "B", point(screen.display_primaries[2]),
                       "R", point(screen.display_primaries[0]), "WP", point(screen.white_point), "L(",
                       in(screen.max_luminance, 10000), ",", in(screen.min_luminance, 10000), ")");
    }
    if (hdr.light) params += text(":max-cll=", hdr.light->MaxCLL, ",", hdr.light->MaxFALL);
    return params;
}

}  // namespace mia::detail
