#pragma once
#include <algorithm>
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
    { sink.frames_done() } -> std::convertible_to<std::int64_t>;  // results that are there already: the first wanted
    sink.write(frame);
    sink.write(packet);  // all of them, also those that came with results that are there already
    sink.end_chunk();    // an interrupted run can go on from here
    sink.finish();
};

/// Where a run is; times are those of this run, frames those of the video.
struct Progress {
    std::int64_t frames_done = 0;   ///< results handed to the sink, those of an earlier run included
    std::int64_t frames_total = 0;  ///< 0 unknown
    double frames_computed = 0;     ///< with the share of the chunk at hand that is computed
    double frames_per_second = 0;   ///< mean since the first frame was there
    double seconds = 0;             ///< since the start
    double seconds_left = -1;       ///< negative: unknown
    double skipped_share = 0;       ///< of the tokens, mean of the chunks that are done
    std::int64_t scenes = 0;        ///< that have begun
};

struct PipelineConfig {
    SessionConfig session;                             ///< first_frame is set by the sink's frames_done()
    std::int64_t frames_total = 0;                     ///< for the progress only; 0 unknown
    std::size_t queued_frames = 3;                     ///< most frames waiting between two stages
    std::function<void(const Progress&)> on_progress;  ///< called in the caller's thread, many times a frame
    std::stop_token stop;                              ///< asks for a Cancelled
};

/// What a run was.
struct PipelineResult {
    std::int64_t frames = 0;       ///< results made by this run
    std::int64_t frames_kept = 0;  ///< results that were there already
    std::int64_t scenes = 0;
    double skipped_share = 0;                                            ///< of the tokens, mean over the frames
    double seconds = 0;                                                  ///< from start to end
    double decode_seconds = 0, compute_seconds = 0, encode_seconds = 0;  ///< that each stage worked, waiting left out
};

/// Thrown when the stop token asked for it.
class Cancelled : public Error {
public:
    Cancelled() : Error("cancelled before the last frame was written. Run it again.") {}
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
    bool begins_chunk = false;
};

/// Adds the time until its end to a sum.
class Timed {
public:
    using Clock = std::chrono::steady_clock;
    explicit Timed(double& seconds) : seconds_(seconds) {}
    ~Timed() { seconds_ += std::chrono::duration<double>(Clock::now() - start_).count(); }
    Timed(const Timed&) = delete;
    Timed& operator=(const Timed&) = delete;

private:
    double& seconds_;
    Clock::time_point start_ = Clock::now();
};

template <FrameSource Source, FrameSink Sink>
class Pipeline final : ModelObserver {
public:
    Pipeline(Source& source, AnyModel& model, Sink& sink, const PipelineConfig& config)
        : source_(source),
          model_(model),
          sink_(sink),
          config_(config),
          decoded_(config.queued_frames),
          computed_(config.queued_frames) {}

