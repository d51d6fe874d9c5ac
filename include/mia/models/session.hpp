#pragma once
#include <algorithm>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <memory>

#include "mia/core/error.hpp"
#include "mia/core/view.hpp"
#include "mia/models/any_model.hpp"

namespace mia {

struct SessionConfig {
    int chunk_frames = 16;   ///< frames that one run of the model delivers
    int context_frames = 4;  ///< frames before and after them that are computed along and thrown away
};

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

/// Runs a model over a video of any length in bounded memory. The video is cut into chunks; each is computed together
/// with `context_frames` neighbours on both sides (on the left only for a model without look-ahead), whose results are
/// discarded. How a video is cut depends on its number of frames alone, never on when the caller pulls:
///
///     for (each frame) { session.push(frame); while (session.pull(out)) use(out); }
///     session.finish();
///     while (session.pull(out)) use(out);
///
/// Nothing is allocated after the first push. After an Error the session is of no further use.
class Session {
public:
    /// `model` must outlive the session. Error when chunk_frames < 1 or context_frames < 0.
    explicit Session(AnyModel& model, SessionConfig config = {}) : model_(model), config_(config) {
        require(config.chunk_frames >= 1 && config.context_frames >= 0, "Session: chunk_frames = ", config.chunk_frames,
                " and context_frames = ", config.context_frames,
                " do not cut a video into chunks. Set chunk_frames to 1 or more and context_frames to 0 or more.");
    }

    /// All memory in bytes that frames of this size need: buffers and the model's own. Known before the first push.
    std::size_t memory_bytes(int height, int width) const {
        const std::size_t pixels = std::size_t(window_frames()) * std::size_t(height) * std::size_t(width) * 3;
        const auto scale = std::size_t(model_.scale());
        return pixels * (1 + scale * scale) * sizeof(float) + model_.memory_bytes(window_frames(), height, width);
    }

    /// Most frames that one run of the model sees.
    int window_frames() const { return config_.context_frames + config_.chunk_frames + look_ahead(); }

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
        require(!chunk_is_due(), "Session: frame ", pushed_, " pushed while results of earlier frames are due. Call ",
                "pull() until it returns false after every push().");
        check(frame, pushed_, "the input");
        std::copy_n(frame.data, frame.size(), input().data + held_ * frame.size());
        ++held_;
        ++pushed_;
    }

    /// No frame follows: what is held can be pulled to the end.
    void finish() { finished_ = true; }

    /// Writes the next result, if one is ready, to out: (scale*H, scale*W, 3), neither clamped nor rounded, and returns
    /// true. Runs the model where a chunk is complete. Error when `out` has another shape, or when the model made a NaN
    /// or an infinity.
    bool pull(View<float, 3> out) {
        if (next_result_ == results_end_) {
            if (!chunk_is_due()) return false;
            run_chunk();
        }
        const auto result = output()[next_result_];
        require(same_shape(out, result), "Session: the result is ", shape_text(result), ", pull() was given ",
                shape_text(out), ". Give it the frame's height and width times ", model_.scale(), ".");
        std::copy_n(result.data, result.size(), out.data);
        ++next_result_;
        ++pulled_;
        return true;
    }

    std::int64_t frames_pushed() const { return pushed_; }
    std::int64_t frames_pulled() const { return pulled_; }

private:
    int look_ahead() const { return model_.bidirectional() ? config_.context_frames : 0; }

    View<float, 4> input() const { return {input_.get(), {window_frames(), height_, width_, 3}}; }
    View<float, 4> output() const {
        return {output_.get(), {window_frames(), model_.scale() * height_, model_.scale() * width_, 3}};
    }

    void allocate(View<const float, 3> frame) {
        require(frame.extent(0) >= 1 && frame.extent(1) >= 1 && frame.extent(2) == 3, "Session: frame 0 is ",
                shape_text(frame), ". Push frames of shape (height, width, 3).");
        height_ = frame.extent(0);
        width_ = frame.extent(1);
        input_ = std::make_unique_for_overwrite<float[]>(std::size_t(input().size()));
        output_ = std::make_unique_for_overwrite<float[]>(std::size_t(output().size()));
    }

    /// A full window is due; at the end of the video so is whatever is left.
    bool chunk_is_due() const {
        const int fresh = held_ - context_;
        return fresh >= config_.chunk_frames + look_ahead() || (finished_ && fresh > 0);
    }

    void run_chunk() {
        const int fresh = held_ - context_;
        const bool full = fresh >= config_.chunk_frames + look_ahead();
        // The last window has nothing after it, so all of its frames are results.
        const int delivered = full ? config_.chunk_frames : fresh;
        const auto clip = input().slice(0, held_);
        const auto results = output().slice(0, delivered);
        model_.forward(clip, context_, results, nullptr);
        for (int t = 0; t < delivered; ++t) check(results[t], pulled_ + t, "the model's output");
        next_result_ = 0;
        results_end_ = delivered;

        const int results_in_clip = context_ + delivered;
        const int kept_from = std::max(0, results_in_clip - config_.context_frames);
        const std::ptrdiff_t frame_size = clip.size() / held_;
        std::copy(clip.data + kept_from * frame_size, clip.data + clip.size(), input_.get());
        held_ -= kept_from;
        context_ = results_in_clip - kept_from;
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
    int height_ = 0, width_ = 0;
    std::unique_ptr<float[]> input_, output_;  // (window, H, W, 3), (window, scale*H, scale*W, 3)
    int held_ = 0;                             // frames at the front of input_
    int context_ = 0;                          // the first of them whose results were delivered before
    int next_result_ = 0, results_end_ = 0;    // results in output_ that wait for pull()
    std::int64_t pushed_ = 0, pulled_ = 0;
    bool finished_ = false;
};

}  // namespace mia
