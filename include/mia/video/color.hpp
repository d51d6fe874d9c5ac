#pragma once
#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <string_view>
#include <vector>

#include "mia/core/error.hpp"
#include "mia/core/view.hpp"
#include "mia/video/ffmpeg.hpp"
#include "mia/video/frame.hpp"
#include "mia/video/pixel_format.hpp"
#include "mia/video/zimg.hpp"

// Between coded samples and R'G'B' in float (ITU-T H.273), by zimg and without a detour over 8 bits. Only the matrix,
// the range and the subsampling of chroma are undone; values stay on the transfer curve they are coded with, SDR or
// HDR:
//   y = kr r + (1 - kr - kb) g + kb b,   cb = (b - y) / (2 (1 - kb)),   cr = (r - y) / (2 (1 - kr))
//   limited range of d bits: Y = (219 y + 16) 2^(d-8),   C = (224 c + 128) 2^(d-8)
//   full range:              Y = (2^d - 1) y,            C = (2^d - 1) c + 2^(d-1)
// YCgCo is of another form, and its chroma has luma's scale.

namespace mia {

/// The matrix that players assume for a video that names none.
inline AVColorSpace customary_matrix(int width, int height) {
    if (width >= 1280 || height > 576) return AVCOL_SPC_BT709;
    return height == 576 ? AVCOL_SPC_BT470BG : AVCOL_SPC_SMPTE170M;
}

/// Error for the matrices of Y'CbCr that ToRgb and FromRgb do not know. Known are those of the form above, YCgCo, and
/// ICtCp on the curve PQ. (BT.2020's constant luminance and ICtCp on HLG are not: zimg goes through the light of the
/// display there, where their definitions go through the camera's.)
inline void require_known_matrix(const VideoColor& color) {
    switch (color.matrix) {
        case AVCOL_SPC_BT709:
        case AVCOL_SPC_FCC:
        case AVCOL_SPC_BT470BG:
        case AVCOL_SPC_SMPTE170M:
        case AVCOL_SPC_SMPTE240M:
        case AVCOL_SPC_YCGCO:
        case AVCOL_SPC_BT2020_NCL:
            return;
        case AVCOL_SPC_ICTCP:
            if (color.transfer == AVCOL_TRC_SMPTE2084) return;
            break;
        default:
            break;
    }
    const char* matrix = av_color_space_name(color.matrix);
    const char* transfer = av_color_transfer_name(color.transfer);
    throw Error(text("the colour matrix ", matrix != nullptr ? matrix : "without a name", " (", int(color.matrix),
                     ") with the transfer curve ", transfer != nullptr ? transfer : "without a name",
                     " is not supported for Y'CbCr. Correct the tags, or convert the video to bt709 first: "
                     "ffmpeg -i IN -vf colorspace=bt709 OUT"));
}

/// What holds for a frame: its own tags, where it has none those of its stream, then the defaults of the formats.
inline VideoColor frame_color(const AVFrame& frame, VideoColor stream) {
    VideoColor color = stream;
    if (frame.colorspace != AVCOL_SPC_UNSPECIFIED) color.matrix = frame.colorspace;
    if (frame.color_range != AVCOL_RANGE_UNSPECIFIED) color.range = frame.color_range;
    if (frame.color_primaries != AVCOL_PRI_UNSPECIFIED) color.primaries = frame.color_primaries;
    if (frame.color_trc != AVCOL_TRC_UNSPECIFIED) color.transfer = frame.color_trc;
    if (frame.chroma_location != AVCHROMA_LOC_UNSPECIFIED) color.chroma_location = frame.chroma_location;
    const char* format = av_get_pix_fmt_name(AVPixelFormat(frame.format));
    if (format != nullptr && std::string_view(format).starts_with("yuvj")) color.range = AVCOL_RANGE_JPEG;
    if (color.range == AVCOL_RANGE_UNSPECIFIED) color.range = AVCOL_RANGE_MPEG;
    if (color.chroma_location == AVCHROMA_LOC_UNSPECIFIED) color.chroma_location = AVCHROMA_LOC_LEFT;
    return color;
}

/// The tags of a video made from frames of this colour. For RGB formats: RGB in full range. Else the same tags, but
/// matrices that few players know (YCgCo, ICtCp) become common ones, RGB becomes Y'CbCr in limited
/// range, and what is unnamed becomes the custom of its matrix.
inline VideoColor output_color(VideoColor color, AVPixelFormat format = AV_PIX_FMT_YUV420P) {
    const AVPixFmtDescriptor* desc = av_pix_fmt_desc_get(format);
    if (desc != nullptr && (desc->flags & AV_PIX_FMT_FLAG_RGB) != 0) {
        color.matrix = AVCOL_SPC_RGB;
        color.range = AVCOL_RANGE_JPEG;
        return color;
    }
    if (color.matrix == AVCOL_SPC_RGB || color.matrix == AVCOL_SPC_UNSPECIFIED) {
        color.matrix = AVCOL_SPC_UNSPECIFIED;
        color.range = AVCOL_RANGE_MPEG;
    }
    if (color.matrix == AVCOL_SPC_ICTCP ||
        (color.matrix == AVCOL_SPC_UNSPECIFIED && color.primaries == AVCOL_PRI_BT2020))
        color.matrix = AVCOL_SPC_BT2020_NCL;
    if (color.matrix == AVCOL_SPC_YCGCO || color.matrix == AVCOL_SPC_UNSPECIFIED) color.matrix = AVCOL_SPC_BT709;
    if (color.range == AVCOL_RANGE_UNSPECIFIED) color.range = AVCOL_RANGE_MPEG;
    if (color.primaries == AVCOL_PRI_UNSPECIFIED) {
        color.primaries = color.matrix == AVCOL_SPC_BT470BG      ? AVCOL_PRI_BT470BG
                          : color.matrix == AVCOL_SPC_SMPTE170M  ? AVCOL_PRI_SMPTE170M
                          : color.matrix == AVCOL_SPC_BT2020_NCL ? AVCOL_PRI_BT2020
                                                                 : AVCOL_PRI_BT709;
    }
    if (color.transfer == AVCOL_TRC_UNSPECIFIED)
        color.transfer = color.matrix == AVCOL_SPC_SMPTE170M ? AVCOL_TRC_SMPTE170M : AVCOL_TRC_BT709;
    if (color.chroma_location == AVCHROMA_LOC_UNSPECIFIED) color.chroma_location = AVCHROMA_LOC_LEFT;
    return color;
}

namespace detail {

/// A coded picture as zimg sees it, in words of 16 bits: padded to a size that chroma's factors divide. Grey is the
/// luma of 4:4:4.
inline zimg_image_format coded_format(int height, int width, const AVPixFmtDescriptor& desc, const VideoColor& color) {
    const bool rgb = (desc.flags & AV_PIX_FMT_FLAG_RGB) != 0;
    const auto padded = [](int size, int log2) { return (((size - 1) >> log2) + 1) << log2; };
    auto format = rgb_format(padded(height, desc.log2_chroma_h), padded(width, desc.log2_chroma_w));
    format.pixel_type = ZIMG_PIXEL_WORD;
    format.depth = unsigned(desc.comp[0].depth);
    format.pixel_range = rgb || color.range == AVCOL_RANGE_JPEG ? ZIMG_RANGE_FULL : ZIMG_RANGE_LIMITED;
    if (rgb) return format;
    format.color_family = ZIMG_COLOR_YUV;
    format.subsample_w = desc.log2_chroma_w;
    format.subsample_h = desc.log2_chroma_h;
    format.matrix_coefficients = zimg_matrix_coefficients_e(color.matrix);  // H.273's numbers in both libraries
    if (color.chroma_location != AVCHROMA_LOC_UNSPECIFIED)
        format.chroma_location = zimg_chroma_location_e(int(color.chroma_location) - int(AVCHROMA_LOC_LEFT));
    return format;
}

/// ICtCp mixes linear light: curve and primaries are part of its formula. They are the same on both sides, so that what
/// comes out is on the curve that went in.
inline void set_curve(zimg_image_format& a, zimg_image_format& b, const VideoColor& color) {
    if (color.matrix != AVCOL_SPC_ICTCP) return;
    for (zimg_image_format* format : {&a, &b}) {
        format->color_primaries = ZIMG_PRIMARIES_BT2020;
        format->transfer_characteristics = ZIMG_TRANSFER_ST2084;
    }
}

/// What a graph was built for.
struct PictureKind {
    int height = 0, width = 0;
    AVPixelFormat format = AV_PIX_FMT_NONE;
    VideoColor color;

