#include "inspect/describe.hpp"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdio>
#include <map>
#include <vector>

#include "mia/core/error.hpp"
#include "mia/io/read_state_dict.hpp"
#include "mia/models/session_plan.hpp"

extern "C" {
#include <libavutil/display.h>
}

namespace {

/// "name        value"
std::string line(const std::string& name, const std::string& value) {
    return "  " + name + std::string(name.size() < 12 ? 12 - name.size() : 1, ' ') + value + "\n";
}

std::string fixed(double value, int decimals) {
    char words[64];
    std::snprintf(words, sizeof words, "%.*f", decimals, value);
    return words;
}

const char* or_unknown(const char* name) { return name != nullptr ? name : "unknown"; }

std::string tag(const AVDictionary* metadata, const char* key) {
    const AVDictionaryEntry* entry = av_dict_get(metadata, key, nullptr, 0);
    return entry != nullptr ? entry->value : "";
}

std::string describe_stream(const AVStream& stream) {
    const AVCodecParameters& coded = *stream.codecpar;
    std::string words =
        mia::text(or_unknown(av_get_media_type_string(coded.codec_type)), ", ", avcodec_get_name(coded.codec_id));
    if (const char* profile = avcodec_profile_name(coded.codec_id, coded.profile))
        words += mia::text(" (", profile, ")");
    if (coded.codec_type == AVMEDIA_TYPE_VIDEO) words += mia::text(", ", coded.width, " x ", coded.height);
    if (coded.codec_type == AVMEDIA_TYPE_AUDIO) words += mia::text(", ", coded.sample_rate, " Hz");
    if (coded.bit_rate > 0) words += mia::text(", ", coded.bit_rate / 1000, " kb/s");
    if (const std::string language = tag(stream.metadata, "language"); !language.empty())
        words += ", language " + language;
    if (const std::string title = tag(stream.metadata, "title"); !title.empty()) words += ", \"" + title + "\"";
    if ((stream.disposition & AV_DISPOSITION_ATTACHED_PIC) != 0) words += ", a picture of the cover";
    return words;
}

/// The times of a stream's frames in order, and where the last one ends, in units of the stream's time base; read
/// without decoding.
std::vector<std::int64_t> frame_times(const mia::VideoInfo& info) {
    AVFormatContext* opened = nullptr;
    mia::detail::av_check(avformat_open_input(&opened, mia::detail::file_url(info.path).c_str(), nullptr, nullptr),
                          info.path.string());
    const mia::detail::InputPtr input(opened);
    std::vector<std::int64_t> times;
    std::int64_t end = AV_NOPTS_VALUE;
    for (mia::Packet packet; av_read_frame(input.get(), packet.get()) >= 0; av_packet_unref(packet.get())) {
        if (packet->stream_index != info.stream_index || packet->pts == AV_NOPTS_VALUE) continue;
        times.push_back(packet->pts);
        if (packet->duration > 0) end = std::max(end, packet->pts + packet->duration);
    }
    std::sort(times.begin(), times.end());
    if (times.empty()) return times;
    const std::int64_t last = times.back(), before = times.size() > 1 ? times[times.size() - 2] : last - 1;
    times.push_back(end > last ? end : 2 * last - before);
    return times;
}

std::string describe_times(const mia::VideoInfo& info) {
    const std::string rate =
        info.frame_rate.num > 0 ? fixed(av_q2d(info.frame_rate), 3) + " frames/s" : "unknown frame rate";
    if (info.kind == mia::SourceKind::images)
        return line("frames", std::to_string(info.frame_count)) +
               line("rate", rate + ", assumed: images have no times");
    if (info.kind == mia::SourceKind::pipe) return line("rate", rate + ", as the pipe says");
    const auto times = frame_times(info);
    if (times.size() < 2) return line("frames", "not told before they are decoded") + line("rate", rate);
    const std::size_t frames = times.size() - 1;
    std::int64_t least = times[1] - times[0], most = least;
    for (std::size_t i = 1; i < frames; ++i) {
        least = std::min(least, times[i] - times[i - 1]);
        most = std::max(most, times[i] - times[i - 1]);
    }
    const double unit = av_q2d(info.time_base), length = double(times.back() - times.front()) * unit;
    const bool varies = most - least > 2;  // whole units: a constant rate may alternate between two neighbours
    return line("frames", std::to_string(frames)) +
           line("rate", varies ? "variable: " + fixed(1000 * double(least) * unit, 1) + " to " +
                                     fixed(1000 * double(most) * unit, 1) + " ms a frame, " +
                                     fixed(double(frames) / length, 3) + " frames/s in the mean"
                               : rate + ", constant") +
           line("duration", time_text(length));
}

/// ", turned by 90 degrees" where players are told to turn the picture.
std::string describe_rotation(const mia::VideoReader& reader) {
    if (reader.streams() == nullptr) return {};
    const AVStream& stream = *reader.streams()->streams[reader.info().stream_index];
    const AVPacketSideData* matrix = mia::detail::find_side_data(stream, AV_PKT_DATA_DISPLAYMATRIX);
    if (matrix == nullptr) return {};
    const double angle = -av_display_rotation_get(reinterpret_cast<const std::int32_t*>(matrix->data));
    return std::isnan(angle) || angle == 0 ? ""
                                           : mia::text(", shown turned clockwise by ", std::lround(angle), " degrees");
}

std::string describe_color(const mia::VideoColor& color) {
    return mia::text("matrix ", or_unknown(av_color_space_name(color.matrix)),
                     color.guessed ? " (guessed: the file names none, this is the custom for its size)" : "",
                     color.range == AVCOL_RANGE_JPEG ? ", full range" : ", limited range", ", primaries ",
                     or_unknown(av_color_primaries_name(color.primaries)), ", transfer ",
                     or_unknown(av_color_transfer_name(color.transfer)));
}

std::string describe_aspect(const mia::VideoInfo& info) {
    const AVRational aspect = info.sample_aspect_ratio;
    if (aspect.num <= 0) return "square pixels, as nothing else is said";
    if (aspect.num == aspect.den) return "square pixels";
    return mia::text("pixels of ", aspect.num, ":", aspect.den, ", shown ", std::lround(info.width * av_q2d(aspect)),
                     " wide");
}

/// Seconds that the model takes for a pixel of a frame in a running clip; from two frames of a side of 64 or less.
double seconds_for_pixel(mia::AnyModel& model, int height, int width) {
    height = std::min(height, 64);
    width = std::min(width, 64);
    const std::size_t pixels = 2 * std::size_t(height) * std::size_t(width), scale = std::size_t(model.scale());
    std::vector<float> clip(3 * pixels), out(3 * pixels * scale * scale);
    for (std::size_t i = 0; i < clip.size(); ++i) clip[i] = float(i * 7919 % 256) / 255;
    std::chrono::duration<double> taken{};
    for (int run = 0; run < 2 && taken.count() < 1; ++run) {  // the first of a small model warms up
        const auto start = std::chrono::steady_clock::now();
        model.forward({clip.data(), {2, height, width, 3}},
                      {out.data(), {2, int(scale) * height, int(scale) * width, 3}});
        taken = std::chrono::steady_clock::now() - start;
    }
    return taken.count() / double(pixels);
}

}  // namespace

