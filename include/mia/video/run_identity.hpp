#pragma once
#include <algorithm>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <ctime>
#include <filesystem>
#include <map>
#include <string>
#include <system_error>
#include <vector>

#include "mia/core/error.hpp"
#include "mia/io/bytes.hpp"
#include "mia/version.hpp"
#include "mia/video/ffmpeg.hpp"
#include "mia/video/frame.hpp"
#include "mia/video/image_files.hpp"
#include "mia/video/sha256.hpp"
#include "mia/video/writer_config.hpp"

namespace mia::detail {

/// When a file was last written, in UTC to the nanosecond.
inline std::string time_text(const std::filesystem::path& path) {
    std::error_code failure;
    const auto time = std::filesystem::last_write_time(path, failure);
    if (failure) return "unknown";
    const auto since = std::chrono::file_clock::to_sys(time).time_since_epoch();
    const auto seconds = std::chrono::floor<std::chrono::seconds>(since);
    const std::time_t whole = seconds.count();
    std::tm parts = {};
    gmtime_r(&whole, &parts);
    char words[64];
    const std::size_t length = std::strftime(words, sizeof words, "%Y-%m-%d %H:%M:%S", &parts);
    std::snprintf(words + length, sizeof words - length, ".%09lld",
                  static_cast<long long>(std::chrono::nanoseconds(since - seconds).count()));
    return words;
}

/// SHA-256 of the first and the last MiB of a file and of 16 pieces between: of a large one that tells as much as all
/// of it and does not take minutes.
inline std::string sampled_hash(const std::filesystem::path& path, std::uint64_t size) {
    constexpr std::uint64_t end_bytes = 1 << 20, piece_bytes = 1 << 16, pieces = 16;
    Sha256 hash;
    const FileHandle file(std::fopen(path.c_str(), "rbe"));
    require(file != nullptr, path.string(), ": the input cannot be opened. Check its permissions.");
    std::vector<char> buffer(end_bytes);
    const auto add = [&](std::uint64_t at, std::uint64_t count) {
        if (fseeko(file.get(), off_t(at), SEEK_SET) != 0) return;
        hash.update(buffer.data(), std::fread(buffer.data(), 1, std::size_t(count), file.get()));
    };
    add(0, end_bytes);
    if (size > 2 * end_bytes)
        for (std::uint64_t i = 1; i <= pieces; ++i) add(size / (pieces + 1) * i, piece_bytes);
    if (size > end_bytes) add(size - end_bytes, end_bytes);
    return hash.take();
}

/// Adds to `identity` what tells this input from another one, or from itself when it was changed.
inline void add_input_identity(const VideoInfo& info, std::map<std::string, std::string>& identity) {
    std::error_code failure;
    identity["input"] = std::filesystem::absolute(info.path, failure).lexically_normal().string();
    if (info.kind == SourceKind::pipe) return;
    if (info.kind == SourceKind::file) {
        const std::uint64_t size = std::filesystem::file_size(info.path, failure);
        identity["input size"] = failure ? "unknown" : text(size, " bytes");
        identity["input modified"] = time_text(info.path);
        if (!failure) identity["input hash"] = sampled_hash(info.path, size);
        return;
    }
    const bool folder = std::filesystem::is_directory(info.path, failure);
    const bool single = std::filesystem::is_regular_file(info.path, failure);  // one image, read as a video of a frame
    const auto files = folder ? list_images(info.path) : single ? std::vector{info.path} : list_numbered(info.path);
    Sha256 hash;
    for (const auto& file : files) {
        const std::uint64_t size = std::filesystem::file_size(file, failure);
        hash.update(text(file.filename().string(), '\0', failure ? 0 : size, '\0', time_text(file), '\0'));
    }
    identity["input images"] = text(files.size());
    identity["input hash"] = hash.take();
}

/// Adds what the pictures of the output are, and the versions of the libraries.
inline void add_output_identity(const VideoInfo& info, const VideoWriterConfig& config,
                                std::map<std::string, std::string>& identity) {
    const auto version = [](unsigned v) {
        return text(AV_VERSION_MAJOR(v), '.', AV_VERSION_MINOR(v), '.', AV_VERSION_MICRO(v));
    };
    const VideoColor& color = info.color;
    identity["output size"] = text(info.width, " x ", info.height);
    identity["output times"] = text("units of ", info.time_base.num, "/", info.time_base.den, " s, ",
                                    info.frame_rate.num, "/", info.frame_rate.den, " frames/s");
    identity["part"] =
        text(info.start_seconds, " s to ", info.end_seconds < 0 ? "the end" : text(info.end_seconds, " s"));
    identity["colour"] =
        text("matrix ", int(color.matrix), ", range ", int(color.range), ", primaries ", int(color.primaries),
             ", transfer ", int(color.transfer), ", chroma at ", int(color.chroma_location));
    identity["bit depth"] = text(output_depth(info, config));
    identity["mia"] = text(MIA_VERSION_MAJOR, '.', MIA_VERSION_MINOR, '.', MIA_VERSION_PATCH);
    identity["libavcodec"] = version(avcodec_version());
    identity["libavformat"] = version(avformat_version());
}

/// Adds how a video is encoded; images have none of these choices.
inline void add_encoder_identity(const VideoWriterConfig& config, const char* encoder,
                                 std::map<std::string, std::string>& identity) {
    const auto or_default = [](const std::string& value) { return value.empty() ? "default" : value; };
    identity["encoder"] = encoder;
    identity["crf"] = config.crf.has_value() ? text(*config.crf) : "default";
    identity["preset"] = or_default(config.preset);
    identity["pixel format"] = or_default(config.pixel_format);
    identity["odd size"] = config.odd_size == OddSize::use_444 ? "4:4:4" : "refused";
    identity["encoder threads"] = text(config.threads);
    std::string options;
    for (const auto& [name, value] : config.encoder_options)
        options += text(options.empty() ? "" : ", ", name, "=", value);
    identity["encoder options"] = options.empty() ? "none" : options;
    identity["streams that do not fit"] = config.drop_streams ? "dropped" : "refused";
}

/// What must be the same for a run to go on where an earlier one stopped, but for the encoder.
inline std::map<std::string, std::string> run_identity(const VideoInfo& info, const VideoWriterConfig& config) {
    std::map<std::string, std::string> identity = config.identity;
    if (!info.path.empty()) add_input_identity(info, identity);
    add_output_identity(info, config, identity);
    return identity;
}

}  // namespace mia::detail