    bool operator==(const PictureKind&) const = default;
};

}  // namespace detail

/// Decoded pictures of any integer format with up to 16 bits a sample to RGB. Subsampled chroma is brought to full
/// size by Catmull-Rom, where its tags put it (left, where it has none). Keeps its working memory from frame to frame.
class ToRgb {
public:
    /// out: (frame.height, frame.width, 3), clamped to [0, 1]. RGB and grey in full range become sample / (2^depth -
    /// 1), exactly; alpha is left out. `color` holds for what the frame itself does not name. Error for formats and
    /// matrices it does not know.
    void convert(const AVFrame& frame, const VideoColor& color, View<float, 3> out) {
        const auto format = AVPixelFormat(frame.format);
        const AVPixFmtDescriptor* desc = av_pix_fmt_desc_get(format);
        require(desc != nullptr && readable(*desc, format), "the pixel format ",
                desc != nullptr ? desc->name : "without a name",
                " is not supported. Convert the video first: ffmpeg -i IN -pix_fmt yuv420p OUT");
        require(out.size() > 0 && out.extent(0) == frame.height && out.extent(1) == frame.width && out.extent(2) == 3,
                "ToRgb: the frame is ", frame.height, " x ", frame.width, ", the result ", shape_text(out),
                ". Give it (height, width, 3).");
        const VideoColor actual = frame_color(frame, color);
        const bool palette = (desc->flags & AV_PIX_FMT_FLAG_PAL) != 0;
        if (palette)
            convert_palette(frame, *desc, out);
        else if (desc->nb_components <= 2)
            convert_grey(frame, *desc, actual, out);
        else if ((desc->flags & AV_PIX_FMT_FLAG_RGB) != 0)
            convert_rgb(frame, *desc, out);
        else
            convert_yuv(frame, *desc, actual, out);
    }

private:
    /// The last two: not RGB at all, and a layout that descriptors cannot express.
    static bool readable(const AVPixFmtDescriptor& desc, AVPixelFormat format) {
        const std::uint64_t unknown = AV_PIX_FMT_FLAG_HWACCEL | AV_PIX_FMT_FLAG_FLOAT | AV_PIX_FMT_FLAG_BAYER;
        return (desc.flags & unknown) == 0 && desc.comp[0].depth <= 16 &&
               !std::string_view(desc.name).starts_with("xyz") && format != AV_PIX_FMT_UYYVYY411;
    }

