#pragma once
#include <cstdint>
#include <filesystem>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "mia/core/error.hpp"
#include "mia/video/byte_source.hpp"
#include "mia/video/checks.hpp"
#include "mia/video/container_check.hpp"
#include "mia/video/ffmpeg.hpp"
#include "mia/video/y4m_header.hpp"

namespace mia::detail {

/// A container that has been opened and found sound as far as its headers tell, and its video stream.
class MediaFile {
public:
    /// `path`: a file, a named pipe, or "-". The network is never used, whatever a playlist says.
    MediaFile(const std::filesystem::path& path, std::int64_t max_pixels)
        : name_(path.string()), bytes_(path), max_pixels_(max_pixels) {
        if (bytes_.seekable() && path != "-") {
            const std::uint64_t missing = missing_bytes(path);
            require(missing == 0, name_, ": the file is cut short, at least ", missing,
                    " bytes are missing. Copy or download it again.");
        }
        if (is_y4m(bytes_.head())) {
            check_y4m_header(bytes_.head(), max_pixels, name_);
            position_ = std::int64_t(bytes_.head().find('\n')) + 1;
        }
        open(path);
        find_streams();
        choose_stream();
        check_stream();
    }

    static constexpr const char* encrypted = ": the video is encrypted. Give a decrypted copy.";

    static constexpr const char* for_pipes =
        ". A pipe needs a format that is read from front to back, such as y4m, Matroska, MPEG-TS, or MP4 made with "
        "-movflags +faststart.";

    const std::string& name() const { return name_; }
    bool is_pipe() const { return !bytes_.seekable() || name_ == "-"; }
    bool seekable() const { return bytes_.seekable(); }
    AVFormatContext& format() const { return *format_; }
    AVStream& video() const { return *format_->streams[stream_]; }
    int stream_index() const { return stream_; }

    /// The next packet of any stream; FFmpeg's code, AVERROR_EOF at the end.
    int read(Packet& packet) {
        const int code = av_read_frame(format_.get(), packet.get());
        if (code < 0) return code;
        position_ = avio_tell(bytes_.context());
        if (packet->stream_index == stream_) ++packets_;
        return code;
    }

    /// After the end: why it cannot have been the true one; empty where nothing speaks against it. FFmpeg's demuxers
    /// take a cut file for one that ends there.
    std::string why_incomplete() const {
        if (const std::int64_t lost = bytes_.lost(); lost > 0)
            return text("the file became ", lost, " bytes shorter while it was read");
        const std::string_view demuxer = format_->iformat->name;
        const std::int64_t rest = avio_tell(bytes_.context()) - position_;
        if (demuxer == "yuv4mpegpipe" && rest > 0) return text("only the first ", rest, " bytes of it are there");
        const std::int64_t promised = avformat_index_get_entries_count(&video());
        if (!bytes_.seekable() && demuxer.starts_with("mov") && packets_ < promised)
            return text("the input ended after ", packets_, " of ", promised, " frames");
        return {};
    }

private:
    void open(const std::filesystem::path& path) {
        AVFormatContext* context = avformat_alloc_context();
        require(context != nullptr, name_, ": FFmpeg: no memory for a demuxer");
        context->pb = bytes_.context();
        AVDictionary* options = nullptr;
        av_dict_set(&options, "protocol_whitelist", "file,crypto,data", 0);
        const int code = avformat_open_input(&context, file_url(path).c_str(), nullptr, &options);
        av_dict_free(&options);
        format_.reset(context);  // null where opening failed
        if (code >= 0) return;
        const std::string header = is_y4m(bytes_.head()) ? text(", y4m header of ", bytes_.head().find('\n'),
                                                                " bytes \"", y4m_header(bytes_.head()), "\"")
                                                         : std::string();
        throw Error(text(name_, ": not a video that FFmpeg can read (", av_text(code), header, ")", remedy()));
    }

    /// Decoders, which look at the first frames here, get the limit too.
    void find_streams() {
        std::vector<AVDictionary*> options(format_->nb_streams, nullptr);
        const std::string limit = std::to_string(decoder_limit(max_pixels_));
        for (AVDictionary*& option : options) av_dict_set(&option, "max_pixels", limit.c_str(), 0);
        const int code = avformat_find_stream_info(format_.get(), options.empty() ? nullptr : options.data());
        for (AVDictionary*& option : options) av_dict_free(&option);
        require(code >= 0, name_, ": its streams cannot be read (", av_text(code), ")", remedy());
    }

    std::string remedy() const { return bytes_.seekable() ? ". Check that it is a video: ffprobe FILE" : for_pipes; }

    void choose_stream() {
        stream_ = av_find_best_stream(format_.get(), AVMEDIA_TYPE_VIDEO, -1, -1, nullptr, 0);
        if (stream_ >= 0 && (video().disposition & AV_DISPOSITION_ATTACHED_PIC) == 0) return;
        std::string found;
        for (unsigned i = 0; i < format_->nb_streams; ++i) {
            const auto& stream = *format_->streams[i]->codecpar;
            const char* type = av_get_media_type_string(stream.codec_type);
            found += text(i > 0 ? ", " : "", type != nullptr ? type : "unknown", " (",
                          avcodec_get_name(stream.codec_id), ")");
        }
        throw Error(text(name_, ": no video stream. It holds ", found.empty() ? "nothing" : found,
                         ". Give a file with moving pictures."));
    }

    void check_stream() const {
        const AVCodecParameters& coded = *video().codecpar;
        require(coded.codec_tag != MKTAG('e', 'n', 'c', 'v'), name_, encrypted);
        check_picture_size(coded.width, coded.height, max_pixels_, name_);
    }

    std::string name_;
    ByteSource bytes_;  // outlives format_, which reads from it
    InputPtr format_;
    std::int64_t max_pixels_;
    int stream_ = -1;
    std::int64_t packets_ = 0;   // of the video stream, read so far
    std::int64_t position_ = 0;  // behind the last whole packet, or y4m's header
};

}  // namespace mia::detail
