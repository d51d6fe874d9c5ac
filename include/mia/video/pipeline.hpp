#pragma once
#include <chrono>
#include <concepts>
#include <cstdint>
#include <deque>
#include <exception>
#include <functional>
#include <mutex>
#include <optional>
#include <stop_token>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "mia/core/error.hpp"
#include "mia/models/any_model.hpp"
#include "mia/models/session.hpp"
#include "mia/video/bounded_queue.hpp"
#include "mia/video/ffmpeg.hpp"
#include "mia/video/frame.hpp"

namespace mia {

/// Where frames come from: VideoReader, or one's own.
template <class S>
concept FrameSource = requires(S& source, VideoFrame& frame, Packet& packet) {
    { source.read(frame) } -> std::same_as<bool>;          // the next frame; false at the end
    { source.take_packet(packet) } -> std::same_as<bool>;  // other streams' packets met meanwhile; false: no more now
};

/// Where results go: VideoWriter, or one's own.
template <class S>
concept FrameSink = requires(S& sink, const VideoFrame& frame, Packet& packet) {
    sink.write(frame);
    sink.write(packet);
    sink.finish();
};

struct Progress {
    std::int64_t frames_done = 0;
    std::int64_t frames_total = 0;  ///< 0 unknown
    double frames_per_second = 0;   ///< mean since the start
    double seconds_left = -1;       ///< negative: unknown
    double skipped_share = 0;       ///< of the tokens, in the last chunk
};

struct PipelineConfig {
    SessionConfig session;
    std::int64_t frames_total = 0;                     ///< for the progress only; 0 unknown
    std::size_t queued_frames = 3;                     ///< most frames waiting between two stages
    std::function<void(const Progress&)> on_progress;  ///< called in the caller's thread for each result
    std::stop_token stop;                              ///< asks for a Cancelled
};

/// Thrown when the stop token asked for it.
class Cancelled : public Error {
public:
    Cancelled() : Error("cancelled before the last frame was written; the output was not made. Run it again.") {}
};

namespace detail {

/// Frames that have been used, to be filled again: nothing is allocated once the pipeline is full.
class FrameRecycler {
public:
    VideoFrame take() {
        const std::scoped_lock lock(mutex_);
        if (frames_.empty()) return {};
        VideoFrame frame = std::move(frames_.back());
        frames_.pop_back();
        return frame;
    }
    void give(VideoFrame frame) {
        const std::scoped_lock lock(mutex_);
        frames_.push_back(std::move(frame));
    }

private:
    std::mutex mutex_;
    std::vector<VideoFrame> frames_;
};

/// What travels between the stages: packets of other streams, then perhaps a frame.
struct Unit {
    std::vector<Packet> packets;
    std::optional<VideoFrame> frame;
};

template <FrameSource Source, FrameSink Sink>
class Pipeline {
public:
    Pipeline(Source& source, AnyModel& model, Sink& sink, const PipelineConfig& config)
        : source_(source),
          model_(model),
          sink_(sink),
          config_(config),
          decoded_(config.queued_frames),
          computed_(config.queued_frames) {}

    std::int64_t run() {
        {
            const std::stop_callback on_stop(config_.stop, [this] { fail(std::make_exception_ptr(Cancelled())); });
            std::jthread decoder([this] { guarded([this] { decode(); }); });
            std::jthread encoder([this] { guarded([this] { encode(); }); });
            guarded([this] { compute(); });
        }  // both threads have ended here
        if (failure_ != nullptr) std::rethrow_exception(failure_);
        sink_.finish();
        return done_;
    }

private:
    /// The first failure is the one reported; the others are mostly its consequences.
    void fail(std::exception_ptr failure) {
        {
            const std::scoped_lock lock(failure_mutex_);
            if (failure_ == nullptr) failure_ = std::move(failure);
        }
        decoded_.stop();
        computed_.stop();
    }

    template <class Stage>
    void guarded(Stage&& stage) {
        try {
            stage();
        } catch (...) {
            fail(std::current_exception());
        }
    }

