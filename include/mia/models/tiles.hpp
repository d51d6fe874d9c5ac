#pragma once
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <memory>

#include "mia/core/error.hpp"
#include "mia/models/any_model.hpp"

namespace mia {

/// A frame in parts, so that one that is too large for the memory is computed part by part. Each part is computed with
/// `overlap` pixels more on every side that has a neighbour, which are thrown away.
struct TileConfig {
    int rows = 1, columns = 1;  ///< parts; 1 x 1: the frame as a whole
    int overlap = 32;           ///< rounded up to the model's tile_unit()

    bool whole() const { return rows == 1 && columns == 1; }
    bool operator==(const TileConfig&) const = default;
};

/// One axis of a frame in parts: results [begin, end) of each come from [from, to), which begins at a multiple of the
/// unit. There are fewer parts than asked for where they would be smaller than a unit.
class TileAxis {
public:
    struct Part {
        int begin, end, from, to;
    };

    TileAxis(int extent, int parts, int overlap, int unit)
        : extent_(extent),
          parts_(std::clamp(parts, 1, (extent + unit - 1) / unit)),
          unit_(unit),
          overlap_((overlap + unit - 1) / unit * unit) {}

    int parts() const { return parts_; }
    Part part(int i) const {
        const int begin = border(i), end = border(i + 1);
        return {begin, end, std::max(0, begin - overlap_), std::min(extent_, end + overlap_)};
    }
    int longest() const {  ///< most pixels of a part with its overlap
        int most = 0;
        for (int i = 0; i < parts_; ++i) most = std::max(most, part(i).to - part(i).from);
        return most;
    }
    /// Pixels computed for each one delivered, 1 or more.
    double effort() const {
        int sum = 0;
        for (int i = 0; i < parts_; ++i) sum += part(i).to - part(i).from;
        return double(sum) / extent_;
    }

private:
    /// Parts are as equal as multiples of the unit can be.
    int border(int i) const {
        if (i == parts_) return extent_;
        const int units = (extent_ + unit_ - 1) / unit_;
        return int(std::int64_t(i) * units / parts_) * unit_;
    }
    int extent_, parts_, unit_, overlap_;
};

/// Runs a model on a clip tile by tile. The flow is computed on whole frames, so that tiles see the same motion; what
/// differs from a run on whole frames is what would have come from further away than the overlap.
class TiledModel {
public:
    /// frames: the most that a clip has; results: the most that are asked for.
    TiledModel(AnyModel& model, TileConfig config, int frames, int results, int height, int width)
        : model_(model),
          rows_(axis(model, height, config.rows, config.overlap)),
          columns_(axis(model, width, config.columns, config.overlap)),
          frames_(frames),
          results_(results),
          height_(height),
          width_(width) {}

    /// All memory in bytes that forward() needs beside clip and result.
    std::size_t memory_bytes() const {
        const int h = rows_.longest(), w = columns_.longest();
        return sizeof(float) * (2 * flow_size() + clip_size() + result_size() + 2 * tile_flow_size()) +
               std::max(model_.flow_memory_bytes(frames_, height_, width_), model_.tile_memory_bytes(frames_, h, w));
    }
    /// Pixels computed for each one delivered, 1 or more.
    double effort() const { return rows_.effort() * columns_.effort(); }

