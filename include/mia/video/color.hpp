#pragma once
#include <algorithm>
#include <array>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <vector>

#include "mia/core/error.hpp"
#include "mia/core/view.hpp"
#include "mia/video/ffmpeg.hpp"
#include "mia/video/frame.hpp"
#include "mia/video/zimg.hpp"

// Y'CbCr and R'G'B' (ITU-T H.273), in float and without a detour over 8 bits:
//   y = kr r + (1 - kr - kb) g + kb b,   cb = (b - y) / (2 (1 - kb)),   cr = (r - y) / (2 (1 - kr))
//   limited range of d bits: Y = (219 y + 16) 2^(d-8),   C = (224 c + 128) 2^(d-8)
//   full range:              Y = (2^d - 1) y,            C = (2^d - 1) c + 2^(d-1)

namespace mia {

/// Shares of red and blue in luma.
struct LumaWeights {
    double red, blue;
};

/// Error for matrices that are not of the form above (constant luminance, ICtCp, YCgCo, ...).
inline LumaWeights luma_weights(AVColorSpace matrix) {
    switch (matrix) {
        case AVCOL_SPC_BT709:
            return {0.2126, 0.0722};
        case AVCOL_SPC_FCC:
            return {0.30, 0.11};
        case AVCOL_SPC_BT470BG:
        case AVCOL_SPC_SMPTE170M:
            return {0.299, 0.114};
        case AVCOL_SPC_SMPTE240M:
            return {0.212, 0.087};
        case AVCOL_SPC_BT2020_NCL:
            return {0.2627, 0.0593};
        default:
            break;
    }
    const char* name = av_color_space_name(matrix);
    throw Error(text("the colour matrix ", name != nullptr ? name : "without a name", " (", int(matrix),
                     ") is not supported. Convert the video to bt709 first: ffmpeg -i IN -vf colorspace=bt709 OUT"));
}

/// The matrix that players assume for a video that names none.
inline AVColorSpace customary_matrix(int width, int height) {
    if (width >= 1280 || height > 576) return AVCOL_SPC_BT709;
    return height == 576 ? AVCOL_SPC_BT470BG : AVCOL_SPC_SMPTE170M;
}

/// The tags of a Y'CbCr video made from frames of this colour: the same; what is unnamed becomes the custom of its
/// matrix, and RGB becomes bt709 in limited range.
inline VideoColor output_color(VideoColor color) {
    if (color.matrix == AVCOL_SPC_RGB || color.matrix == AVCOL_SPC_UNSPECIFIED) {
        color.matrix = AVCOL_SPC_BT709;
        color.range = AVCOL_RANGE_MPEG;
    }
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

/// Distance in luma samples from the first luma sample to the first chroma sample, for chroma of 1 / `factor` the size.
inline float chroma_offset_x(AVChromaLocation location, int factor) {
    const bool centre =
        location == AVCHROMA_LOC_CENTER || location == AVCHROMA_LOC_TOP || location == AVCHROMA_LOC_BOTTOM;
    return centre ? float(factor - 1) / 2 : 0.f;
}
inline float chroma_offset_y(AVChromaLocation location, int factor) {
    if (location == AVCHROMA_LOC_TOPLEFT || location == AVCHROMA_LOC_TOP) return 0;
    if (location == AVCHROMA_LOC_BOTTOMLEFT || location == AVCHROMA_LOC_BOTTOM) return float(factor - 1);
    return float(factor - 1) / 2;
}

/// Four neighbours of a sample and their weights; the edge is repeated.
struct CubicTaps {
    std::array<int, 4> index;
    std::array<float, 4> weight;
};

/// Catmull-Rom taps that bring `in` samples, spaced `factor` apart and beginning at `offset`, to `out` samples.
inline std::vector<CubicTaps> cubic_taps(int in, int out, int factor, float offset) {
    std::vector<CubicTaps> taps(static_cast<std::size_t>(out));
    for (int i = 0; i < out; ++i) {
        const float position = (float(i) - offset) / float(factor);
        const int base = int(std::floor(position));
        const float t = position - float(base);
        auto& [index, weight] = taps[std::size_t(i)];
        for (int k = 0; k < 4; ++k) index[std::size_t(k)] = std::clamp(base - 1 + k, 0, in - 1);
        weight = {t * (-0.5f + t * (1 - 0.5f * t)), 1 + t * t * (-2.5f + 1.5f * t), t * (0.5f + t * (2 - 1.5f * t)),
                  t * t * (-0.5f + 0.5f * t)};
    }
    return taps;
}

/// Scale and offset between a sample's number and its value.
struct SampleRange {
    float luma_scale, luma_zero, chroma_scale, chroma_zero;
};
inline SampleRange sample_range(AVColorRange range, int depth) {
    const float unit = float(1 << (depth - 8));
    if (range == AVCOL_RANGE_JPEG) {
        const float top = float((1 << depth) - 1);
        return {top, 0, top, float(1 << (depth - 1))};
    }
    return {219 * unit, 16 * unit, 224 * unit, 128 * unit};
}

}  // namespace detail

/// Decoded pictures of any integer format with up to 16 bits a sample to RGB. Subsampled chroma is brought to full
/// size by Catmull-Rom, where its tags put it. Keeps its working memory from frame to frame.
class ToRgb {
public:
    /// out: (frame.height, frame.width, 3) in [0, 1]; RGB and grey samples become sample / (2^depth - 1), exactly;
    /// alpha is left out. `color` holds for what the frame itself does not name. Error for formats it does not know.
    void convert(const AVFrame& frame, const VideoColor& color, View<float, 3> out) {
        const auto format = AVPixelFormat(frame.format);
        const AVPixFmtDescriptor* desc = av_pix_fmt_desc_get(format);
        const std::uint64_t unknown = AV_PIX_FMT_FLAG_HWACCEL | AV_PIX_FMT_FLAG_FLOAT | AV_PIX_FMT_FLAG_BAYER;
        require(desc != nullptr && (desc->flags & unknown) == 0 && desc->comp[0].depth <= 16 &&
                    format != AV_PIX_FMT_XYZ12LE && format != AV_PIX_FMT_XYZ12BE && format != AV_PIX_FMT_MONOWHITE,
                "the pixel format ", desc != nullptr ? desc->name : "without a name",
                " is not supported. Convert the video first: ffmpeg -i IN -pix_fmt yuv420p OUT");
        require(out.extent(0) == frame.height && out.extent(1) == frame.width && out.extent(2) == 3,
                "ToRgb: the frame is ", frame.height, " x ", frame.width, ", the result ", shape_text(out),
                ". Give it (height, width, 3).");
        const bool palette = (desc->flags & AV_PIX_FMT_FLAG_PAL) != 0;
        if ((desc->flags & AV_PIX_FMT_FLAG_RGB) != 0 || palette || desc->nb_components <= 2)
            convert_direct(frame, *desc, palette, color, out);
        else
            convert_yuv(frame, *desc, color, out);
    }

private:
    void read_line(const AVFrame& frame, const AVPixFmtDescriptor& desc, int row, int component, int width) {
        line_.resize(std::size_t(width));
        const std::uint8_t* planes[4] = {frame.data[0], frame.data[1], frame.data[2], frame.data[3]};
        av_read_image_line2(line_.data(), planes, frame.linesize, &desc, 0, row, component, width, 0, 2);
    }