    static void read_line(const AVFrame& frame, const AVPixFmtDescriptor& desc, int row, int component, int width,
                          std::uint16_t* to) {
        const std::uint8_t* planes[4] = {frame.data[0], frame.data[1], frame.data[2], frame.data[3]};
        av_read_image_line2(to, planes, frame.linesize, &desc, 0, row, component, width, 0, sizeof *to);
    }

    void convert_rgb(const AVFrame& frame, const AVPixFmtDescriptor& desc, View<float, 3> out) {
        line_.resize(std::size_t(frame.width));
        for (int y = 0; y < frame.height; ++y)
            for (int c = 0; c < 3; ++c) {
                read_line(frame, desc, y, c, frame.width, line_.data());
                const auto top = float((1 << desc.comp[c].depth) - 1);
                float* to = &out(y, 0, c);
                for (int x = 0; x < frame.width; ++x) to[3 * x] = float(line_[std::size_t(x)]) / top;
            }
    }

    void convert_palette(const AVFrame& frame, const AVPixFmtDescriptor& desc, View<float, 3> out) {
        line_.resize(std::size_t(frame.width));
        for (int y = 0; y < frame.height; ++y) {
            read_line(frame, desc, y, 0, frame.width, line_.data());
            for (int x = 0; x < frame.width; ++x) {
                std::uint32_t entry = 0;  // 0xAARRGGBB
                std::memcpy(&entry, frame.data[1] + 4 * line_[std::size_t(x)], sizeof entry);
                for (int c = 0; c < 3; ++c) out(y, x, c) = float(entry >> (16 - 8 * c) & 255) / 255;
            }
        }
    }

