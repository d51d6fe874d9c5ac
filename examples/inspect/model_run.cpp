#include "inspect/model_run.hpp"

#include <algorithm>
#include <chrono>
#include <deque>

#include "mia/core/error.hpp"
#include "mia/metrics/imresize.hpp"
#include "mia/models/session.hpp"
#include "mia/visual/mask_overlay.hpp"

namespace {

using Clock = std::chrono::steady_clock;

/// Writes down what the model tells, under the numbers of the video's frames. A frame that is context of one chunk
/// comes again as a result of the next, which is what stays.
class Notes : public mia::ModelObserver {
public:
    /// Before a run of the model: `first` is the frame that the window begins with, `result` the first whose result
    /// counts.
    void begin(std::int64_t first, std::int64_t result) {
        first_ = first;
        result_ = result;
    }

    FrameRecord take(std::int64_t frame) {
        FrameRecord record = std::move(records_[frame]);
        records_.erase(frame);
        return record;
    }
    double seconds() const { return seconds_; }

    void flow(int from, int to, mia::View<const float, 3> flow) override {
        if (first_ + from < result_) return;
        FrameRecord& record = records_[first_ + from];
        mia::Tensor<float, 3>& copy = to < from ? record.to_previous : record.to_next;
        copy = mia::Tensor<float, 3>(flow.extent(0), flow.extent(1), 2);
        std::copy_n(flow.data, flow.size(), copy.data());
    }

    void step(int branch, int, int frame) override {
        started_ = Clock::now();
        running_ = true;
        step_ = nullptr;
        if (first_ + frame < result_) return;
        auto& branches = records_[first_ + frame].branches;
        branches.resize(std::max(branches.size(), std::size_t(branch) + 1));
        step_ = &branches[std::size_t(branch)];
        *step_ = {};
    }

    void mask(mia::View<const std::uint8_t, 2> keep) override {
        if (step_ == nullptr) return;
        step_->kept.push_back(mia::kept_share(keep));
        step_->masks.emplace_back();
        if (keep.data == nullptr) return;
        step_->masks.back() = mia::Tensor<std::uint8_t, 2>(keep.extent(0), keep.extent(1));
        std::copy_n(keep.data, keep.size(), step_->masks.back().data());
    }

    /// Comes after each step: its end.
    void progress(double) override {
        if (!running_) return;
        running_ = false;
        const double taken = std::chrono::duration<double>(Clock::now() - started_).count();
        seconds_ += taken;
        if (step_ != nullptr) step_->seconds = taken;
    }

private:
    std::map<std::int64_t, FrameRecord> records_;
    std::int64_t first_ = 0, result_ = 0;
    BranchStep* step_ = nullptr;  // of the frame at hand, when its result counts
    bool running_ = false;
    Clock::time_point started_;
    double seconds_ = 0;
};

class Run {
public:
    Run(mia::AnyModel& model, mia::VideoReader& reader, const RunConfig& config,
        const std::function<void(const FrameResult&)>& use)
        : model_(model), reader_(reader), config_(config), use_(use), session_(model, without_scenes(config.session)) {
        session_.observe(&notes_);
    }

    RunRecord run() {
        for (mia::VideoFrame frame; reader_.read(frame);) {
            session_.push(frame.view());
            result_.resize(model_.scale() * frame.height, model_.scale() * frame.width);
            bicubic_.resize(result_.height, result_.width);
            waiting_.push_back(std::move(frame));
            deliver();
        }
        session_.finish();
        deliver();
        record_.seconds = notes_.seconds();
        record_.context_seconds = record_.seconds;
        for (const FrameRecord& frame : record_.frames) record_.context_seconds -= frame.seconds();
        return std::move(record_);
    }

private:
    static mia::SessionConfig without_scenes(mia::SessionConfig config) {
        config.scenes.detect = false;
        return config;
    }

    bool pull() {
        const std::int64_t done = session_.frames_pulled();
        const bool windows = model_.bidirectional();
        notes_.begin(windows ? done - std::min<std::int64_t>(done, config_.session.context_frames) : 0, done);
        return session_.pull(result_.view());
    }

    void deliver() {
        while (pull()) {
            const mia::VideoFrame& input = waiting_.front();
            mia::round_to_8_bit(result_.view());
            mia::imresize_8_bit(input.view(), bicubic_.view());
            FrameRecord frame = notes_.take(std::int64_t(record_.frames.size()));
            frame.number = config_.first + std::int64_t(record_.frames.size());
            if (config_.truth != nullptr) measure(frame);
            use_({input, bicubic_.view(), result_.view(), frame});
            frame.forget_pictures();
            record_.frames.push_back(std::move(frame));
            waiting_.pop_front();
        }
    }

    void measure(FrameRecord& frame) {
        const bool more = config_.truth->read(truth_);
        mia::require(more, config_.truth->info().path.string(), ": the truth ends before frame ", frame.number,
                     ". Give the true frames of all that is inspected.");
        mia::round_to_8_bit(truth_.view());
        frame.model = mia::quality(result_.view(), truth_.view());
        frame.bicubic = mia::quality(bicubic_.view(), truth_.view());
    }

    mia::AnyModel& model_;
    mia::VideoReader& reader_;
    const RunConfig& config_;
    const std::function<void(const FrameResult&)>& use_;
    Notes notes_;
    mia::Session session_;
    std::deque<mia::VideoFrame> waiting_;  // inside the session, oldest first
    mia::VideoFrame result_, bicubic_, truth_;
    RunRecord record_;
};

}  // namespace

void FrameRecord::forget_pictures() {
    to_previous = {};
    to_next = {};
    for (BranchStep& step : branches) step.masks.clear();
}

RunRecord run_model(mia::AnyModel& model, mia::VideoReader& reader, const RunConfig& config,
                    const std::function<void(const FrameResult&)>& use) {
    return Run(model, reader, config, use).run();
}
