#pragma once
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <optional>

#include "mia/core/error.hpp"
#include "mia/models/any_model.hpp"
#include "mia/models/scene_cut.hpp"
#include "mia/models/tiles.hpp"

namespace mia {

/// How a Session cuts a video in time and space.
struct SessionConfig {
    int chunk_frames = 16;         ///< frames that one run of the model delivers
    int context_frames = 4;        ///< frames before and after them that are computed along and thrown away
    TileConfig tiles = {};         ///< of a frame; whole by default
    SceneConfig scenes = {};       ///< a scene is computed as if it were a video of its own
    std::int64_t first_frame = 0;  ///< the first whose result is wanted, where a chunk begins; see Session

    /// Frames after a result that the model may look at.
    int look_ahead(const AnyModel& model) const { return model.bidirectional() ? context_frames : 0; }
    /// Most frames that one run of the model sees.
    int window_frames(const AnyModel& model) const {
        return model.bidirectional() ? 2 * context_frames + chunk_frames : 1;
    }
    /// Most frames that one run of the model delivers.
    int most_results(const AnyModel& model) const { return model.bidirectional() ? chunk_frames + context_frames : 1; }
    TiledModel tiled(AnyModel& model, int height, int width) const {
        return TiledModel(model, tiles, window_frames(model), most_results(model), height, width);
    }
};

/// All memory in bytes of a Session for frames of this size: its buffers and the model's own working memory, not the
/// weights. Known beforehand; the frames' number does not matter.
inline std::size_t session_memory_bytes(AnyModel& model, int height, int width, const SessionConfig& config) {
    const std::size_t frame = std::size_t(height) * std::size_t(width) * 3 * sizeof(float);
    const auto scale = std::size_t(model.scale());
    if (!model.bidirectional()) return frame + model.step_memory_bytes(height, width);
    const std::size_t buffers =
        frame * (std::size_t(config.window_frames(model)) + std::size_t(config.most_results(model)) * scale * scale);
    return buffers + (config.tiles.whole() ? model.memory_bytes(config.window_frames(model), height, width)
                                           : config.tiled(model, height, width).memory_bytes());
}

/// `config` with chunks, and if need be tiles, so small that a Session for frames of this size keeps to `budget` bytes:
/// whole frames in chunks as long as they can be; where not even chunks as long as their context fit, tiles, as few
/// more pixels to compute as possible. Error with the least amount needed when nothing fits.
inline SessionConfig fit_memory(AnyModel& model, int height, int width, std::size_t budget, SessionConfig config = {}) {
    SessionConfig best = config;
    const auto fits = [&](const SessionConfig& c) { return session_memory_bytes(model, height, width, c) <= budget; };
    if (!model.bidirectional() || fits(config)) {
        require(fits(config), "frames of ", width, " x ", height, " need ",
                session_memory_bytes(model, height, width, config) / 1000000 + 1, " MB of memory with ", model.name(),
                ", ", budget / 1000000, " MB may be used. Allow more, or take smaller frames.");
        return config;
    }
    const int least_chunk = std::min(config.chunk_frames, std::max(1, config.context_frames));
    for (best.chunk_frames = config.chunk_frames - 1; best.chunk_frames >= least_chunk; --best.chunk_frames)
        if (fits(best)) return best;

    std::optional<double> least_effort;
    const int least_part = std::max({model.tile_unit(), config.tiles.overlap, 1});  // else most of it is overlap
    const int most_rows = std::max(1, height / least_part), most_columns = std::max(1, width / least_part);
    SessionConfig tiled = config;
    for (tiled.chunk_frames = config.chunk_frames;; tiled.chunk_frames = (tiled.chunk_frames + 1) / 2) {
        tiled.tiles.columns = most_columns;
        for (tiled.tiles.rows = 1; tiled.tiles.rows <= most_rows; ++tiled.tiles.rows) {
            if (!fits(tiled)) continue;  // more columns need less memory: the fewest that fit, by halving
            int too_few = 0, enough = tiled.tiles.columns;
            while (enough - too_few > 1) {
                const int middle = (too_few + enough) / 2;
                tiled.tiles.columns = middle;
                (fits(tiled) ? enough : too_few) = middle;
            }
            tiled.tiles.columns = enough;
            const double effort =
                tiled.tiled(model, height, width).effort() * double(tiled.window_frames(model)) / tiled.chunk_frames;
            if (!least_effort || effort < *least_effort) {
                least_effort = effort;
                best = tiled;
            }
        }
        if (tiled.chunk_frames == 1) break;
    }
    if (least_effort) return best;
    tiled.tiles = {most_rows, most_columns, config.tiles.overlap};
    throw Error(text("frames of ", width, " x ", height, " need at least ",
                     session_memory_bytes(model, height, width, tiled) / 1000000 + 1, " MB of memory with ",
                     model.name(), ", ", budget / 1000000, " MB may be used. Allow more, or take smaller frames."));
}

}  // namespace mia
