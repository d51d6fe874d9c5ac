#pragma once
#include <bit>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <filesystem>
#include <span>
#include <string>

#include "mia/core/error.hpp"
#include "mia/core/view.hpp"
#include "mia/video/color.hpp"
#include "mia/video/durable_file.hpp"
#include "mia/video/ffmpeg.hpp"

namespace mia {

/// Writes PNG files, RGB of 8 or 16 bits a sample. Keeps its working memory from picture to picture.
class PngWriter {
public:
    explicit PngWriter(int bit_depth = 8) : bit_depth_(bit_depth) {
        require(bit_depth == 8 || bit_depth == 16, "PngWriter: ", bit_depth, " bits a sample. Use 8 or 16.");
    }

    /// picture: (H, W, 3), clamped to [0, 1], times 255 or 65535 in float, rounded half to even. The file appears when
    /// all of it is on the disk. Returns its size and hash. Error when it cannot be written.
    detail::FileStamp write(const std::filesystem::path& path, View<const float, 3> picture) {
        const auto bytes = encode(picture, path.string());
        detail::DurableFile file(path);
        file.write(bytes.data(), bytes.size());
        return file.commit();
    }

    /// The bytes of such a file, alive until the next call; messages call the picture `name`.
    std::span<const std::uint8_t> encode(View<const float, 3> picture, const std::string& name = "a picture") {
        if (encoder_ == nullptr || encoder_->height != picture.extent(0) || encoder_->width != picture.extent(1))
            open(picture.extent(0), picture.extent(1));
        detail::av_check(av_frame_make_writable(frame_.get()), name, ": PNG encoder");
        for (int y = 0; y < frame_->height; ++y) {
            const float* from = picture.data + std::ptrdiff_t(y) * frame_->width * 3;
            std::uint8_t* to = frame_->data[0] + std::ptrdiff_t(y) * frame_->linesize[0];
            bit_depth_ == 8 ? fill_row<std::uint8_t>(from, to) : fill_row<std::uint16_t>(from, to);
        }
        detail::av_check(avcodec_send_frame(encoder_.get(), frame_.get()), name, ": PNG encoder");
        detail::av_check(avcodec_receive_packet(encoder_.get(), packet_.get()), name, ": PNG encoder");
        return {packet_->data, std::size_t(packet_->size)};
    }

private:
    /// 16 bits lie in the machine's order; the encoder takes RGB48 in the file's order, big endian.
    template <class Sample>
    void fill_row(const float* from, std::uint8_t* to) const {
        constexpr float top = float(Sample(-1));
        for (int i = 0; i < 3 * frame_->width; ++i) {
            auto sample = Sample(std::nearbyint(detail::clamp01(from[i]) * top));
            if constexpr (sizeof sample == 2 && std::endian::native == std::endian::little)
                sample = Sample(sample << 8 | sample >> 8);
            std::memcpy(to + std::size_t(i) * sizeof sample, &sample, sizeof sample);
        }
    }

    void open(int height, int width) {
        const AVCodec* codec = avcodec_find_encoder(AV_CODEC_ID_PNG);
        require(codec != nullptr, "FFmpeg's libraries have no PNG encoder. Install a complete build of them.");
        encoder_ = detail::make_codec(codec);
        encoder_->width = width;
        encoder_->height = height;
        encoder_->pix_fmt = bit_depth_ == 8 ? AV_PIX_FMT_RGB24 : AV_PIX_FMT_RGB48BE;
        encoder_->time_base = {1, 25};
        encoder_->thread_count = 1;
        av_opt_set(encoder_->priv_data, "pred", "paeth", 0);
        detail::av_check(avcodec_open2(encoder_.get(), codec, nullptr), "FFmpeg's PNG encoder does not take ", width,
                         " x ", height);
        frame_ = detail::make_frame();
        frame_->width = width;
        frame_->height = height;
        frame_->format = encoder_->pix_fmt;
        detail::av_check(av_frame_get_buffer(frame_.get(), 0), "a picture of ", width, " x ", height);
    }

    int bit_depth_;
    detail::CodecPtr encoder_;
    detail::FramePtr frame_;
    Packet packet_;
};

}  // namespace mia
