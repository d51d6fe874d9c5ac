#pragma once
#include <algorithm>
#include <cstddef>
#include <iterator>
#include <string>
#include <string_view>

#include "mia/core/error.hpp"
#include "mia/video/ffmpeg.hpp"
#include "mia/video/pixel_format.hpp"
#include "mia/video/writer_config.hpp"

namespace mia::detail {

/// What an encoder is called in our words, and how it is asked for pictures that are hard to tell from the original.
struct EncoderTraits {
    std::string_view codec;     // the codec's name in VideoWriterConfig
    const char* encoder;        // FFmpeg's name
    double crf;                 // negative: the encoder has no such scale
    const char* preset_option;  // null: none
    const char* preset;
    Chroma chroma = Chroma::yuv420;
};

/// Of one codec the first that is there is taken.
inline constexpr EncoderTraits encoder_traits[] = {
    {"h264", "libx264", 16, "preset", "medium"},
    {"hevc", "libx265", 17, "preset", "medium"},
    {"vp9", "libvpx-vp9", 18, "cpu-used", "2"},
    {"av1", "libsvtav1", 20, "preset", "7"},
    {"av1", "libaom-av1", 18, "cpu-used", "6"},
    {"ffv1", "ffv1", -1, nullptr, ""},
    {"prores", "prores_ks", -1, nullptr, "", Chroma::yuv422},
};

inline const EncoderTraits* find_traits(std::string_view encoder) {
    const auto* found = std::find_if(std::begin(encoder_traits), std::end(encoder_traits),
                                     [&](const EncoderTraits& traits) { return encoder == traits.encoder; });
    return found == std::end(encoder_traits) ? nullptr : found;
}

/// The encoder of a codec, or of FFmpeg's name for one; null without it.
inline const AVCodec* find_encoder(std::string_view codec) {
    if (codec == "h265") codec = "hevc";
    bool known = false;
    for (const EncoderTraits& traits : encoder_traits) {
        if (traits.codec != codec) continue;
        known = true;
        if (const AVCodec* encoder = avcodec_find_encoder_by_name(traits.encoder)) return encoder;
    }
    return known ? nullptr : avcodec_find_encoder_by_name(std::string(codec).c_str());
}

/// False when the container is known not to hold the codec. Some muxers do not say; they refuse when the file is begun.
inline bool can_hold(const AVOutputFormat& container, AVCodecID codec) {
    return codec != AV_CODEC_ID_NONE && avformat_query_codec(&container, codec, FF_COMPLIANCE_NORMAL) != 0;
}

/// What is customary for the container: h264, or hevc for more than 8 bits a sample, which h264's players rarely take;
/// vp9 for WebM; and where none of these fits what the container's own author chose.
inline const AVCodec* customary_encoder(const AVOutputFormat& container, int depth) {
    for (const char* codec : {depth > 8 ? "hevc" : "h264", "h264", "vp9"})
        if (const AVCodec* encoder = find_encoder(codec); encoder != nullptr && can_hold(container, encoder->id))
            return encoder;
    return avcodec_find_encoder(container.video_codec);
}

/// The encoder that `config` asks for. Error when it is not there or when the container cannot hold what it makes.
inline const AVCodec& choose_encoder(const std::string& name, const VideoWriterConfig& config,
                                     const AVOutputFormat& container, int depth) {
    const AVCodec* encoder = config.codec.empty() ? customary_encoder(container, depth) : find_encoder(config.codec);
    require(encoder != nullptr && encoder->type == AVMEDIA_TYPE_VIDEO, name,
            ": FFmpeg's libraries have no video encoder ",
            config.codec.empty() ? "for this container" : "\"" + config.codec + "\"",
            ". Use h264, hevc, vp9, av1, ffv1, prores or a name that `ffmpeg -encoders` lists.");
    require(can_hold(container, encoder->id), name, ": a ", container.name, " file cannot hold ",
            avcodec_get_name(encoder->id), ". Choose another codec, or .mkv, which holds nearly all.");
    return *encoder;
}

}  // namespace mia::detail
