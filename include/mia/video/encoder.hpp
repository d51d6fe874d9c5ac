#pragma once
extern "C" {
#include <libavutil/cpu.h>
}

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <iterator>
#include <memory>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <vector>

#include "mia/core/error.hpp"
#include "mia/video/color.hpp"
#include "mia/video/dictionary.hpp"
#include "mia/video/encoder_choice.hpp"
#include "mia/video/ffmpeg.hpp"
#include "mia/video/frame.hpp"
#include "mia/video/hdr_metadata.hpp"
#include "mia/video/pixel_format.hpp"
#include "mia/video/writer_config.hpp"

namespace mia::detail {

/// Frames to coded packets, in segments: each is coded by a fresh encoder, refers to nothing outside itself, and can be
/// joined with the others, since all have the same headers. The encoder sees times that begin at 0 in each segment.
class SegmentEncoder {
public:
    /// `name` opens messages. `hdr` is what the encoder is to write into the stream of the screen it was made for.
    SegmentEncoder(std::string name, const VideoInfo& info, const VideoWriterConfig& config, const AVCodec& codec,
                   bool global_header, const HdrMetadata& hdr)
        : name_(std::move(name)),
          info_(info),
          config_(config),
          codec_(codec),
          color_(output_color(info.color)),
          global_header_(global_header),
          hdr_(hdr) {
        format_ = choose_format();
        encoder_ = open();
        av_check(avcodec_parameters_from_context(parameters_.get(), encoder_.get()), name_, ": stream parameters");
    }

    /// What a muxer must know of all segments.
    const AVCodecParameters& parameters() const { return *parameters_; }
    const AVCodecContext* context() const { return encoder_.get(); }

    /// Codes a frame; visit(const AVPacket&) gets the packets that are ready, each with its frame's pts and duration,
    /// in units of info.time_base, in decoding order, and without dts. The pts must grow.
    template <class Visit>
    void write(const VideoFrame& frame, Visit&& visit) {
        if (encoder_ == nullptr) encoder_ = reopen();
        if (frames_ == 0) start_ = frame.pts;
        AVFrame& picture = free_picture();
        from_rgb_.convert(frame.view(), color_, picture);
        picture.pts = frame.pts - start_;
        picture.pict_type = AV_PICTURE_TYPE_NONE;
        waiting_.push_back({picture.pts, frame.duration});
        av_check(avcodec_send_frame(encoder_.get(), &picture), name_, ": frame ", frames_, " cannot be encoded");
        ++frames_;
        receive(visit);
    }

    /// Codes what the encoder still holds and ends the segment.
    template <class Visit>
    void end_segment(Visit&& visit) {
        if (frames_ == 0) return;
        av_check(avcodec_send_frame(encoder_.get(), nullptr), name_, ": the last frames cannot be encoded");
        receive(visit);
        require(waiting_.empty(), name_, ": the encoder ", codec_.name, " has lost ", waiting_.size(), " of ", frames_,
                " frames. Choose another codec.");
        encoder_.reset();
        frames_ = 0;
    }

private:
    struct Waiting {
        std::int64_t pts, duration;
    };
    struct FreeParameters {
        void operator()(AVCodecParameters* parameters) const { avcodec_parameters_free(&parameters); }
    };

    AVPixelFormat choose_format() const {
        if (!config_.pixel_format.empty()) {
            const AVPixelFormat format = av_get_pix_fmt(config_.pixel_format.c_str());
            const auto known = pixel_formats(codec_);
            const AVPixFmtDescriptor* desc = av_pix_fmt_desc_get(format);
            require(desc != nullptr && writable(*desc) && std::find(known.begin(), known.end(), format) != known.end(),
                    name_, ": the encoder ", codec_.name, " cannot be given the pixel format \"", config_.pixel_format,
                    "\". `ffmpeg -h encoder=", codec_.name, "` lists those that it takes; alpha and floats are not ",
                    "supported.");
            require(halves_evenly(*desc, info_.width, info_.height), name_, ": ", config_.pixel_format,
                    " needs an even size, the output is ", info_.width, " x ", info_.height,
                    ". Use a format with 4:4:4 chroma.");
            return format;
        }
        const EncoderTraits* traits = find_traits(codec_.name);
        OutputFormat wanted{.width = info_.width, .height = info_.height, .bit_depth = output_depth(info_, config_)};
        if (traits != nullptr) wanted.chroma = traits->chroma;
        wanted.odd_size = config_.odd_size;
        return output_pixel_format(codec_, wanted);
    }