std::string time_text(double seconds) {
    char words[64];
    if (seconds < 60)
        std::snprintf(words, sizeof words, "%.2f s", seconds);
    else
        std::snprintf(words, sizeof words, "%d:%02d:%04.1f", int(seconds / 3600), int(seconds / 60) % 60,
                      std::fmod(seconds, 60));
    return words;
}

std::string describe_video(const mia::VideoReader& reader) {
    const mia::VideoInfo& info = reader.info();
    std::string out = info.path.string() + "\n";
    if (const AVFormatContext* streams = reader.streams()) {
        out += line("container", streams->iformat->long_name);
        for (unsigned i = 0; i < streams->nb_streams; ++i)
            out += line(mia::text("stream ", i), describe_stream(*streams->streams[i]));
    } else {
        out += line("images", info.codec);
    }
    out +=
        line("size", mia::text(info.width, " x ", info.height, ", ", describe_aspect(info), describe_rotation(reader)));
    out += line("pixels", mia::text(mia::detail::format_name(info.pixel_format), ", ", info.bit_depth, " bits",
                                    info.interlaced ? ", interlaced" : ""));
    out += line("colour", describe_color(info.color));
    return out + describe_times(info);
}

std::string describe_upscale(const mia::VideoInfo& info, mia::AnyModel& model) {
    const mia::SessionConfig config;
    const int scale = model.scale();
    std::string out = mia::text("made larger with ", model.name(), "\n");
    out += line("size", mia::text(scale * info.width, " x ", scale * info.height));
    out += line("memory", mia::text(mia::session_memory_bytes(model, info.height, info.width, config) / 1000000 + 1,
                                    " MB in chunks of ", config.chunk_frames,
                                    " frames, the program itself and the video's "
                                    "decoder and encoder not counted"));
    const double frame = seconds_for_pixel(model, info.height, info.width) * info.height * info.width *
                         config.window_frames(model) / (model.bidirectional() ? config.chunk_frames : 1);
    std::string time = "about " + time_text(frame) + " a frame";
    if (info.frame_count > 0)
        time += mia::text(", ", time_text(frame * double(info.frame_count)), " for ", info.frame_count, " frames");
    return out + line("time", time + ": an estimate, from two frames of at most 64 x 64");
}

std::string describe_weights(const ModelRequest& request) {
    const mia::StateDict file = mia::read_state_dict(request.weights);
    std::size_t parameters = 0, bytes = 0;
    std::map<std::string, int> types;
    for (const mia::TensorEntry& entry : file.entries()) {
        parameters += entry.size();
        bytes += entry.bytes;
        ++types[mia::name_of(entry.dtype)];
    }
    std::string kinds;
    for (const auto& [type, count] : types) kinds += mia::text(kinds.empty() ? "" : ", ", count, " of ", type);
    std::string out = request.weights.string() + "\n";
    out += line("tensors", kinds);
    out += line("parameters", mia::text(parameters, ", ", fixed(double(bytes) / 1e6, 2), " MB"));
    try {
        const auto model = choose_model(request);
        out += line("model", mia::text(model->name(), ", ", model->scale(), " times larger, ",
                                       model->bidirectional() ? "looks ahead" : "does not look ahead"));
        out += model->summary(180, 320);
    } catch (const mia::Error& error) {
        out += line("model", error.what());
    }
    if (!file.metadata().empty()) out += "metadata\n";
    for (const auto& [key, value] : file.metadata()) out += line(key, value);
    return out;
}

bool is_weights(const std::filesystem::path& path) {
    const std::string extension = path.extension().string();
    return extension == ".safetensors" || extension == ".pth" || extension == ".pt";
}
