#pragma once
#include <cerrno>
#include <cmath>
#include <cstring>
#include <filesystem>
#include <fstream>

#include "mia/core/error.hpp"
#include "mia/core/view.hpp"
#include "mia/video/color.hpp"
#include "mia/video/ffmpeg.hpp"
#include "mia/video/image_files.hpp"

namespace mia {

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
