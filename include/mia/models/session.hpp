#pragma once
#include <algorithm>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <utility>

#include "mia/core/error.hpp"
#include "mia/core/view.hpp"
#include "mia/models/any_model.hpp"
#include "mia/models/session_plan.hpp"

namespace mia {

namespace detail {

/// Position of the first NaN or infinity, or `count`.
inline std::ptrdiff_t first_non_finite(const float* x, std::ptrdiff_t count) {
    constexpr std::uint32_t exponent = 0x7f800000u;
    constexpr std::ptrdiff_t block = 4096;  // searched only where the sweep, which vectorises, found something
    for (std::ptrdiff_t start = 0; start < count; start += block) {
        const std::ptrdiff_t end = std::min(count, start + block);
        std::uint32_t found = 0;
        for (std::ptrdiff_t i = start; i < end; ++i)
            found |= std::uint32_t((std::bit_cast<std::uint32_t>(x[i]) & exponent) == exponent);
        if (found == 0) continue;
        for (std::ptrdiff_t i = start; i < end; ++i)
            if ((std::bit_cast<std::uint32_t>(x[i]) & exponent) == exponent) return i;
    }
    return count;
}

}  // namespace detail

/// Runs a model over a video of any length in bounded memory. A model that looks ahead works in chunks; each is
/// computed together with `context_frames` neighbours on both sides, whose results are discarded. A model that does not
/// look ahead gives each result at once and carries its memory of earlier frames on. Where a scene begins (SceneConfig)
/// the model starts anew, as if the scene were a video of its own. How a video is cut depends on its frames alone,
/// never on when the caller pulls:
///
///     for (each frame) { session.push(frame); while (session.pull(out)) use(out); }
///     session.finish();
///     while (session.pull(out)) use(out);
///
/// To go on with work that was interrupted, set `first_frame` to the number of results that are there, and push the
/// video from its beginning: chunks before it are not computed, and the rest has the same bytes as without the
/// interruption. Nothing is allocated after the first results. After an Error the session is of no further use.
class Session {
public:
    /// `model` must outlive the session. Error for a config that makes no sense.
    explicit Session(AnyModel& model, SessionConfig config = {}) : model_(model), config_(std::move(config)) {
        const auto& [chunk, context, tiles, scenes, first] = config_;
        require(chunk >= 1 && context >= 0, "Session: chunk_frames = ", chunk, " and context_frames = ", context,
                " do not cut a video into chunks. Set chunk_frames to 1 or more and context_frames to 0 or more.");
        require(tiles.rows >= 1 && tiles.columns >= 1 && tiles.overlap >= 0, "Session: ", tiles.rows, " x ",
                tiles.columns, " tiles with an overlap of ", tiles.overlap,
                " do not cut a frame. Set rows and columns to 1 or more and the overlap to 0 or more.");
        require(tiles.whole() || model.bidirectional(), "Session: ", model.name(), " does not look ahead and runs ",
                "frame by frame, which is not done in tiles. Set rows and columns to 1.");
        require(first >= 0, "Session: first_frame = ", first,
                ". Set it to the number of results that are there, or 0.");
    }

    /// All memory in bytes that frames of this size need: session_memory_bytes().
    std::size_t memory_bytes(int height, int width) const {
        return session_memory_bytes(model_, height, width, config_);
    }

    /// Is told what the model does from now on; null: nobody. Must outlive the session or be taken back.
    void observe(ModelObserver* observer) { observer_ = observer; }

    /// Takes a copy of the next frame: (H, W, 3) RGB in [0, 1]. Error when its size is not that of the first one, when
    /// it holds a NaN or an infinity, after finish(), and when results that are due have not been pulled.
    void push(View<const float, 3> frame) {
        require(!finished_, "Session: frame ", pushed_, " pushed after finish(). Make a new Session for a new video.");
        if (pushed_ == 0) {
            allocate(frame);
        } else {
            require(frame.extent(0) == height_ && frame.extent(1) == width_ && frame.extent(2) == 3, "Session: frame ",
                    pushed_, " is ", shape_text(frame), ", the frames before it are ",
                    shape_text(View<float, 3>{nullptr, {height_, width_, 3}}),
                    ". Use a new Session when the size changes.");
        }
        require(!result_is_due(), "Session: frame ", pushed_, " pushed while results of earlier frames are due. Call ",
                "pull() until it returns false after every push().");
        check(frame, pushed_, "the input");
        if (begins_scene(frame)) cut_ = held_;
        std::copy_n(frame.data, frame.size(), input().data + held_ * frame.size());
        ++held_;
        ++pushed_;
        if (cut_ >= 0 && fresh() == 0) begin_scene();
    }

