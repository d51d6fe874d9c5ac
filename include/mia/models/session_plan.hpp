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
    int chunk_frames = 48;         ///< frames that one run of the model delivers
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
    /// Most frames that one run of the model delivers: the last one of a scene, a frame short of a full window.
    int most_results(const AnyModel& model) const {
        return model.bidirectional() ? chunk_frames + std::max(0, context_frames - 1) : 1;
    }
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
    const std::size_t window = frame * std::size_t(config.window_frames(model));
    if (config.tiles.whole()) return window + model.memory_bytes(config.window_frames(model), height, width);
    return window + frame * std::size_t(config.most_results(model)) * scale * scale +
           config.tiled(model, height, width).memory_bytes();
}

/// `config` with chunks, and if need be tiles, so small that a Session for frames of this size keeps to `budget` bytes,
/// with as few pixels as possible that are computed and thrown away: whole frames in chunks as long as they can be, or
/// tiles in longer chunks where that is less work. Error with the least amount needed when nothing fits.
inline SessionConfig fit_memory(AnyModel& model, int height, int width, std::size_t budget,
                                const SessionConfig& config = {}) {
    const auto need = [&](const SessionConfig& c) { return session_memory_bytes(model, height, width, c); };
    const auto fits = [&](const SessionConfig& c) { return need(c) <= budget; };
    const auto refuse = [&](const SessionConfig& least) {
        throw Error(text("frames of ", width, " x ", height, " need at least ", need(least) / 1000000 + 1,
                         " MB of memory with ", model.name(), ", ", budget / 1000000,
                         " MB may be used. Allow more, or take smaller frames."));
    };
    if (fits(config)) return config;
    if (!model.bidirectional()) refuse(config);

    const auto effort = [&](const SessionConfig& c) {  // pixels computed for each one delivered
        return c.tiled(model, height, width).effort() * double(c.window_frames(model)) / c.chunk_frames;
    };
    std::optional<SessionConfig> best;
    const auto consider = [&](const SessionConfig& c) {
        if (!best || effort(c) < effort(*best)) best = c;
    };
    SessionConfig whole = config;
    for (int most = config.chunk_frames, least = 0; most - least > 1;) {  // the longest chunk that fits, by halving
        whole.chunk_frames = (least + most) / 2;
        (fits(whole) ? least : most) = whole.chunk_frames;
        whole.chunk_frames = std::max(1, least);
    }
    if (fits(whole)) consider(whole);

    SessionConfig tiled = config;
    const int least_part = std::max({model.tile_unit(), config.tiles.overlap, 1});  // else most of it is overlap
    const int most_rows = std::max(1, height / least_part), most_columns = std::max(1, width / least_part);
    for (;; tiled.chunk_frames = (tiled.chunk_frames + 1) / 2) {
        for (tiled.tiles.rows = 1; tiled.tiles.rows <= most_rows; ++tiled.tiles.rows) {
            tiled.tiles.columns = most_columns;
            if (!fits(tiled)) continue;
            int too_few = 0;  // more columns need less memory: the fewest that fit, by halving
            while (tiled.tiles.columns - too_few > 1) {
                SessionConfig fewer = tiled;
                fewer.tiles.columns = (too_few + tiled.tiles.columns) / 2;
                if (fits(fewer))
                    tiled = fewer;
                else
                    too_few = fewer.tiles.columns;
            }
            consider(tiled);
        }
        if (tiled.chunk_frames == 1) break;
    }
    tiled.tiles.rows = most_rows;
    tiled.tiles.columns = most_columns;
    if (!best) refuse(tiled);
    return *best;
}

}  // namespace mia
