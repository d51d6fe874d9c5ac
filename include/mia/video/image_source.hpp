#pragma once
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <utility>
#include <vector>

#include "mia/core/error.hpp"
#include "mia/video/frame.hpp"
#include "mia/video/image_reader.hpp"
#include "mia/video/reader_config.hpp"
#include "mia/video/video_source.hpp"

namespace mia::detail {

/// Frames out of image files, one after the other at a given rate.
class ImageSource : public VideoSource {
public:
    /// files: at least one, all of one kind. `path` is what the user calls them.
    ImageSource(const std::filesystem::path& path, std::vector<std::filesystem::path> files,
                const VideoReaderConfig& config)
        : files_(std::move(files)), reader_(config.max_pixels) {
        info_.path = path;
        info_.kind = SourceKind::images;
        info_.frame_rate = config.frame_rate;
        info_.time_base = av_inv_q(config.frame_rate);
        keep_part(config);

        VideoFrame first;
        reader_.read(files_.front(), first);
        info_.width = first.width;
        info_.height = first.height;
        info_.pixel_format = reader_.pixel_format();
        info_.bit_depth = sample_depth(info_.pixel_format);
        info_.color.matrix = AVCOL_SPC_RGB;
        info_.color.range = AVCOL_RANGE_JPEG;
        info_.codec = reader_.codec();
    }

    bool read(VideoFrame& frame) override {
        if (next_ == info_.frame_count) return false;
        reader_.read(files_[std::size_t(next_)], frame);
        require(frame.width == info_.width && frame.height == info_.height, info_.path.string(), ": ", frame.name,
                " is ", frame.width, " x ", frame.height, ", the images before it are ", info_.width, " x ",
                info_.height, ". Scale or crop the images so that all have one size.");
        frame.pts = next_++;
        frame.duration = 1;
        return true;
    }

private:
    void keep_part(const VideoReaderConfig& config) {
        const Part part(config, info_.path.string());
        const auto count = std::int64_t(files_.size());
        std::int64_t from = 0;
        while (from < count && part.is_before(from, from, info_.time_base)) ++from;
        std::int64_t to = from;
        while (to < count && !part.is_after(to, to, info_.time_base)) ++to;
        const double unit = av_q2d(info_.time_base);
        require(from < count, info_.path.string(), ": the part begins at ", part.start_text(),
                ", beyond the end: ", count, " images last ", double(count) * unit, " s. Let it begin earlier.");
        require(from < to, info_.path.string(), ": the part from ", part.start_text(), " to ", part.end_text(),
                " holds no image; there are ", count, " in ", double(count) * unit, " s. Let it end later.");
        files_ = {files_.begin() + from, files_.begin() + to};
        info_.frame_count = to - from;
        info_.seconds = double(info_.frame_count) * unit;
        info_.start_seconds = double(from) * unit;
        if (part.has_end()) info_.end_seconds = double(to) * unit;
    }

    std::vector<std::filesystem::path> files_;
    ImageReader reader_;
    std::int64_t next_ = 0;
};

}  // namespace mia::detail