    /// No frame follows: what is held can be pulled to the end.
    void finish() { finished_ = true; }

    /// Writes the next result, if one is ready, to out: (scale*H, scale*W, 3), neither clamped nor rounded, and returns
    /// true. Runs the model where that is due. Error when `out` has another shape, when the model made a NaN or an
    /// infinity, and when first_frame turns out not to be where a chunk begins.
    bool pull(View<float, 3> out) {
        if (pushed_ == 0) return false;
        const int scale = model_.scale();
        require(out.extent(0) == scale * height_ && out.extent(1) == scale * width_ && out.extent(2) == 3,
                "Session: the result is ", shape_text(View<float, 3>{nullptr, {scale * height_, scale * width_, 3}}),
                ", pull() was given ", shape_text(out), ". Give it the frame's height and width times ", scale, ".");
        while (result_is_due()) {
            if (!model_.bidirectional()) {
                if (step(out)) return true;
                continue;
            }
            if (next_result_ == results_end_ && !begin_chunk()) continue;  // a chunk that was there already
            if (tiled_) {
                const auto result = output()[next_result_];
                std::copy_n(result.data, result.size(), out.data);
            } else {
                model_.next(out);
            }
            check(out, pulled_, "the model's output");
            begins_chunk_ = next_result_ == 0;
            ++next_result_;
            ++pulled_;
            ends_run_ = next_result_ == results_end_;
            if (ends_run_) end_chunk(results_end_);
            return true;
        }
        require(!finished_ || pulled_ >= config_.first_frame, "Session: the video ended after ", pushed_,
                " frames, before the first one that is wanted, ", config_.first_frame,
                ". It is not the video that the interrupted work began with.");
        return false;
    }

    /// Whether the result pulled last is the first of a chunk: where work that is interrupted can go on.
    bool begins_chunk() const { return begins_chunk_; }

    std::int64_t frames_pushed() const { return pushed_; }
    std::int64_t frames_pulled() const { return pulled_; }  ///< those before first_frame included
    std::int64_t scenes() const { return scenes_; }         ///< that have begun so far

    /// The frames whose results the model's last run makes, from this one on; still running when an observer asks.
    std::int64_t run_begin() const { return run_begin_; }
    int run_frames() const { return run_frames_; }

    /// Whether the result pulled last is the last of the model's run.
    bool ends_run() const { return ends_run_; }
    /// Share of the tokens that the mask skipped in the model's run, 0 to 1; known when it ends.
    double skipped_share() const { return tiled_ ? tiled_->skipped_share() : model_.skipped_share(); }

private:
    int window_frames() const { return config_.window_frames(model_); }
    View<float, 4> input() const { return {input_.get(), {window_frames(), height_, width_, 3}}; }
    View<float, 4> output() const {
        return {output_.get(), {config_.most_results(model_), model_.scale() * height_, model_.scale() * width_, 3}};
    }

    void allocate(View<const float, 3> frame) {
        require(frame.extent(0) >= 1 && frame.extent(1) >= 1 && frame.extent(2) == 3, "Session: frame 0 is ",
                shape_text(frame), ". Push frames of shape (height, width, 3).");
        height_ = frame.extent(0);
        width_ = frame.extent(1);
        input_ = std::make_unique_for_overwrite<float[]>(std::size_t(input().size()));
        if (config_.tiles.whole()) return;
        output_ = std::make_unique_for_overwrite<float[]>(std::size_t(output().size()));
        tiled_.emplace(config_.tiled(model_, height_, width_));
    }

    /// Whether the frame about to be pushed is another scene than the one before. The first frame is the beginning.
    bool begins_scene(View<const float, 3> frame) {
        const bool is_found = config_.scenes.detect && detector_.score(frame) >= config_.scenes.threshold;
        const auto& cuts = config_.scenes.cuts;
        const bool is_known = std::binary_search(cuts.begin(), cuts.end(), pushed_);
        if (pushed_ > 0 && !is_found && !is_known) return false;
        ++scenes_;
        return pushed_ > 0;
    }

    /// Frames of this scene that are held and have no result yet.
    int fresh() const { return (cut_ >= 0 ? cut_ : held_) - context_; }
    bool chunk_is_full() const { return fresh() >= config_.chunk_frames + config_.look_ahead(model_); }

