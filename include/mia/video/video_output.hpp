#pragma once
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "mia/core/error.hpp"
#include "mia/video/assemble.hpp"
#include "mia/video/chunk_store.hpp"
#include "mia/video/encoder.hpp"
#include "mia/video/encoder_choice.hpp"
#include "mia/video/ffmpeg.hpp"
#include "mia/video/frame.hpp"
#include "mia/video/frame_output.hpp"
#include "mia/video/hdr_metadata.hpp"
#include "mia/video/muxer.hpp"
#include "mia/video/packet_file.hpp"
#include "mia/video/run_identity.hpp"
#include "mia/video/stream_copy.hpp"
#include "mia/video/writer_config.hpp"

namespace mia::detail {

/// The container that a file's extension stands for. Error when there is none that holds video.
inline const AVOutputFormat& container_of(const std::filesystem::path& path) {
    const AVOutputFormat* container = av_guess_format(nullptr, path.filename().c_str(), nullptr);
    require(
        container != nullptr && (container->flags & AVFMT_NOFILE) == 0 && container->video_codec != AV_CODEC_ID_NONE,
        path.string(), ": the extension \"", path.extension().string(), "\" is not supported. Use .mp4, .mov, .mkv ",
        "or .webm for a video, a name without an extension for a folder of PNG images, or - for y4m to standard ",
        "output.");
    return *container;
}

/// Frames into a video file, which grows chunk by chunk in a folder beside it.
class VideoOutput : public FrameOutput {
public:
    VideoOutput(const std::filesystem::path& path, const VideoInfo& info, const VideoWriterConfig& config,
                const AVFormatContext* source)
        : path_(path), info_(info), container_(container_of(path)) {
        if (source != nullptr) leave_out(streams_that_do_not_fit(*source, info.stream_index, container_), config);
        const AVCodec& codec = choose_encoder(path.string(), config, container_, output_depth(info, config));
        const bool global_header = (container_.flags & AVFMT_GLOBALHEADER) != 0;
        HdrMetadata hdr;
        if (source != nullptr && info.stream_index >= 0) hdr = hdr_metadata(*source->streams[info.stream_index]);
        encoder_.emplace(path.string(), info, config, codec, global_header, hdr);
        auto identity = run_identity(info, config);
        add_encoder_identity(config, codec.name, identity);
        store_.emplace(path, std::move(identity), config.unfinished, info.kind != SourceKind::pipe);
        check_existing_file(path, config.existing);
        muxer_.emplace(whole_path(), path.string(), container_, info, encoder_->parameters(), source);
        packets_done_ = store_->manifest().packets();
    }

    std::int64_t frames_done() const override { return store_->manifest().frames(); }
    std::filesystem::path partial_path() const override { return store_->folder(); }
    std::string note() const override { return store_->note(); }
    bool resumable() const override { return store_->resumable(); }

    void write(const VideoFrame& frame) override {
        encoder_->write(frame, [this](const AVPacket& packet) { add(packet); });
        ++record_.frames;
    }

    void write(Packet& packet) override {
        if (packets_done_ > 0) {  // it lies in a chunk of the earlier run
            --packets_done_;
            return;
        }
        ++record_.packets;
        if (!muxer_->holds(packet->stream_index)) return;
        packet->stream_index = chunk_stream(packet->stream_index);
        add(*packet.get());
    }

    void end_chunk() override {
        if (record_.frames == 0 && record_.packets == 0) return;
        encoder_->end_segment([this](const AVPacket& packet) { add(packet); });
        record_.file = chunk().finish();
        chunk_.reset();
        store_->add(std::exchange(record_, {}));
    }

    void finish() override {
        end_chunk();
        assemble(*store_, *muxer_, info_.time_base);
        muxer_->finish();
        muxer_.reset();
        store_->publish(whole_path());
    }

private:
    void leave_out(std::vector<std::string> streams, const VideoWriterConfig& config) {
        std::string list;
        for (const std::string& stream : streams) list += "\n  " + stream;
        require(streams.empty() || config.drop_streams, path_.string(), ": a ", container_.name,
                " file cannot hold:", list,
                "\nUse .mkv, which holds nearly all, or ask for these streams to be dropped.");
        left_out = std::move(streams);
    }

    /// Its extension is what muxers know their variant by.
    std::filesystem::path whole_path() const { return store_->folder() / ("output" + path_.extension().string()); }

    PacketFileWriter& chunk() {
        if (!chunk_) chunk_.emplace(store_->chunk_path(store_->manifest().chunks.size()));
        return *chunk_;
    }
    void add(const AVPacket& packet) { chunk().write(packet); }

    std::filesystem::path path_;
    VideoInfo info_;
    const AVOutputFormat& container_;
    std::optional<SegmentEncoder> encoder_;
    std::optional<ChunkStore> store_;  // outlives the files that are written in its folder
    std::optional<Muxer> muxer_;
    std::optional<PacketFileWriter> chunk_;
    ChunkRecord record_;             // of what was written since the last end_chunk()
    std::int64_t packets_done_ = 0;  // packets still to come that finished chunks hold
};

}  // namespace mia::detail
