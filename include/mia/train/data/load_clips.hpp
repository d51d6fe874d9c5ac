#pragma once
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <string>
#include <system_error>
#include <utility>
#include <vector>

#include "mia/core/error.hpp"
#include "mia/train/data/clip_sampler.hpp"
#include "mia/train/data/data_set.hpp"
#include "mia/video/reader.hpp"

// The one header of mia/train that needs mia::video.

namespace mia {

/// A data set in memory.
struct LoadedClips {
    std::vector<TrainingClip> clips;   ///< at least one; the photos of a folder share its weight
    std::vector<std::string> skipped;  ///< "noise.mkv (set.txt, line 3): 12 frames, 16 are needed"

    /// "2 of 7 clips were skipped:" and a line for each; empty when none was.
    std::string skipped_text() const {
        if (skipped.empty()) return {};
        std::string all = text(skipped.size(), " of ", skipped.size() + clips.size(), " clips were skipped:");
        for (const std::string& line : skipped) all += "\n  " + line;
        return all;
    }
};

namespace detail {

class ClipLoader {
public:
    ClipLoader(const DataSet& set, const ClipSamplerConfig& config, std::int64_t max_bytes)
        : set_(set), config_(config), bytes_left_(max_bytes), max_bytes_(max_bytes) {}

    LoadedClips load() && {
        for (const DataSource& source : set_.sources) {
            const std::size_t first = loaded_.clips.size();
            for (const auto& file : files_of(source)) add(source, file);
            const auto count = double(loaded_.clips.size() - first);
            for (std::size_t i = first; i < loaded_.clips.size(); ++i) loaded_.clips[i].weight = source.weight / count;
        }
        require(!loaded_.clips.empty(), set_.name, ": no clip is left to train on. ", loaded_.skipped_text(),
                "\nMend them, or ask for smaller samples.");
        return std::move(loaded_);
    }

private:
    /// The folder's photos one by one; else the path itself.
    std::vector<std::filesystem::path> files_of(const DataSource& source) {
        std::error_code missing;
        if (source.kind != DataKind::photo || !std::filesystem::is_directory(source.path, missing))
            return {source.path};
        try {
            return list_images(source.path);
        } catch (const Error& error) {
            skip(source, source.path, error.what());
            return {};
        }
    }

    void add(const DataSource& source, const std::filesystem::path& file) {
        TrainingClip item;
        item.is_photo = source.kind == DataKind::photo;
        item.clip.name = file.string();
        try {
            read(source.kind, file, item.clip);
        } catch (const Error& error) {
            return skip(source, file, error.what());
        }
        require(bytes_left_ >= 0, set_.name, ": its frames take more than ", max_bytes_ >> 20, " MB; ", file.string(),
                " did not fit. Take fewer or shorter clips, or allow more memory.");
        if (const std::string reason = why_unfit(item, config_); !reason.empty()) {
            bytes_left_ += std::int64_t(item.clip.pixels.size());
            return skip(source, file, reason);
        }
        item.clip.pixels.shrink_to_fit();
        loaded_.clips.push_back(std::move(item));
    }

    /// Stops where the memory ends.
    void read(DataKind kind, const std::filesystem::path& file, Clip& clip) {
        require(file != "-", "standard input is no source of a data set. Give a file or folder.");
        VideoReader reader(file);
        const SourceKind found = reader.info().kind;
        require(found == (kind == DataKind::video ? SourceKind::file : SourceKind::images), file.string(),
                found == SourceKind::images ? ": these are images, not a video. Write images or photo as their kind."
                                            : ": this is a video or a pipe, not images. Write video as its kind.");
        for (VideoFrame frame; bytes_left_ >= 0 && reader.read(frame);) {
            bytes_left_ -= frame.view().size();
            if (bytes_left_ >= 0) clip.append(frame.view());
        }
    }

    /// Readers begin their messages with the path.
    void skip(const DataSource& source, const std::filesystem::path& file, std::string reason) {
        if (reason.starts_with(file.string() + ": ")) reason.erase(0, file.string().size() + 2);
        loaded_.skipped.push_back(text(file.string(), " (", set_.name, ", line ", source.line, "): ", reason));
    }

    const DataSet& set_;
    const ClipSamplerConfig& config_;
    std::int64_t bytes_left_, max_bytes_;
    LoadedClips loaded_;
};

}  // namespace detail

/// The first frames of a video or folder of images, `most` or as many as there are. Error when there is none, and for
/// what cannot be read.
inline Clip read_clip(const std::filesystem::path& path, int most) {
    VideoReader reader(path);
    Clip clip;
    clip.name = path.string();
    for (VideoFrame frame; clip.frames < most && reader.read(frame);) clip.append(frame.view());
    require(clip.frames > 0, path.string(), ": it has no frame to measure on. Name another clip.");
    return clip;
}

/// Reads all of a set's sources, rounded to 8 bits. Those that cannot be read, or are too small or too short for the
/// samples, are skipped and named. Error when nothing is left, when the frames take more than max_bytes, and when the
/// configuration makes no sense.
inline LoadedClips load_clips(const DataSet& set, const ClipSamplerConfig& config,
                              std::int64_t max_bytes = std::int64_t{16} << 30) {
    detail::check(config);
    return detail::ClipLoader(set, config, max_bytes).load();
}

}  // namespace mia
