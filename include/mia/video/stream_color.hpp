#pragma once
#include <string>
#include <string_view>

#include "mia/core/error.hpp"
#include "mia/video/checks.hpp"
#include "mia/video/color.hpp"
#include "mia/video/ffmpeg.hpp"
#include "mia/video/frame.hpp"

namespace mia::detail {

/// The colour of a stream: what the container says, else what its first frame says, else the custom for its format
/// and size; jpeg formats are of full range. Error for a matrix that ToRgb does not know, now and not after an hour.
inline VideoColor stream_color(const AVCodecParameters& coded, const AVFrame& first, const std::string& name) {
    VideoColor color = {coded.color_space, coded.color_range, coded.color_primaries, coded.color_trc,
                        coded.chroma_location};
    if (color.matrix == AVCOL_SPC_UNSPECIFIED) color.matrix = first.colorspace;
    if (color.range == AVCOL_RANGE_UNSPECIFIED) color.range = first.color_range;
    if (color.primaries == AVCOL_PRI_UNSPECIFIED) color.primaries = first.color_primaries;
    if (color.transfer == AVCOL_TRC_UNSPECIFIED) color.transfer = first.color_trc;
    if (color.chroma_location == AVCHROMA_LOC_UNSPECIFIED) color.chroma_location = first.chroma_location;

    const AVPixFmtDescriptor* format = av_pix_fmt_desc_get(AVPixelFormat(first.format));
    const bool rgb = format != nullptr && (format->flags & (AV_PIX_FMT_FLAG_RGB | AV_PIX_FMT_FLAG_PAL)) != 0;
    const bool grey = format != nullptr && !rgb && format->nb_components <= 2;
    const bool jpeg = format != nullptr && std::string_view(format->name).starts_with("yuvj");
    if (rgb) color.matrix = AVCOL_SPC_RGB;
    if (color.matrix == AVCOL_SPC_UNSPECIFIED || (color.matrix == AVCOL_SPC_RGB && !rgb)) {
        color.matrix = customary_matrix(first.width, first.height);
        color.guessed = true;
    }
    if (rgb || jpeg || (color.range == AVCOL_RANGE_UNSPECIFIED && grey)) color.range = AVCOL_RANGE_JPEG;
    if (color.range == AVCOL_RANGE_UNSPECIFIED) color.range = AVCOL_RANGE_MPEG;
    if (!rgb && !grey) with_name(name, [&] { require_known_matrix(color); });
    return color;
}

/// The frame gets the tags that hold for its stream, whatever its own say.
inline void set_color(const VideoColor& color, AVFrame& frame) {
    frame.colorspace = color.matrix;
    frame.color_range = color.range;
    frame.color_primaries = color.primaries;
    frame.color_trc = color.transfer;
    frame.chroma_location = color.chroma_location;
}

/// Gives the stream what only its first frame carries: orientation, mastering display and content light level. So
/// whoever copies the stream's side data (copy_side_data) has them too.
inline void adopt_side_data(const AVFrame& first, AVStream& stream) {
    struct Pair {
        AVFrameSideDataType of_frame;
        AVPacketSideDataType of_stream;
    };
    for (const auto& [of_frame, of_stream] :
         {Pair{AV_FRAME_DATA_DISPLAYMATRIX, AV_PKT_DATA_DISPLAYMATRIX},
          Pair{AV_FRAME_DATA_MASTERING_DISPLAY_METADATA, AV_PKT_DATA_MASTERING_DISPLAY_METADATA},
          Pair{AV_FRAME_DATA_CONTENT_LIGHT_LEVEL, AV_PKT_DATA_CONTENT_LIGHT_LEVEL}}) {
        const AVFrameSideData* data = av_frame_get_side_data(&first, of_frame);
        if (data != nullptr && find_side_data(stream, of_stream) == nullptr)
            add_side_data(stream, of_stream, data->data, data->size);
    }
}

}  // namespace mia::detail
