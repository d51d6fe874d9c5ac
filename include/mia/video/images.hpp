#pragma once
#include <algorithm>
#include <cctype>
#include <cerrno>
#include <cmath>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <string>
#include <string_view>
#include <system_error>
#include <vector>

#include "mia/core/error.hpp"
#include "mia/core/view.hpp"
#include "mia/video/color.hpp"
#include "mia/video/ffmpeg.hpp"
#include "mia/video/frame.hpp"

namespace mia {

/// "frame9.png" before "frame10.png": runs of digits compare as numbers, all else byte by byte.
inline bool natural_less(std::string_view a, std::string_view b) {
    const auto digit = [](char c) { return c >= '0' && c <= '9'; };
    const auto number_at = [&](std::string_view s, std::size_t at) {
        std::size_t end = at;
        while (end < s.size() && digit(s[end])) ++end;
        while (at + 1 < end && s[at] == '0') ++at;
        return s.substr(at, end - at);
    };
    std::size_t i = 0, j = 0;
    while (i < a.size() && j < b.size()) {
        if (digit(a[i]) && digit(b[j])) {
            const auto x = number_at(a, i), y = number_at(b, j);
            if (x.size() != y.size()) return x.size() < y.size();
            if (x != y) return x < y;
            i = std::size_t(x.data() - a.data()) + x.size();
            j = std::size_t(y.data() - b.data()) + y.size();
        } else {
            if (a[i] != b[j]) return static_cast<unsigned char>(a[i]) < static_cast<unsigned char>(b[j]);
            ++i, ++j;
        }
    }
    if ((i < a.size()) != (j < b.size())) return j < b.size();
    return a < b;  // "01" and "1": the same number, still an order
}

/// Lower case, with its dot: ".png".
inline std::string lower_extension(const std::filesystem::path& path) {
    std::string extension = path.extension().string();
    for (char& c : extension) c = char(std::tolower(static_cast<unsigned char>(c)));
    return extension;
}

/// The PNG files of a folder in natural order. Error when there is none.
inline std::vector<std::filesystem::path> list_png(const std::filesystem::path& folder) {
    std::vector<std::filesystem::path> files;
    std::error_code failure;
    for (std::filesystem::directory_iterator entry(folder, failure), end; !failure && entry != end;
         entry.increment(failure))
        if (lower_extension(entry->path()) == ".png" && entry->is_regular_file()) files.push_back(entry->path());
    require(!failure, folder.string(), ": the folder cannot be read (", failure.message(), "). Check its permissions.");
    require(!files.empty(), folder.string(),
            ": the folder holds no PNG image. Give a folder with files named *.png, or "
            "a video file.");
    std::sort(files.begin(), files.end(),
              [](const auto& a, const auto& b) { return natural_less(a.filename().string(), b.filename().string()); });
    return files;
}

/// Reads PNG files of 1 to 16 bits, grey, RGB or palette; alpha is left out.
class PngReader {
public:
    PngReader() {
        const AVCodec* codec = avcodec_find_decoder(AV_CODEC_ID_PNG);
        require(codec != nullptr, "FFmpeg's libraries have no PNG decoder. Install a complete build of them.");
        decoder_ = detail::make_codec(codec);
        decoder_->err_recognition = AV_EF_CRCCHECK | AV_EF_EXPLODE;
        decoder_->thread_count = 1;
        detail::av_check(avcodec_open2(decoder_.get(), codec, nullptr), "FFmpeg's PNG decoder does not start");
    }