    /// A full window is due; at the end of a scene so is whatever is left.
    bool result_is_due() const {
        if (next_result_ < results_end_) return true;
        if (!model_.bidirectional()) return held_ > 0;
        return chunk_is_full() || ((finished_ || cut_ >= 0) && fresh() > 0);
    }

    /// False when the chunk's results were there already.
    bool begin_chunk() {
        const int end = cut_ >= 0 ? cut_ : held_;
        // The last window has nothing after it, so all of its frames are results.
        const int delivered = chunk_is_full() ? config_.chunk_frames : fresh();
        if (pulled_ + delivered <= config_.first_frame) {
            pulled_ += delivered;
            end_chunk(delivered);
            return false;
        }
        require(pulled_ >= config_.first_frame, "Session: frame ", config_.first_frame, " is not where a chunk ",
                "begins, but ", pulled_, " is and ", pulled_ + delivered,
                ". The video, its cuts or the chunks' length are not those that the interrupted work began with.");
        run_begin_ = pulled_;
        run_frames_ = delivered;
        const auto clip = input().slice(0, end);
        if (tiled_)
            tiled_->forward(clip, context_, output().slice(0, delivered), observer_);
        else
            model_.begin(clip, context_, delivered, observer_);
        next_result_ = 0;
        results_end_ = delivered;
        return true;
    }

    void end_chunk(int delivered) {
        const int done = context_ + delivered;
        if (cut_ >= 0 && done == cut_) {
            begin_scene();
            return;
        }
        keep_from(std::max(0, done - config_.context_frames));
        context_ = std::min(done, config_.context_frames);
    }

    /// One frame of a model that does not look ahead; false when its result was there already.
    bool step(View<float, 3> out) {
        held_ = 0;
        run_begin_ = pulled_;
        run_frames_ = 1;
        model_.step(input()[0], scene_frames_ == 0, out, observer_);
        check(out, pulled_, "the model's output");
        begins_chunk_ = scene_frames_ % config_.chunk_frames == 0;
        ends_run_ = true;
        ++scene_frames_;
        require(begins_chunk_ || pulled_ != config_.first_frame, "Session: frame ", config_.first_frame,
                " is not where a chunk begins. The video, its cuts or the chunks' length are not those that the ",
                "interrupted work began with.");
        return ++pulled_ > config_.first_frame;
    }

    void begin_scene() {
        keep_from(cut_);
        context_ = 0;
        cut_ = -1;
        scene_frames_ = 0;
    }
    void keep_from(int frame) {
        const std::ptrdiff_t frame_size = input().size() / window_frames();
        std::copy(input_.get() + frame * frame_size, input_.get() + held_ * frame_size, input_.get());
        held_ -= frame;
    }

    template <class T>
    void check(View<T, 3> frame, std::int64_t index, const char* stage) const {
        const std::ptrdiff_t at = detail::first_non_finite(frame.data, frame.size());
        if (at == frame.size()) return;
        const std::ptrdiff_t width = frame.extent(1);
        throw Error(text("Session: ", frame.data[at], " in ", stage, " at frame ", index, ", row ", at / 3 / width,
                         ", column ", at / 3 % width, ", channel ", at % 3, " (model ", model_.name(),
                         "). Pixels must be finite; look at the source of this frame or at the weights."));
    }

    AnyModel& model_;
    SessionConfig config_;
    ModelObserver* observer_ = nullptr;
    SceneDetector detector_;
    std::optional<TiledModel> tiled_;
    int height_ = 0, width_ = 0;
    std::unique_ptr<float[]> input_, output_;  // (window, H, W, 3); of tiles: (results, scale*H, scale*W, 3)
    int held_ = 0;                             // frames at the front of input_
    int context_ = 0;                          // the first of them whose results were delivered before
    int cut_ = -1;                             // the one of them that begins the next scene, or -1
    int next_result_ = 0, results_end_ = 0;    // of the run at hand: next one to pull, and their number
    std::int64_t scene_frames_ = 0;            // of a model that does not look ahead: steps since the scene began
    std::int64_t pushed_ = 0, pulled_ = 0, scenes_ = 0;
    std::int64_t run_begin_ = 0;
    int run_frames_ = 0;
    bool begins_chunk_ = false, ends_run_ = false, finished_ = false;
};

}  // namespace mia