    /// Numbers of a palette's entries, 0xAARRGGBB, to their red, green or blue.
    void look_up(const AVFrame& frame, int c) {
        for (std::uint16_t& sample : line_) {
            std::uint32_t entry = 0;
            std::memcpy(&entry, frame.data[1] + 4 * sample, sizeof entry);
            sample = std::uint16_t(entry >> (16 - 8 * c) & 255);
        }
    }

    void convert_direct(const AVFrame& frame, const AVPixFmtDescriptor& desc, bool palette, const VideoColor& color,
                        View<float, 3> out) {
        const bool grey = desc.nb_components <= 2 && !palette;
        for (int y = 0; y < frame.height; ++y) {
            for (int c = 0; c < 3; ++c) {
                if (c == 0 || !grey) read_line(frame, desc, y, grey || palette ? 0 : c, frame.width);
                if (palette) look_up(frame, c);
                const int depth = palette ? 8 : desc.comp[grey ? 0 : c].depth;
                float zero = 0, scale = float((1 << depth) - 1);
                if (grey && depth >= 8 && color.matrix != AVCOL_SPC_RGB && color.range == AVCOL_RANGE_MPEG) {
                    const auto range = detail::sample_range(color.range, depth);
                    zero = range.luma_zero;
                    scale = range.luma_scale;
                }
                float* to = out.data + std::ptrdiff_t(y) * frame.width * 3 + c;
                for (int x = 0; x < frame.width; ++x)
                    to[3 * x] = detail::clamp01((float(line_[std::size_t(x)]) - zero) / scale);
            }
        }
    }

