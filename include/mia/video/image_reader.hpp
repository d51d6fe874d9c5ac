#pragma once
#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>
#include <string_view>
#include <vector>

#include "mia/core/error.hpp"
#include "mia/video/checks.hpp"
#include "mia/video/color.hpp"
#include "mia/video/ffmpeg.hpp"
#include "mia/video/frame.hpp"
#include "mia/video/image_files.hpp"

namespace mia {
namespace detail {

/// Unsigned number of `count` bytes, the last the lowest ("big endian") or the first.
inline std::uint64_t big_endian(std::string_view bytes, std::size_t at, int count) {
    std::uint64_t value = 0;
    for (int i = 0; i < count; ++i) value = value << 8 | static_cast<unsigned char>(bytes[at + std::size_t(i)]);
    return value;
}
inline std::uint64_t little_endian(std::string_view bytes, std::size_t at, int count) {
    std::uint64_t value = 0;
    for (int i = count; i-- > 0;) value = value << 8 | static_cast<unsigned char>(bytes[at + std::size_t(i)]);
    return value;
}

/// Whether a file begins as its kind must.
inline bool has_signature(ImageKind kind, std::string_view bytes) {
    using std::string_view_literals::operator""sv;
    switch (kind) {
        case ImageKind::png:
            return bytes.starts_with("\x89PNG\r\n\x1a\n");
        case ImageKind::jpeg:
            return bytes.starts_with("\xff\xd8\xff");
        case ImageKind::tiff:
            return bytes.starts_with("II*\0"sv) || bytes.starts_with("MM\0*"sv);
        case ImageKind::bmp:
            return bytes.starts_with("BM");
        case ImageKind::webp:
            return bytes.starts_with("RIFF") && bytes.size() >= 12 && bytes.substr(8, 4) == "WEBP";
        case ImageKind::none:
            break;
    }
    return false;
}

/// Whether the end that the kind must have is there; decoders fill what is missing with grey. TIFF files have no end:
/// their decoder misses the strips.
inline bool has_ending(ImageKind kind, std::string_view bytes) {
    static constexpr std::string_view png_end("\0\0\0\0IEND\xae\x42\x60\x82", 12);
    switch (kind) {
        case ImageKind::png:
            return bytes.find(png_end) != bytes.npos;
        case ImageKind::jpeg:
            return bytes.rfind("\xff\xd9") != bytes.npos;
        case ImageKind::bmp:
            return bytes.size() >= 6 && little_endian(bytes, 2, 4) <= bytes.size();
        case ImageKind::webp:
            return little_endian(bytes, 4, 4) + 8 <= bytes.size();
        default:
            return true;
    }
}

inline AVCodecID codec_of(ImageKind kind) {
    switch (kind) {
        case ImageKind::png:
            return AV_CODEC_ID_PNG;
        case ImageKind::jpeg:
            return AV_CODEC_ID_MJPEG;
        case ImageKind::tiff:
            return AV_CODEC_ID_TIFF;
        case ImageKind::bmp:
            return AV_CODEC_ID_BMP;
        case ImageKind::webp:
            return AV_CODEC_ID_WEBP;
        case ImageKind::none:
            break;
    }
    return AV_CODEC_ID_NONE;
}

}  // namespace detail

/// Reads images of 1 to 16 bits, grey, RGB, palette or Y'CbCr; alpha is left out, an orientation noted beside the
/// picture is not applied. Keeps its decoder from file to file.
class ImageReader {
public:
    /// Images of more than `max_pixels` are refused before memory is taken for them.
    explicit ImageReader(std::int64_t max_pixels = default_max_pixels) : max_pixels_(max_pixels) {}

    /// Fills pixels, size and name of `frame`. Error when the file is missing, of another kind than its extension
    /// says, damaged or cut short.
    void read(const std::filesystem::path& path, VideoFrame& frame) {
        kind_ = image_kind(path);
        require(kind_ != ImageKind::none, path.string(), ": the extension \"", path.extension().string(),
                "\" is of no image. Use .png, .jpg, .tif, .bmp or .webp.");
        load(path);
        decode(path);
        detail::check_picture_size(picture_->width, picture_->height, max_pixels_, path.string());
        frame.resize(picture_->height, picture_->width);
        detail::with_name(path.string(), [&] { to_rgb_.convert(*picture_, color(), frame.view()); });
        frame.name = path.filename().string();
        format_ = AVPixelFormat(picture_->format);
        av_frame_unref(picture_.get());
    }

