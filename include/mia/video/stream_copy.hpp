#pragma once
#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "mia/core/error.hpp"
#include "mia/video/encoder_choice.hpp"
#include "mia/video/ffmpeg.hpp"
#include "mia/video/frame.hpp"

// What of the input goes into the output as it is: streams, attachments, cover pictures, chapters, metadata.

namespace mia::detail {

inline bool is_matroska(const AVOutputFormat& container) { return std::string_view(container.name) == "matroska"; }

inline bool is_cover(const AVStream& stream) { return (stream.disposition & AV_DISPOSITION_ATTACHED_PIC) != 0; }

/// Tracks that the muxer makes anew from what is copied beside them: an MP4 file's chapters as text, and time codes,
/// which are in the video's metadata too.
inline bool is_made_anew(const AVStream& stream, const AVFormatContext& source) {
    if (stream.codecpar->codec_type != AVMEDIA_TYPE_DATA) return false;
    const std::uint32_t tag = stream.codecpar->codec_tag;
    const bool chapters = tag == MKTAG('t', 'e', 'x', 't') && source.nb_chapters > 0;
    return chapters || tag == MKTAG('t', 'm', 'c', 'd');
}

/// Whether the output can hold a stream of the input.
inline bool can_copy(const AVStream& stream, const AVOutputFormat& container) {
    const AVMediaType type = stream.codecpar->codec_type;
    if (type == AVMEDIA_TYPE_ATTACHMENT)
        return is_matroska(container) && av_dict_get(stream.metadata, "filename", nullptr, 0) != nullptr;
    if (type == AVMEDIA_TYPE_VIDEO && is_cover(stream) && is_matroska(container)) return true;
    if (type != AVMEDIA_TYPE_AUDIO && type != AVMEDIA_TYPE_SUBTITLE && type != AVMEDIA_TYPE_VIDEO) return false;
    return can_hold(container, stream.codecpar->codec_id);
}

/// "stream 2, subtitle (subrip)".
inline std::string stream_text(const AVStream& stream) {
    const char* type = av_get_media_type_string(stream.codecpar->codec_type);
    return text("stream ", stream.index, ", ", type != nullptr ? type : "unknown", " (",
                avcodec_get_name(stream.codecpar->codec_id), ")");
}

/// The streams beside the video that the output cannot hold, one line each.
inline std::vector<std::string> streams_that_do_not_fit(const AVFormatContext& source, int video,
                                                        const AVOutputFormat& container) {
    std::vector<std::string> lines;
    for (unsigned i = 0; i < source.nb_streams; ++i)
        if (const AVStream& stream = *source.streams[i];
            int(i) != video && !is_made_anew(stream, source) && !can_copy(stream, container))
            lines.push_back(stream_text(stream));
    return lines;
}

/// Metadata but for what was true of the old file alone: its container, its program, its numbers of bytes.
inline void copy_metadata(AVDictionary** to, const AVDictionary* from) {
    static constexpr std::string_view stale[] = {"major_brand", "minor_version", "compatible_brands", "encoder",
                                                 "DURATION",    "BPS",           "NUMBER_OF_",        "_STATISTICS_"};
    const AVDictionaryEntry* entry = nullptr;
    while ((entry = av_dict_get(from, "", entry, AV_DICT_IGNORE_SUFFIX)) != nullptr) {
        const std::string_view key = entry->key;
        if (std::none_of(std::begin(stale), std::end(stale), [&](auto begin) { return key.starts_with(begin); }))
            av_dict_set(to, entry->key, entry->value, 0);
    }
}

inline AVStream& add_stream(AVFormatContext& output) {
    AVStream* stream = avformat_new_stream(&output, nullptr);
    require(stream != nullptr, "FFmpeg: no memory for a stream");
    return *stream;
}

/// Declares a copy of a stream. A cover picture becomes an attachment in Matroska, where it is one.
inline AVStream& add_copy(AVFormatContext& output, const AVStream& from) {
    AVStream& to = add_stream(output);
    AVCodecParameters& coded = *to.codecpar;
    av_check(avcodec_parameters_copy(&coded, from.codecpar), output.url, ": stream parameters");
    // A tag of the old container may be wrong in the new one; the muxer chooses its own.
    if (output.oformat->codec_tag == nullptr ||
        av_codec_get_id(output.oformat->codec_tag, coded.codec_tag) != coded.codec_id)
        coded.codec_tag = 0;
    to.time_base = from.time_base;
    to.disposition = from.disposition;
    to.avg_frame_rate = from.avg_frame_rate;
    to.sample_aspect_ratio = from.sample_aspect_ratio;
    copy_metadata(&to.metadata, from.metadata);
    copy_side_data(from, to);
    if (is_cover(from) && is_matroska(*output.oformat)) {
        const AVPacket& picture = from.attached_pic;
        av_freep(&coded.extradata);
        coded.extradata =
            static_cast<std::uint8_t*>(av_mallocz(std::size_t(picture.size) + AV_INPUT_BUFFER_PADDING_SIZE));
        require(coded.extradata != nullptr, "FFmpeg: no memory for a cover picture");
        std::copy_n(picture.data, picture.size, coded.extradata);
        coded.extradata_size = picture.size;
        coded.codec_type = AVMEDIA_TYPE_ATTACHMENT;
        to.disposition = 0;
        const bool png = coded.codec_id == AV_CODEC_ID_PNG;
        av_dict_set(&to.metadata, "filename", png ? "cover.png" : "cover.jpg", AV_DICT_DONT_OVERWRITE);
        av_dict_set(&to.metadata, "mimetype", png ? "image/png" : "image/jpeg", AV_DICT_DONT_OVERWRITE);
    }
    return to;
}

/// Chapters, cut to the part that is read and counted from its beginning.
inline void copy_chapters(const AVFormatContext& source, const VideoInfo& info, AVFormatContext& output) {
    if (source.nb_chapters == 0) return;
    // avformat_free_context() frees what is put here.
    output.chapters = static_cast<AVChapter**>(av_calloc(source.nb_chapters, sizeof(AVChapter*)));
    require(output.chapters != nullptr, "FFmpeg: no memory for chapters");
    for (unsigned i = 0; i < source.nb_chapters; ++i) {
        const AVChapter& from = *source.chapters[i];
        const auto ticks = [&](double seconds) { return std::llround(seconds / av_q2d(from.time_base)); };
        std::int64_t start = from.start, end = from.end;
        if (info.end_seconds >= 0) end = std::min<std::int64_t>(end, ticks(info.end_seconds));
        if (info.start_seconds > 0) {
            start = std::max<std::int64_t>(0, start - ticks(info.start_seconds));
            end -= ticks(info.start_seconds);
        }
        const bool cut = info.start_seconds > 0 || info.end_seconds >= 0;
        if (cut && end <= start) continue;
        auto* chapter = static_cast<AVChapter*>(av_mallocz(sizeof(AVChapter)));
        require(chapter != nullptr, "FFmpeg: no memory for chapters");
        output.chapters[output.nb_chapters++] = chapter;
        chapter->id = from.id;
        chapter->time_base = from.time_base;
        chapter->start = start;
        chapter->end = end;
        av_dict_copy(&chapter->metadata, from.metadata, 0);
    }
}

}  // namespace mia::detail