    PipelineResult run() {
        result_.frames_kept = done_ = sink_.frames_done();
        {
            const Timed timed(result_.seconds);
            {
                const std::stop_callback on_stop(config_.stop, [this] { fail(std::make_exception_ptr(Cancelled())); });
                std::jthread decoder([this] { guarded([this] { decode(); }); });
                std::jthread encoder([this] { guarded([this] { encode(); }); });
                guarded([this] { compute(); });
            }  // both threads have ended here
            if (failure_ != nullptr) std::rethrow_exception(failure_);
            const Timed encoding(result_.encode_seconds);
            sink_.finish();
        }
        result_.frames = done_ - result_.frames_kept;
        return result_;
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
            {
                const Timed timed(result_.decode_seconds);
                more = source_.read(*unit.frame);
                if (!more) unit.frame.reset();
                for (Packet packet; source_.take_packet(packet); packet = Packet())
                    unit.packets.push_back(std::move(packet));
            }
            if (!decoded_.push(std::move(unit))) return;
        }
        decoded_.close();
    }

    void compute() {
        SessionConfig session_config = config_.session;
        session_config.first_frame = result_.frames_kept;
        Session session(model_, session_config);
        session.observe(this);
        session_ = &session;
        while (auto unit = decoded_.pop()) {
            if (!unit->packets.empty() && !computed_.push({std::move(unit->packets), {}})) return;
            if (!unit->frame.has_value()) continue;
            VideoFrame& frame = *unit->frame;
            height_ = model_.scale() * frame.height;
            width_ = model_.scale() * frame.width;
            {
                const Timed timed(result_.compute_seconds);
                session.push(frame.view());
            }
            if (session.frames_pushed() > result_.frames_kept)
                waiting_.push_back({frame.pts, frame.duration, std::move(frame.name)});
            used_inputs_.give(std::move(frame));
            if (!deliver()) return;
        }
        if (has_failed()) return;
        session.finish();
        if (!deliver()) return;
        computed_.close();
        result_.scenes = session.scenes();
        result_.skipped_share = skipped_share();
    }

    /// All results that are ready, each with the time and name of its frame. False when the run was stopped.
    bool deliver() {
        for (;;) {
            if (has_failed()) return false;
            VideoFrame result = used_outputs_.take();
            result.resize(height_, width_);
            bool ready;
            {
                const Timed timed(result_.compute_seconds);
                ready = session_->pull(result.view());
            }
            if (!ready) {
                used_outputs_.give(std::move(result));
                return true;
            }
            if (session_->ends_run()) {
                skipped_frames_ += session_->skipped_share() * session_->run_frames();
                counted_frames_ += session_->run_frames();
            }
            Waiting& frame = waiting_.front();
            result.pts = frame.pts;
            result.duration = frame.duration;
            result.name = std::move(frame.name);
            waiting_.pop_front();
            if (!computed_.push({{}, std::move(result), session_->begins_chunk()})) return false;
            ++done_;
            frames_computed_ = std::max(frames_computed_, double(done_));
            report();
        }
    }

    void encode() {
        bool in_chunk = false;
        const auto end_chunk = [&] {
            if (std::exchange(in_chunk, false)) sink_.end_chunk();
        };
        while (auto unit = computed_.pop()) {
            const Timed timed(result_.encode_seconds);
            for (Packet& packet : unit->packets) sink_.write(packet);
            if (!unit->frame.has_value()) continue;
            if (unit->begins_chunk) end_chunk();
            sink_.write(std::as_const(*unit->frame));
            in_chunk = true;
            used_outputs_.give(std::move(*unit->frame));
        }
        if (!has_failed()) end_chunk();
    }

    bool wants_values() const override { return false; }

    /// The model at work. Here a run can be ended in the middle of a chunk.
    void progress(double share) override {
        if (has_failed()) throw Cancelled();  // not the first failure: nobody sees this one
        frames_computed_ = double(session_->run_begin()) + share * session_->run_frames();
        report();
    }

    void report() {
        if (!config_.on_progress) return;
        const auto now = Timed::Clock::now();
        Progress progress{done_, config_.frames_total, frames_computed_};
        progress.seconds = std::chrono::duration<double>(now - start_).count();
        const double rate_seconds = progress.seconds - skipping_seconds_;
        if (first_report_) {  // until now, at most frames that were there already were read
            first_report_ = false;
            skipping_seconds_ = result_.frames_kept > 0 ? progress.seconds : 0;
        } else if (rate_seconds > 0) {
            progress.frames_per_second = (frames_computed_ - double(result_.frames_kept)) / rate_seconds;
        }
        if (double(config_.frames_total) >= frames_computed_ && progress.frames_per_second > 0)
            progress.seconds_left = (double(config_.frames_total) - frames_computed_) / progress.frames_per_second;
        progress.skipped_share = skipped_share();
        progress.scenes = session_->scenes();
        config_.on_progress(progress);
    }

    double skipped_share() const { return counted_frames_ > 0 ? skipped_frames_ / double(counted_frames_) : 0; }

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
    Session* session_ = nullptr;
    std::deque<Waiting> waiting_;  // frames inside the session whose results are wanted, oldest first
    int height_ = 0, width_ = 0;   // of a result
    std::int64_t done_ = 0, counted_frames_ = 0;
    double skipped_frames_ = 0, frames_computed_ = 0;
    PipelineResult result_;  // each stage writes its own times
    const Timed::Clock::time_point start_ = Timed::Clock::now();
    double skipping_seconds_ = 0;
    bool first_report_ = true;
    std::mutex failure_mutex_;
    std::exception_ptr failure_;
};

}  // namespace detail

/// Upscales all of `source` into `sink` and finishes it: decoding and encoding have threads of their own, the model
/// runs in the caller's. What the sink has already is not computed again. The first Error of any stage, or Cancelled,
/// ends all of them and is thrown; `sink` is then not finished. A stop is noticed within a step of the model.
template <FrameSource Source, FrameSink Sink>
PipelineResult run_pipeline(Source& source, AnyModel& model, Sink& sink, const PipelineConfig& config = {}) {
    return detail::Pipeline<Source, Sink>(source, model, sink, config).run();
}

}  // namespace mia