    /// Fills pixels, size and name of `frame`. Error when the file is missing, not a PNG, damaged or cut short.
    void read(const std::filesystem::path& path, VideoFrame& frame) {
        std::ifstream file(path, std::ios::binary);
        require(file.is_open(), path.string(), ": the image cannot be opened (", std::strerror(errno),
                "). Check its permissions.");
        bytes_.assign(std::istreambuf_iterator<char>(file), {});
        static constexpr std::string_view signature = "\x89PNG\r\n\x1a\n";
        static constexpr std::string_view ending("\0\0\0\0IEND\xae\x42\x60\x82", 12);
        const std::string_view content(bytes_.data(), bytes_.size());
        require(content.starts_with(signature), path.string(), ": not a PNG image (", content.size(),
                " bytes, without a PNG's first 8). Remove the file or convert it: ffmpeg -i IN OUT.png");
        require(content.find(ending) != content.npos, path.string(), ": the PNG image is cut short after ",
                content.size(), " bytes. Make or copy the file again.");

        const int size = int(bytes_.size());
        bytes_.resize(bytes_.size() + AV_INPUT_BUFFER_PADDING_SIZE);
        packet_->data = reinterpret_cast<std::uint8_t*>(bytes_.data());
        packet_->size = size;
        packet_->flags = AV_PKT_FLAG_KEY;  // else the decoder adds the picture before, as MNG's differences want it
        int code = avcodec_send_packet(decoder_.get(), packet_.get());
        if (code >= 0) code = avcodec_receive_frame(decoder_.get(), picture_.get());
        avcodec_flush_buffers(decoder_.get());
        require(code >= 0 && picture_->decode_error_flags == 0, path.string(), ": the PNG image is damaged (",
                code < 0 ? detail::av_text(code) : "errors in its data", "). Make or copy the file again.");
        frame.resize(picture_->height, picture_->width);
        VideoColor color;
        color.matrix = AVCOL_SPC_RGB;
        color.range = AVCOL_RANGE_JPEG;
        to_rgb_.convert(*picture_, color, frame.view());
        frame.name = path.filename().string();
        av_frame_unref(picture_.get());
    }

private:
    detail::CodecPtr decoder_;
    detail::FramePtr picture_ = detail::make_frame();
    Packet packet_;
    ToRgb to_rgb_;
    std::vector<char> bytes_;
};

/// Writes PNG files of 8 bits RGB.
class PngWriter {
public:
    /// picture: (H, W, 3), clamped to [0, 1], times 255 in float, rounded half to even. Error when the file cannot be
    /// written.
    void write(const std::filesystem::path& path, View<const float, 3> picture) {
        if (encoder_ == nullptr || encoder_->height != picture.extent(0) || encoder_->width != picture.extent(1))
            open(picture.extent(0), picture.extent(1));
        for (int y = 0; y < frame_->height; ++y) {
            const float* from = picture.data + std::ptrdiff_t(y) * frame_->width * 3;
            std::uint8_t* to = frame_->data[0] + std::ptrdiff_t(y) * frame_->linesize[0];
            for (int x = 0; x < 3 * frame_->width; ++x)
                to[x] = std::uint8_t(std::nearbyint(detail::clamp01(from[x]) * 255.f));
        }
        detail::av_check(avcodec_send_frame(encoder_.get(), frame_.get()), path.string(), ": PNG encoder");
        detail::av_check(avcodec_receive_packet(encoder_.get(), packet_.get()), path.string(), ": PNG encoder");
        std::ofstream file(path, std::ios::binary);
        file.write(reinterpret_cast<const char*>(packet_->data), packet_->size);
        file.close();
        av_packet_unref(packet_.get());
        require(bool(file), path.string(), ": the image cannot be written (", std::strerror(errno),
                "). Check permissions and free space.");
    }

private:
    void open(int height, int width) {
        const AVCodec* codec = avcodec_find_encoder(AV_CODEC_ID_PNG);
        require(codec != nullptr, "FFmpeg's libraries have no PNG encoder. Install a complete build of them.");
        encoder_ = detail::make_codec(codec);
        encoder_->width = width;
        encoder_->height = height;
        encoder_->pix_fmt = AV_PIX_FMT_RGB24;
        encoder_->time_base = {1, 25};
        encoder_->thread_count = 1;
        av_opt_set(encoder_->priv_data, "pred", "paeth", 0);
        detail::av_check(avcodec_open2(encoder_.get(), codec, nullptr), "FFmpeg's PNG encoder does not take ", width,
                         " x ", height);
        frame_ = detail::make_frame();
        frame_->width = width;
        frame_->height = height;
        frame_->format = AV_PIX_FMT_RGB24;
        detail::av_check(av_frame_get_buffer(frame_.get(), 0), "a picture of ", width, " x ", height);
    }

    detail::CodecPtr encoder_;
    detail::FramePtr frame_;
    Packet packet_;
};

}  // namespace mia