    void convert_yuv(const AVFrame& frame, const AVPixFmtDescriptor& desc, const VideoColor& color,
                     View<float, 3> out) {
        const auto matrix = frame.colorspace == AVCOL_SPC_UNSPECIFIED ? color.matrix : frame.colorspace;
        const auto [kr, kb] = luma_weights(matrix);
        const auto color_range = frame.color_range == AVCOL_RANGE_UNSPECIFIED ? color.range : frame.color_range;
        const auto range = detail::sample_range(color_range, desc.comp[0].depth);
        const auto location =
            frame.chroma_location == AVCHROMA_LOC_UNSPECIFIED ? color.chroma_location : frame.chroma_location;
        const int chroma_width = AV_CEIL_RSHIFT(frame.width, desc.log2_chroma_w);
        const int chroma_height = AV_CEIL_RSHIFT(frame.height, desc.log2_chroma_h);
        prepare_taps(frame, desc, location);

        const std::size_t plane = std::size_t(chroma_width) * std::size_t(chroma_height);
        chroma_.resize(2 * plane);  // (2, chroma height, chroma width), in [-0.5, 0.5]
        for (int c = 0; c < 2; ++c)
            for (int y = 0; y < chroma_height; ++y) {
                read_line(frame, desc, y, 1 + c, chroma_width);
                float* row = chroma_.data() + std::size_t(c) * plane + std::size_t(y) * std::size_t(chroma_width);
                for (int x = 0; x < chroma_width; ++x)
                    row[x] = (float(line_[std::size_t(x)]) - range.chroma_zero) / range.chroma_scale;
            }

        const float from_cr = float(2 * (1 - kr)), from_cb = float(2 * (1 - kb));
        const float red = float(kr), blue = float(kb), green = float(1 - kr - kb);
        blend_.resize(std::size_t(chroma_width));
        full_.resize(2 * std::size_t(frame.width));
        for (int y = 0; y < frame.height; ++y) {
            for (int c = 0; c < 2; ++c)
                upsample_row(chroma_.data() + std::size_t(c) * plane, chroma_width, y,
                             full_.data() + std::size_t(c) * std::size_t(frame.width), frame.width);
            read_line(frame, desc, y, 0, frame.width);
            float* to = out.data + std::ptrdiff_t(y) * frame.width * 3;
            const float *cb = full_.data(), *cr = cb + frame.width;
            for (int x = 0; x < frame.width; ++x) {
                const float luma = (float(line_[std::size_t(x)]) - range.luma_zero) / range.luma_scale;
                const float r = luma + from_cr * cr[x], b = luma + from_cb * cb[x];
                to[3 * x] = detail::clamp01(r);
                to[3 * x + 1] = detail::clamp01((luma - red * r - blue * b) / green);
                to[3 * x + 2] = detail::clamp01(b);
            }
        }
    }

    /// Row `y` at full height, then at full width.
    void upsample_row(const float* plane, int chroma_width, int y, float* to, int width) {
        const auto& [rows, row_weights] = taps_y_[std::size_t(y)];
        const float* r[4];
        for (std::size_t k = 0; k < 4; ++k) r[k] = plane + std::ptrdiff_t(rows[k]) * chroma_width;
        for (int x = 0; x < chroma_width; ++x)
            blend_[std::size_t(x)] = row_weights[0] * r[0][x] + row_weights[1] * r[1][x] + row_weights[2] * r[2][x] +
                                     row_weights[3] * r[3][x];
        for (int x = 0; x < width; ++x) {
            const auto& [index, weight] = taps_x_[std::size_t(x)];
            float sum = 0;
            for (std::size_t k = 0; k < 4; ++k) sum += weight[k] * blend_[std::size_t(index[k])];
            to[x] = sum;
        }
    }

    void prepare_taps(const AVFrame& frame, const AVPixFmtDescriptor& desc, AVChromaLocation location) {
        const std::array<int, 5> key = {frame.width, frame.height, desc.log2_chroma_w, desc.log2_chroma_h,
                                        int(location)};
        if (key == taps_key_) return;
        const int fx = 1 << desc.log2_chroma_w, fy = 1 << desc.log2_chroma_h;
        taps_x_ = detail::cubic_taps(AV_CEIL_RSHIFT(frame.width, desc.log2_chroma_w), frame.width, fx,
                                     detail::chroma_offset_x(location, fx));
        taps_y_ = detail::cubic_taps(AV_CEIL_RSHIFT(frame.height, desc.log2_chroma_h), frame.height, fy,
                                     detail::chroma_offset_y(location, fy));
        taps_key_ = key;
    }