    /// As AnyModel::forward. The observer is told of progress only.
    void forward(View<const float, 4> clip, int first, View<float, 4> out, ModelObserver* observer) {
        allocate();
        const int T = clip.extent(0), pairs = T - 1, scale = model_.scale();
        const auto flow = [&](const std::unique_ptr<float[]>& buffer) {
            return View<float, 4>{buffer.get(), {pairs, height_, width_, 2}};
        };
        model_.flows(clip, flow(backward_), flow(onward_));
        double tokens = 0, skipped = 0;
        for (int i = 0; i < rows_.parts(); ++i)
            for (int j = 0; j < columns_.parts(); ++j) {
                const auto y = rows_.part(i), x = columns_.part(j);
                const int h = y.to - y.from, w = x.to - x.from;
                const View<float, 4> tile{clip_.get(), {T, h, w, 3}};
                const View<float, 4> result{result_.get(), {out.extent(0), scale * h, scale * w, 3}};
                const View<float, 4> backward{tile_backward_.get(), {pairs, h, w, 2}};
                const View<float, 4> onward{tile_onward_.get(), {pairs, h, w, 2}};
                copy_part(clip, y.from, x.from, tile, 0, 0, h, w);
                if (model_.uses_backward_flow()) copy_part(flow(backward_), y.from, x.from, backward, 0, 0, h, w);
                if (model_.uses_forward_flow()) copy_part(flow(onward_), y.from, x.from, onward, 0, 0, h, w);
                Share share(observer, i * columns_.parts() + j, rows_.parts() * columns_.parts());
                model_.forward_with_flows(tile, {backward, onward}, first, result, observer ? &share : nullptr);
                copy_part(result, scale * (y.begin - y.from), scale * (x.begin - x.from), out, scale * y.begin,
                          scale * x.begin, scale * (y.end - y.begin), scale * (x.end - x.begin));
                tokens += double(h) * w;
                skipped += double(h) * w * model_.skipped_share();
            }
        skipped_share_ = skipped / tokens;
    }
    double skipped_share() const { return skipped_share_; }

private:
    /// A tile's progress as a share of all.
    class Share final : public ModelObserver {
    public:
        Share(ModelObserver* to, int tile, int tiles) : to_(to), tile_(tile), tiles_(tiles) {}
        bool wants_values() const override { return false; }
        void progress(double share) override { to_->progress((tile_ + share) / tiles_); }

    private:
        ModelObserver* to_;
        int tile_, tiles_;
    };

    static TileAxis axis(const AnyModel& model, int extent, int parts, int overlap) {
        return {extent, parts, overlap, model.tile_unit()};
    }

    /// The h x w pixels at (y, x) of each image to (to_y, to_x).
    static void copy_part(View<const float, 4> from, int y, int x, View<float, 4> to, int to_y, int to_x, int h,
                          int w) {
        const int channels = from.extent(3);
        for (int t = 0; t < to.extent(0); ++t)
            for (int row = 0; row < h; ++row)
                std::copy_n(&from(t, y + row, x, 0), std::ptrdiff_t(w) * channels, &to(t, to_y + row, to_x, 0));
    }

    std::size_t flow_size() const { return size(frames_ - 1, height_, width_, 2); }
    std::size_t clip_size() const { return size(frames_, rows_.longest(), columns_.longest(), 3); }
    std::size_t tile_flow_size() const { return size(frames_ - 1, rows_.longest(), columns_.longest(), 2); }
    std::size_t result_size() const {
        return size(results_, model_.scale() * rows_.longest(), model_.scale() * columns_.longest(), 3);
    }
    static std::size_t size(int a, int b, int c, int d) {
        return std::size_t(a) * std::size_t(b) * std::size_t(c) * std::size_t(d);
    }
    void allocate() {
        if (clip_ != nullptr) return;
        for (auto* flow : {&backward_, &onward_}) *flow = std::make_unique_for_overwrite<float[]>(flow_size());
        for (auto* flow : {&tile_backward_, &tile_onward_})
            *flow = std::make_unique_for_overwrite<float[]>(tile_flow_size());
        result_ = std::make_unique_for_overwrite<float[]>(result_size());
        clip_ = std::make_unique_for_overwrite<float[]>(clip_size());
    }

    AnyModel& model_;
    TileAxis rows_, columns_;
    int frames_, results_, height_, width_;
    double skipped_share_ = 0;
    std::unique_ptr<float[]> backward_, onward_;                            // flows of whole frames
    std::unique_ptr<float[]> clip_, result_, tile_backward_, tile_onward_;  // of one tile
};

}  // namespace mia