    CodecPtr open() const {
        CodecPtr encoder = make_codec(&codec_);
        encoder->width = info_.width;
        encoder->height = info_.height;
        encoder->pix_fmt = format_;
        encoder->time_base = info_.time_base;
        encoder->framerate = info_.frame_rate.num > 0 ? info_.frame_rate : AVRational{25, 1};
        encoder->sample_aspect_ratio = info_.sample_aspect_ratio;
        set_color(*encoder);
        encoder->thread_count = config_.threads;
        if (global_header_) encoder->flags |= AV_CODEC_FLAG_GLOBAL_HEADER;
        Dictionary options = encoder_options(*encoder);
        av_check(avcodec_open2(encoder.get(), &codec_, options.address()), name_, ": the encoder ", codec_.name,
                 " does not take ", info_.width, " x ", info_.height, " ", format_name(format_), " with these options");
        const char* unknown = options.any_key();
        require(unknown == nullptr, name_, ": the encoder ", codec_.name, " has no option \"",
                unknown != nullptr ? unknown : "", "\". `ffmpeg -h encoder=", codec_.name, "` lists those it has.");
        return encoder;
    }

    CodecPtr reopen() const {
        CodecPtr encoder = open();
        const bool same = encoder->extradata_size == parameters_->extradata_size &&
                          (encoder->extradata_size == 0 || std::memcmp(encoder->extradata, parameters_->extradata,
                                                                       std::size_t(encoder->extradata_size)) == 0);
        require(same, name_, ": the encoder ", codec_.name,
                " gives each part of the video another header, so the parts ",
                "cannot be joined. Choose another codec.");
        return encoder;
    }

    template <class Target>
    void set_color(Target& to) const {
        to.colorspace = color_.matrix;
        to.color_range = color_.range;
        to.color_primaries = color_.primaries;
        to.color_trc = color_.transfer;
        if constexpr (std::is_same_v<Target, AVFrame>)
            to.chroma_location = color_.chroma_location;
        else
            to.chroma_sample_location = color_.chroma_location;
    }

    Dictionary encoder_options(AVCodecContext& encoder) const {
        Dictionary options;
        const auto set = [&](const char* key, const std::string& value) { options.set(key, value); };
        const EncoderTraits* traits = find_traits(codec_.name);
        const bool has_crf = av_opt_find(encoder.priv_data, "crf", nullptr, 0, 0) != nullptr;
        require(has_crf || !config_.crf.has_value(), name_, ": the encoder ", codec_.name,
                " has no crf. Leave it out, or give the encoder's own options.");
        if (config_.crf.has_value() || (traits != nullptr && traits->crf >= 0))
            set("crf", text(config_.crf.value_or(traits != nullptr ? traits->crf : 0)));
        else if (traits == nullptr && !has_crf)
            use_quantiser(encoder);
        set_preset(set, encoder, traits);
        const std::string_view encoder_name = codec_.name;
        if (encoder_name == "libx265") set("x265-params", text("log-level=none", x265_params(hdr_)));
        // x264's macroblock tree reads memory that was never written where it uses AVX-512 (core 164): other bytes in
        // every run.
        if (encoder_name == "libx264" && has_avx512()) set("x264-params", "asm=avx2");
        if (encoder_name == "libvpx-vp9" || encoder_name == "libaom-av1") {
            set("b", "0");  // or the crf is but a bound
            set("row-mt", "1");
        }
        if (encoder_name == "ffv1") {
            set("level", "3");
            set("g", "1");  // every frame a key frame, as archives want it
            set("slicecrc", "1");
        }
        if (encoder_name == "prores_ks") set("vendor", "apl0");
        for (const auto& [key, value] : config_.encoder_options) {
            const char* ours = options.find(key.c_str());
            const bool is_list = ours != nullptr && key.ends_with("-params");
            set(key.c_str(), is_list ? text(ours, ":", value) : value);
        }
        return options;
    }