    /// Of the image read last.
    AVPixelFormat pixel_format() const { return format_; }
    /// FFmpeg's name of the decoder used last.
    const char* codec() const { return decoder_->codec->name; }

private:
    void load(const std::filesystem::path& path) {
        std::ifstream file(path, std::ios::binary);
        require(file.is_open(), path.string(), ": the image cannot be opened (", std::strerror(errno),
                "). Check that it is there and its permissions.");
        bytes_.assign(std::istreambuf_iterator<char>(file), {});
        const char* kind = name_of(kind_);
        const std::string_view content(bytes_.data(), bytes_.size());
        require(!content.empty(), path.string(), ": the image file is empty. Make or copy it again.");
        require(detail::has_signature(kind_, content), path.string(), ": not a ", kind, " image (", content.size(),
                " bytes that do not begin as a ", kind, "'s do). Give it its kind's extension, or remove it.");
        require(detail::has_ending(kind_, content), path.string(), ": the ", kind, " image is cut short after ",
                content.size(), " bytes. Make or copy the file again.");
        if (kind_ == ImageKind::png && content.size() >= 24)
            detail::check_picture_size(detail::big_endian(content, 16, 4), detail::big_endian(content, 20, 4),
                                       max_pixels_, path.string());
    }

    void decode(const std::filesystem::path& path) {
        open_decoder();
        const int size = int(bytes_.size());
        bytes_.resize(bytes_.size() + AV_INPUT_BUFFER_PADDING_SIZE);
        packet_->data = reinterpret_cast<std::uint8_t*>(bytes_.data());
        packet_->size = size;
        packet_->flags = AV_PKT_FLAG_KEY;  // else the PNG decoder adds the picture before, as MNG's differences want it
        int code = avcodec_send_packet(decoder_.get(), packet_.get());
        if (code >= 0) code = avcodec_receive_frame(decoder_.get(), picture_.get());
        avcodec_flush_buffers(decoder_.get());
        const bool corrupt = (picture_->flags & AV_FRAME_FLAG_CORRUPT) != 0 || picture_->decode_error_flags != 0;
        require(code >= 0 && !corrupt, path.string(), ": the ", name_of(kind_), " image is damaged or of a kind that ",
                "FFmpeg does not decode (", code < 0 ? detail::av_text(code) : "errors in its data",
                "). Make or copy the file again, or convert it to PNG.");
    }

    void open_decoder() {
        const AVCodecID id = detail::codec_of(kind_);
        if (decoder_ != nullptr && decoder_->codec_id == id) return;
        const AVCodec* codec = avcodec_find_decoder(id);
        require(codec != nullptr, "FFmpeg's libraries have no ", name_of(kind_), " decoder. Install a complete build ",
                "of them, or convert the images to another kind.");
        decoder_ = detail::make_codec(codec);
        decoder_->err_recognition = AV_EF_CRCCHECK;
        if (kind_ != ImageKind::tiff) decoder_->err_recognition |= AV_EF_EXPLODE;  // there unknown tags explode too
        decoder_->max_pixels = detail::decoder_limit(max_pixels_);
        decoder_->thread_count = 1;
        detail::av_check(avcodec_open2(decoder_.get(), codec, nullptr), "FFmpeg's ", name_of(kind_),
                         " decoder does not start");
    }

    /// RGB, or what the formats' standards say of Y'CbCr where the frame itself does not: JFIF's full range, WebP's
    /// limited; chroma lies between the luma samples.
    VideoColor color() const {
        const AVPixFmtDescriptor* format = av_pix_fmt_desc_get(AVPixelFormat(picture_->format));
        const bool rgb = format != nullptr && (format->flags & (AV_PIX_FMT_FLAG_RGB | AV_PIX_FMT_FLAG_PAL)) != 0;
        const bool grey = format != nullptr && format->nb_components <= 2;
        VideoColor color;
        color.matrix = rgb || grey ? AVCOL_SPC_RGB : AVCOL_SPC_BT470BG;
        color.range = kind_ == ImageKind::webp && !rgb ? AVCOL_RANGE_MPEG : AVCOL_RANGE_JPEG;
        color.chroma_location = AVCHROMA_LOC_CENTER;
        return color;
    }

    std::int64_t max_pixels_;
    ImageKind kind_ = ImageKind::none;
    AVPixelFormat format_ = AV_PIX_FMT_NONE;
    detail::CodecPtr decoder_;
    detail::FramePtr picture_ = detail::make_frame();
    Packet packet_;
    ToRgb to_rgb_;
    std::vector<char> bytes_;
};

}  // namespace mia