    void convert_grey(const AVFrame& frame, const AVPixFmtDescriptor& desc, const VideoColor& color,
                      View<float, 3> out) {
        line_.resize(std::size_t(frame.width));
        const int depth = desc.comp[0].depth;
        const bool limited = depth >= 8 && color.matrix != AVCOL_SPC_RGB && color.range == AVCOL_RANGE_MPEG;
        const float zero = limited ? float(16 << (depth - 8)) : 0;
        const float scale = limited ? float(219 << (depth - 8)) : float((1 << depth) - 1);
        const std::uint16_t inverted = frame.format == AV_PIX_FMT_MONOWHITE ? 1 : 0;
        for (int y = 0; y < frame.height; ++y) {
            read_line(frame, desc, y, 0, frame.width, line_.data());
            for (int x = 0; x < frame.width; ++x) {
                const float value = detail::clamp01((float(line_[std::size_t(x)] ^ inverted) - zero) / scale);
                for (int c = 0; c < 3; ++c) out(y, x, c) = value;
            }
        }
    }

    void convert_yuv(const AVFrame& frame, const AVPixFmtDescriptor& desc, const VideoColor& color,
                     View<float, 3> out) {
        const detail::PictureKind kind = {frame.height, frame.width, AVPixelFormat(frame.format), color};
        if (kind != kind_) prepare(kind, desc);
        for (int c = 0; c < 3; ++c) read_plane(frame, desc, c);
        graph_.run(coded_, rgb_);
        detail::join_rgb(rgb_, out, detail::clamp01);
    }

    void prepare(const detail::PictureKind& kind, const AVPixFmtDescriptor& desc) {
        require_known_matrix(kind.color);
        auto from = detail::coded_format(kind.height, kind.width, desc, kind.color);
        auto to = detail::rgb_format(int(from.height), int(from.width));
        detail::set_curve(from, to, kind.color);
        auto params = detail::default_params();
        params.resample_filter_uv = ZIMG_RESIZE_BICUBIC;
        params.filter_param_a_uv = 0;  // Mitchell and Netravali's B and C
        params.filter_param_b_uv = 0.5;
        kind_ = {};  // stays so when zimg refuses
        graph_.build(from, to, params);
        coded_.resize(from);
        rgb_.resize(to);
        kind_ = kind;
    }

    /// What luma is padded with is undefined: nothing that is kept depends on it.
    void read_plane(const AVFrame& frame, const AVPixFmtDescriptor& desc, int c) {
        const int width = c == 0 ? frame.width : coded_.width(c), height = c == 0 ? frame.height : coded_.height(c);
        for (int y = 0; y < height; ++y) read_line(frame, desc, y, c, width, coded_.row(c, y));
    }

    std::vector<std::uint16_t> line_;
    detail::PictureKind kind_;  // of the graph
    detail::ZimgGraph graph_;
    detail::Planes<std::uint16_t> coded_;
    detail::Planes<float> rgb_;
};

/// How FromRgb rounds to code values.
enum class Dither {
    none,            ///< to the nearest
    ordered,         ///< with a pattern of 16 x 16
    error_diffusion  ///< Floyd and Steinberg: a pixel's error goes on to its neighbours
};

/// RGB to the integer formats that encoders take: Y'CbCr of any subsampling, RGB and grey, planar or packed, of 8 to 16
/// bits. Chroma is low-pass filtered by a triangle as wide as four luma samples, centred where the tags put it: (1 2
/// 1)/4 where it lies on a luma sample, (1 3 3 1)/8 where it lies between two. Keeps its working memory from frame to
/// frame.
class FromRgb {
public:
    explicit FromRgb(Dither dither = Dither::none) : dither_(dither) {}