    static bool has_avx512() {
#if defined(AV_CPU_FLAG_AVX512)
        return (av_get_cpu_flags() & AV_CPU_FLAG_AVX512) != 0;
#else
        return false;
#endif
    }

    template <class Set>
    void set_preset(Set&& set, const AVCodecContext& encoder, const EncoderTraits* traits) const {
        const bool has = traits != nullptr ? traits->preset_option != nullptr
                                           : av_opt_find(encoder.priv_data, "preset", nullptr, 0, 0) != nullptr;
        require(has || config_.preset.empty(), name_, ": the encoder ", codec_.name, " has no presets. Leave it out.");
        const std::string preset = config_.preset.empty() && traits != nullptr ? traits->preset : config_.preset;
        if (traits != nullptr && std::string_view(traits->preset) == "medium") check_x26x_preset(preset);
        if (!preset.empty()) set(traits != nullptr ? traits->preset_option : "preset", preset);
    }

    /// x264 and x265 would print what is wrong.
    void check_x26x_preset(const std::string& preset) const {
        static constexpr std::string_view known[] = {"ultrafast", "superfast", "veryfast", "faster",   "fast",
                                                     "medium",    "slow",      "slower",   "veryslow", "placebo"};
        require(std::find(std::begin(known), std::end(known), preset) != std::end(known), name_, ": the encoder ",
                codec_.name, " has no preset \"", preset,
                "\". Use ultrafast, superfast, veryfast, faster, fast, medium, ", "slow, slower, veryslow or placebo.");
    }

    /// Of an encoder that we know nothing of: FFmpeg's bit rates are far too low for large pictures.
    void use_quantiser(AVCodecContext& encoder) const {
        if (config_.encoder_options.count("b") != 0) return;
        encoder.flags |= AV_CODEC_FLAG_QSCALE;
        encoder.global_quality = 2 * FF_QP2LAMBDA;
    }

    /// A picture whose memory no encoder thread reads any more. After the first frames there always is one.
    AVFrame& free_picture() {
        for (const FramePtr& picture : pictures_)
            if (av_frame_is_writable(picture.get()) > 0) return *picture;
        FramePtr picture = make_frame();
        picture->width = info_.width;
        picture->height = info_.height;
        picture->format = format_;
        picture->sample_aspect_ratio = info_.sample_aspect_ratio;
        set_color(*picture);
        av_check(av_frame_get_buffer(picture.get(), 0), name_, ": a picture of ", info_.width, " x ", info_.height);
        return *pictures_.emplace_back(std::move(picture));
    }

    template <class Visit>
    void receive(Visit&& visit) {
        for (;;) {
            const int code = avcodec_receive_packet(encoder_.get(), packet_.get());
            if (code == AVERROR(EAGAIN) || code == AVERROR_EOF) return;
            av_check(code, name_, ": frames cannot be encoded");
            packet_->duration = take_duration(packet_->pts);
            packet_->pts += start_;
            packet_->dts = AV_NOPTS_VALUE;
            visit(std::as_const(*packet_.get()));
            av_packet_unref(packet_.get());
        }
    }

    /// Encoders reorder frames, and not all of them carry the duration along.
    std::int64_t take_duration(std::int64_t pts) {
        const auto found =
            std::find_if(waiting_.begin(), waiting_.end(), [&](const Waiting& w) { return w.pts == pts; });
        require(found != waiting_.end(), name_, ": the encoder ", codec_.name, " made a packet with the time stamp ",
                pts, ", which no frame has. Choose another codec.");
        const std::int64_t duration = found->duration;
        *found = waiting_.back();
        waiting_.pop_back();
        return duration;
    }

    std::string name_;
    VideoInfo info_;
    VideoWriterConfig config_;
    const AVCodec& codec_;
    VideoColor color_;
    bool global_header_;
    HdrMetadata hdr_;
    AVPixelFormat format_ = AV_PIX_FMT_NONE;
    std::unique_ptr<AVCodecParameters, FreeParameters> parameters_{avcodec_parameters_alloc()};
    CodecPtr encoder_;  // null between segments
    std::vector<FramePtr> pictures_;
    Packet packet_;
    FromRgb from_rgb_;
    std::vector<Waiting> waiting_;  // frames inside the encoder
    std::int64_t frames_ = 0, start_ = 0;
};

}  // namespace mia::detail