    std::vector<std::uint16_t> line_;
    std::vector<float> chroma_, blend_, full_;
    std::vector<detail::CubicTaps> taps_x_, taps_y_;
    std::array<int, 5> taps_key_ = {};
};

/// RGB to Y'CbCr of 8 bits, 4:4:4 or 4:2:0. Chroma of 4:2:0 is filtered with (1 2 1)/4 where it lies on a luma sample
/// and (1 1)/2 where it lies between two.
class FromRgb {
public:
    /// in: (H, W, 3), clamped to [0, 1] -> frame: yuv420p (H and W even) or yuv444p of that size, with its buffers.
    /// `color` as output_color() makes it.
    void convert(View<const float, 3> in, const VideoColor& color, AVFrame& frame) {
        const bool subsampled = frame.format == AV_PIX_FMT_YUV420P;
        require((subsampled && frame.width % 2 == 0 && frame.height % 2 == 0) || frame.format == AV_PIX_FMT_YUV444P,
                "FromRgb: yuv444p, or yuv420p with an even size needed, found ", frame.width, " x ", frame.height, " ",
                av_get_pix_fmt_name(AVPixelFormat(frame.format)), ". Use yuv444p for odd sizes.");
        require(in.extent(0) == frame.height && in.extent(1) == frame.width && in.extent(2) == 3, "FromRgb: picture ",
                shape_text(in), " for a frame of ", frame.height, " x ", frame.width, ". They must agree.");
        const auto [kr, kb] = luma_weights(color.matrix);
        red_ = float(kr), green_ = float(1 - kr - kb), blue_ = float(kb);
        to_cb_ = float(0.5 / (1 - kb)), to_cr_ = float(0.5 / (1 - kr));
        const auto range = detail::sample_range(color.range, 8);

        for (int y = 0; y < frame.height; ++y) {
            const float* rgb = in.data + std::ptrdiff_t(y) * frame.width * 3;
            std::uint8_t* to = frame.data[0] + std::ptrdiff_t(y) * frame.linesize[0];
            for (int x = 0; x < frame.width; ++x) to[x] = code(luma_of(rgb + 3 * x), range.luma_scale, range.luma_zero);
        }

        const int factor = subsampled ? 2 : 1;
        const int width = frame.width / factor;
        const float offset_x = detail::chroma_offset_x(color.chroma_location, factor);
        const float offset_y = detail::chroma_offset_y(color.chroma_location, factor);
        cb_.resize(std::size_t(frame.width));
        cr_.resize(std::size_t(frame.width));
        for (int y = 0; y < frame.height / factor; ++y) {
            std::fill(cb_.begin(), cb_.end(), 0.f);
            std::fill(cr_.begin(), cr_.end(), 0.f);
            for_taps(factor, y, offset_y, frame.height, [&](int row, float weight) { add_row(in, row, weight); });
            for (int x = 0; x < width; ++x) {
                float cb = 0, cr = 0;
                for_taps(factor, x, offset_x, frame.width, [&](int at, float weight) {
                    cb += weight * cb_[std::size_t(at)];
                    cr += weight * cr_[std::size_t(at)];
                });
                frame.data[1][std::ptrdiff_t(y) * frame.linesize[1] + x] =
                    code(cb, range.chroma_scale, range.chroma_zero);
                frame.data[2][std::ptrdiff_t(y) * frame.linesize[2] + x] =
                    code(cr, range.chroma_scale, range.chroma_zero);
            }
        }
    }

private:
    float luma_of(const float* rgb) const {
        return red_ * detail::clamp01(rgb[0]) + green_ * detail::clamp01(rgb[1]) + blue_ * detail::clamp01(rgb[2]);
    }

    void add_row(View<const float, 3> in, int row, float weight) {
        const float* rgb = in.data + std::ptrdiff_t(row) * in.extent(1) * 3;
        for (int x = 0; x < in.extent(1); ++x, rgb += 3) {
            const float luma = luma_of(rgb);
            cb_[std::size_t(x)] += weight * to_cb_ * (detail::clamp01(rgb[2]) - luma);
            cr_[std::size_t(x)] += weight * to_cr_ * (detail::clamp01(rgb[0]) - luma);
        }
    }

    /// Positions and weights of the luma samples that chroma sample `i` is made of; the edge is repeated.
    template <class Visit>
    static void for_taps(int factor, int i, float offset, int size, Visit&& visit) {
        if (factor == 1) return visit(i, 1.f);
        if (offset == 0.5f) {
            visit(2 * i, 0.5f);
            visit(2 * i + 1, 0.5f);
            return;
        }
        const int centre = 2 * i + int(offset);
        visit(std::max(centre - 1, 0), 0.25f);
        visit(centre, 0.5f);
        visit(std::min(centre + 1, size - 1), 0.25f);
    }

    static std::uint8_t code(float value, float scale, float zero) {
        return std::uint8_t(std::clamp(std::nearbyint(value * scale + zero), 0.f, 255.f));
    }

    float red_ = 0, green_ = 0, blue_ = 0, to_cb_ = 0, to_cr_ = 0;
    std::vector<float> cb_, cr_;
};

}  // namespace mia
