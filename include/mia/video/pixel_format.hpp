#pragma once
#include <algorithm>
#include <array>
#include <bit>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "mia/core/error.hpp"
#include "mia/video/ffmpeg.hpp"

namespace mia {

/// How much smaller chroma is than luma.
enum class Chroma {
    yuv420,  ///< half as wide and half as high
    yuv422,  ///< half as wide
    yuv444   ///< the same size
};

/// What becomes of a picture whose size is odd where its chroma has to be halved.
enum class OddSize {
    use_444,  ///< chroma of full size instead
    refuse    ///< an Error
};

/// What an encoder is to be given.
struct OutputFormat {
    int width = 0, height = 0;  ///< pixels
    int bit_depth = 8;          ///< of a sample
    Chroma chroma = Chroma::yuv420;
    OddSize odd_size = OddSize::use_444;
};

namespace detail {

/// Pixel formats that FromRgb fills: at least 8 bits, one depth, no alpha; RGB, Y'CbCr and grey. yuvj* says in its
/// name what the range says too.
inline bool writable(const AVPixFmtDescriptor& desc) {
    const std::uint64_t unknown = AV_PIX_FMT_FLAG_HWACCEL | AV_PIX_FMT_FLAG_FLOAT | AV_PIX_FMT_FLAG_BAYER |
                                  AV_PIX_FMT_FLAG_PAL | AV_PIX_FMT_FLAG_BITSTREAM | AV_PIX_FMT_FLAG_ALPHA;
    const AVPixelFormat format = av_pix_fmt_desc_get_id(&desc);
    if ((desc.flags & unknown) != 0 || format == AV_PIX_FMT_XYZ12LE || format == AV_PIX_FMT_XYZ12BE ||
        format == AV_PIX_FMT_UYYVYY411 || std::string_view(desc.name).starts_with("yuvj"))
        return false;
    for (int c = 0; c < desc.nb_components; ++c)
        if (desc.comp[c].depth != desc.comp[0].depth) return false;
    return desc.comp[0].depth >= 8 && desc.comp[0].depth <= 16;
}

/// The pixel formats that an encoder takes; of one that takes any, all there are.
inline std::vector<AVPixelFormat> pixel_formats(const AVCodec& encoder) {
    std::vector<AVPixelFormat> formats;
#if LIBAVCODEC_VERSION_INT >= AV_VERSION_INT(61, 13, 100)
    const void* list = nullptr;
    avcodec_get_supported_config(nullptr, &encoder, AV_CODEC_CONFIG_PIX_FORMAT, 0, &list, nullptr);
    const auto* format = static_cast<const AVPixelFormat*>(list);
#else
    const AVPixelFormat* format = encoder.pix_fmts;
#endif
    if (format == nullptr)
        for (const AVPixFmtDescriptor* desc = nullptr; (desc = av_pix_fmt_desc_next(desc)) != nullptr;)
            formats.push_back(av_pix_fmt_desc_get_id(desc));
    else
        for (; *format != AV_PIX_FMT_NONE; ++format) formats.push_back(*format);
    return formats;
}

/// A format's place among the values of Chroma; -1 for other ways to subsample.
inline int chroma_fineness(const AVPixFmtDescriptor& desc) {
    if (desc.log2_chroma_w > 1 || desc.log2_chroma_h > desc.log2_chroma_w) return -1;
    return int(Chroma::yuv444) - desc.log2_chroma_w - desc.log2_chroma_h;
}

inline bool halves_evenly(const AVPixFmtDescriptor& desc, int width, int height) {
    return width % (1 << desc.log2_chroma_w) == 0 && height % (1 << desc.log2_chroma_h) == 0;
}

/// What a format falls short of, the worst first: to be compared lexicographically, smaller is better.
inline std::array<int, 7> shortcomings(const AVPixFmtDescriptor& desc, int depth, Chroma chroma) {
    const int missing = depth - desc.comp[0].depth;
    const int finer = chroma_fineness(desc) - int(chroma);
    const bool three_planes = desc.comp[1].plane != desc.comp[2].plane && desc.comp[0].plane != desc.comp[1].plane;
    const bool swapped =
        desc.comp[0].depth > 8 && ((desc.flags & AV_PIX_FMT_FLAG_BE) != 0) != (std::endian::native == std::endian::big);
    return {(desc.flags & AV_PIX_FMT_FLAG_RGB) != 0,
            std::max(missing, 0),
            std::max(-finer, 0),
            std::max(finer, 0),
            std::max(-missing, 0),
            !three_planes,
            swapped};
}

/// output_pixel_format() for an encoder of this name that takes these formats.
inline AVPixelFormat best_pixel_format(const char* encoder, const std::vector<AVPixelFormat>& formats,
                                       const OutputFormat& wanted) {
    const auto [width, height, depth, asked, odd_size] = wanted;
    require(width > 0 && height > 0 && depth >= 8 && depth <= 16, "output_pixel_format: a picture of ", width, " x ",
            height, " with ", depth, " bits a sample. Give it a size, and 8 to 16 bits.");
    const bool odd = (asked != Chroma::yuv444 && width % 2 != 0) || (asked == Chroma::yuv420 && height % 2 != 0);
    require(!odd || odd_size == OddSize::use_444, "the output of ", width, " x ", height, " has an odd size, and ",
            asked == Chroma::yuv420 ? "4:2:0" : "4:2:2",
            " chroma needs an even one. Allow 4:4:4 (OddSize::use_444), or choose an even size.");
    const Chroma chroma = odd ? Chroma::yuv444 : asked;

    const AVPixFmtDescriptor* best = nullptr;
    std::string taken;
    for (const AVPixelFormat format : formats) {
        const AVPixFmtDescriptor& desc = *av_pix_fmt_desc_get(format);
        taken += (taken.empty() ? "" : ", ") + std::string(desc.name);
        if (!writable(desc) || desc.nb_components != 3 || chroma_fineness(desc) < 0 ||
            !halves_evenly(desc, width, height))
            continue;
        if (best == nullptr || shortcomings(desc, depth, chroma) < shortcomings(*best, depth, chroma)) best = &desc;
    }
    require(best != nullptr, "the encoder ", encoder, " takes no pixel format for a picture of ", width, " x ", height,
            "; it knows ", taken, ". Choose another encoder", odd ? ", or crop the output to an even size." : ".");
    return av_pix_fmt_desc_get_id(best);
}

}  // namespace detail

/// The pixel format that suits the encoder best, of those that it takes and FromRgb fills. In this order: Y'CbCr before
/// RGB; at least the depth asked for, or else the deepest there is; chroma as asked for, or else finer, or else
/// coarser; the least depth. Error when the size is odd and that is refused, or when nothing fits.
inline AVPixelFormat output_pixel_format(const AVCodec& encoder, const OutputFormat& wanted) {
    return detail::best_pixel_format(encoder.name, detail::pixel_formats(encoder), wanted);
}

}  // namespace mia