    void decode() {
        for (bool more = true; more;) {
            Unit unit{{}, used_inputs_.take()};
            more = source_.read(*unit.frame);
            if (!more) unit.frame.reset();
            for (Packet packet; source_.take_packet(packet); packet = Packet())
                unit.packets.push_back(std::move(packet));
            if (!decoded_.push(std::move(unit))) return;
        }
        decoded_.close();
    }

    void compute() {
        Session session(model_, config_.session);
        while (auto unit = decoded_.pop()) {
            if (!unit->packets.empty() && !computed_.push({std::move(unit->packets), {}})) return;
            if (!unit->frame.has_value()) continue;
            VideoFrame& frame = *unit->frame;
            height_ = model_.scale() * frame.height;
            width_ = model_.scale() * frame.width;
            session.push(frame.view());
            waiting_.push_back({frame.pts, frame.duration, std::move(frame.name)});
            used_inputs_.give(std::move(frame));
            if (!deliver(session)) return;
        }
        if (has_failed()) return;
        session.finish();
        if (deliver(session)) computed_.close();
    }

    /// All results that are ready, each with the time and name of its frame. False when the run was stopped.
    bool deliver(Session& session) {
        for (;;) {
            if (has_failed()) return false;
            VideoFrame result = used_outputs_.take();
            result.resize(height_, width_);
            if (!session.pull(result.view())) {
                used_outputs_.give(std::move(result));
                return true;
            }
            Waiting& frame = waiting_.front();
            result.pts = frame.pts;
            result.duration = frame.duration;
            result.name = std::move(frame.name);
            waiting_.pop_front();
            if (!computed_.push({{}, std::move(result)})) return false;
            ++done_;
            report();
        }
    }

    void encode() {
        while (auto unit = computed_.pop()) {
            for (Packet& packet : unit->packets) sink_.write(packet);
            if (!unit->frame.has_value()) continue;
            sink_.write(std::as_const(*unit->frame));
            used_outputs_.give(std::move(*unit->frame));
        }
    }

    void report() const {
        if (!config_.on_progress) return;
        const std::chrono::duration<double> passed = std::chrono::steady_clock::now() - start_;
        Progress progress{done_, config_.frames_total};
        if (passed.count() > 0) progress.frames_per_second = double(done_) / passed.count();
        if (config_.frames_total >= done_ && progress.frames_per_second > 0)
            progress.seconds_left = double(config_.frames_total - done_) / progress.frames_per_second;
        progress.skipped_share = model_.skipped_share();
        config_.on_progress(progress);
    }

    bool has_failed() {
        const std::scoped_lock lock(failure_mutex_);
        return failure_ != nullptr;
    }

    struct Waiting {
        std::int64_t pts, duration;
        std::string name;
    };

    Source& source_;
    AnyModel& model_;
    Sink& sink_;
    const PipelineConfig& config_;
    BoundedQueue<Unit> decoded_, computed_;
    FrameRecycler used_inputs_, used_outputs_;
    std::deque<Waiting> waiting_;  // frames inside the session, oldest first
    int height_ = 0, width_ = 0;   // of a result
    std::int64_t done_ = 0;
    std::chrono::steady_clock::time_point start_ = std::chrono::steady_clock::now();
    std::mutex failure_mutex_;
    std::exception_ptr failure_;
};

}  // namespace detail

/// Upscales all of `source` into `sink` and finishes it: decoding and encoding have threads of their own, the model
/// runs in the caller's. Returns the number of frames. The first Error of any stage, or Cancelled, ends all of them and
/// is thrown; `sink` is then not finished. A stop is noticed between two runs of the model.
template <FrameSource Source, FrameSink Sink>
std::int64_t run_pipeline(Source& source, AnyModel& model, Sink& sink, const PipelineConfig& config = {}) {
    return detail::Pipeline<Source, Sink>(source, model, sink, config).run();
}

}  // namespace mia
