#pragma once
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <filesystem>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>

#include "mia/core/error.hpp"
#include "mia/video/chunk_store.hpp"
#include "mia/video/durable_file.hpp"
#include "mia/video/ffmpeg.hpp"
#include "mia/video/frame.hpp"
#include "mia/video/frame_output.hpp"
#include "mia/video/image_files.hpp"
#include "mia/video/packet_file.hpp"
#include "mia/video/png_writer.hpp"
#include "mia/video/run_identity.hpp"
#include "mia/video/writer_config.hpp"

namespace mia::detail {

/// Frames into a folder of PNG images. They grow in OUTPUT.partial/images; a chunk's file has a packet for each of its
/// images: the hash of its content, and its name.
class ImageOutput : public FrameOutput {
public:
    ImageOutput(const std::filesystem::path& path, const VideoInfo& info, const VideoWriterConfig& config)
        : path_(path), info_(info), png_(output_depth(info, config) > 8 ? 16 : 8) {
        auto identity = run_identity(info, config);
        identity["encoder"] = "png";
        store_.emplace(path, std::move(identity), config.unfinished, info.kind != SourceKind::pipe);
        check_target();
        std::error_code failure;
        std::filesystem::create_directory(images(), failure);
        if (failure) fail_to_write(images(), failure.value());
        take_up();
    }

    std::int64_t frames_done() const override { return store_->manifest().frames(); }
    std::filesystem::path partial_path() const override { return store_->folder(); }
    std::string note() const override { return store_->note(); }
    bool resumable() const override { return store_->resumable(); }

    void write(const VideoFrame& frame) override {
        const std::string name = name_of(frame);
        require(names_.insert(name).second, path_.string(), ": two images would have the name ", name,
                ". Give the input's images names that differ in more than their extension.");
        const FileStamp stamp = png_.write(images() / name, frame.view());
        if (!chunk_) chunk_.emplace(store_->chunk_path(store_->manifest().chunks.size()));
        add_record(stamp.sha256 + name, frame);
        ++frames_;
    }

    void end_chunk() override {
        if (frames_ == 0) return;
        const FileStamp stamp = chunk_->finish();
        chunk_.reset();
        store_->add({.frames = std::exchange(frames_, 0), .file = stamp});
    }

    void finish() override {
        end_chunk();
        std::error_code ignored;  // an empty folder gives way; one that was filled since does not
        if (std::filesystem::exists(path_, ignored)) std::filesystem::remove(path_, ignored);
        store_->publish(images());
    }

private:
    static constexpr std::size_t hash_digits = 64;

    std::filesystem::path images() const { return store_->folder() / "images"; }

    void check_target() const {
        std::error_code failure;
        if (!std::filesystem::exists(path_, failure)) return;
        require(std::filesystem::is_directory(path_, failure), path_.string(),
                ": a file of this name is in the way of ",
                "the output folder. Choose another name, or add .mp4, .mov or .mkv for a video.");
        require(std::filesystem::is_empty(path_, failure) && !failure, path_.string(),
                ": the output folder is not empty. Empty it or choose another; it is never written over.");
    }

    /// The names of the source's images, and numbers from 1 for frames without one.
    std::string name_of(const VideoFrame& frame) const {
        if (!frame.name.empty()) return std::filesystem::path(frame.name).replace_extension(".png").filename().string();
        char name[48];
        std::snprintf(name, sizeof name, "%06lld.png", static_cast<long long>(frames_done() + frames_ + 1));
        return name;
    }

    void add_record(std::string_view content, const VideoFrame& frame) {
        av_packet_unref(record_.get());
        av_check(av_new_packet(record_.get(), int(content.size())), path_.string(), ": no memory for a packet");
        std::copy(content.begin(), content.end(), record_->data);
        record_->pts = frame.pts;
        record_->duration = frame.duration;
        chunk_->write(*record_.get());
    }

    /// Checks the images of the earlier run, keeps those of whole chunks, and deletes all others.
    void take_up() {
        for (std::size_t i = 0; i < store_->manifest().chunks.size(); ++i) {
            std::set<std::string> names;
            if (const std::string damaged = check_chunk(i, names); !damaged.empty()) {
                store_->forget_from(i, damaged + " is not what was written");
                break;
            }
            names_.merge(names);
        }
        std::error_code failure;
        for (const auto& entry : std::filesystem::directory_iterator(images(), failure))
            if (names_.count(entry.path().filename().string()) == 0) std::filesystem::remove_all(entry.path(), failure);
        require(!failure, images().string(), ": cannot be cleared (", failure.message(), "). Check its permissions.");
    }

    /// The first image of a chunk that is not as it was written; empty when all are.
    std::string check_chunk(std::size_t index, std::set<std::string>& names) const {
        PacketFileReader file(store_->chunk_path(index));
        for (Packet packet; file.next(packet);) {
            const std::string_view content(reinterpret_cast<const char*>(packet->data), std::size_t(packet->size));
            if (content.size() <= hash_digits) return store_->chunk_path(index).filename().string();
            const std::string name(content.substr(hash_digits));
            if (stamp_of(images() / name).sha256 != content.substr(0, hash_digits)) return name;
            names.insert(name);
        }
        return {};
    }

    std::filesystem::path path_;
    VideoInfo info_;
    PngWriter png_;
    std::optional<ChunkStore> store_;
    std::optional<PacketFileWriter> chunk_;
    Packet record_;
    std::set<std::string> names_;  // of all images so far
    std::int64_t frames_ = 0;      // of the open chunk
};

}  // namespace mia::detail