    /// in: (H, W, 3), clamped to [0, 1], NaN as 0 -> frame: of that size, with its buffers, in a format that
    /// output_pixel_format() gives, or grey. `color` as output_color() makes it. Error for formats and matrices it does
    /// not know.
    void convert(View<const float, 3> in, const VideoColor& color, AVFrame& frame) {
        const AVPixFmtDescriptor* desc = av_pix_fmt_desc_get(AVPixelFormat(frame.format));
        require(
            desc != nullptr && detail::writable(*desc), "FromRgb: the pixel format ",
            desc != nullptr ? desc->name : "without a name",
            " cannot be written. Take one with 8 to 16 bits a sample and without alpha: yuv420p, yuv444p10le, rgb24.");
        require(in.size() > 0 && in.extent(0) == frame.height && in.extent(1) == frame.width && in.extent(2) == 3,
                "FromRgb: picture ", shape_text(in), " for a frame of ", frame.height, " x ", frame.width,
                ". They must agree.");
        const detail::PictureKind kind = {frame.height, frame.width, AVPixelFormat(frame.format), color};
        if (kind != kind_) prepare(kind, *desc);
        detail::split_rgb(in, rgb_, detail::clamp01);
        graph_.run(rgb_, coded_);
        write_planes(*desc, frame);
    }

private:
    void prepare(const detail::PictureKind& kind, const AVPixFmtDescriptor& desc) {
        if ((desc.flags & AV_PIX_FMT_FLAG_RGB) == 0) require_known_matrix(kind.color);
        auto to = detail::coded_format(kind.height, kind.width, desc, kind.color);
        auto from = detail::rgb_format(int(to.height), int(to.width));
        detail::set_curve(from, to, kind.color);
        auto params = detail::default_params();
        params.resample_filter_uv = ZIMG_RESIZE_BILINEAR;
        params.dither_type = dither_ == Dither::none      ? ZIMG_DITHER_NONE
                             : dither_ == Dither::ordered ? ZIMG_DITHER_ORDERED
                                                          : ZIMG_DITHER_ERROR_DIFFUSION;
        kind_ = {};  // stays so when zimg refuses
        graph_.build(from, to, params);
        rgb_.resize(from);
        coded_.resize(to);
        kind_ = kind;
    }

    void write_planes(const AVPixFmtDescriptor& desc, AVFrame& frame) {
        clear(desc, frame);
        for (int c = 0; c < desc.nb_components; ++c) {
            const int width = c == 0 ? frame.width : coded_.width(c), height = c == 0 ? frame.height : coded_.height(c);
            for (int y = 0; y < height; ++y)
                av_write_image_line2(coded_.row(c, y), frame.data, frame.linesize, &desc, 0, y, c, width,
                                     sizeof(std::uint16_t));
        }
    }

    /// av_write_image_line2() adds to what is there.
    static void clear(const AVPixFmtDescriptor& desc, AVFrame& frame) {
        for (int plane = 0; plane < av_pix_fmt_count_planes(AVPixelFormat(frame.format)); ++plane) {
            const int bytes = av_image_get_linesize(AVPixelFormat(frame.format), frame.width, plane);
            const int height = plane == 0 || (desc.flags & AV_PIX_FMT_FLAG_RGB) != 0
                                   ? frame.height
                                   : AV_CEIL_RSHIFT(frame.height, desc.log2_chroma_h);
            for (int y = 0; y < height; ++y)
                std::memset(frame.data[plane] + std::ptrdiff_t(y) * frame.linesize[plane], 0, std::size_t(bytes));
        }
    }

    Dither dither_;
    detail::PictureKind kind_;  // of the graph
    detail::ZimgGraph graph_;
    detail::Planes<float> rgb_;
    detail::Planes<std::uint16_t> coded_;
};

}  // namespace mia
