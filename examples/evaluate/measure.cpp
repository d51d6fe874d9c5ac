#include "evaluate/measure.hpp"

#include <cstdint>
#include <deque>

#include "mia/core/error.hpp"
#include "mia/metrics/imresize.hpp"
#include "mia/models/session.hpp"
#include "mia/video/reader.hpp"
#include "mia/visual/compose.hpp"

namespace {

std::string name_of(const std::filesystem::path& path) {
    return path.has_filename() ? path.filename().string() : path.parent_path().filename().string();
}

/// Frames that a reader still holds, read to the end.
std::int64_t count_rest(mia::VideoReader& reader) {
    mia::VideoFrame frame;
    std::int64_t count = 0;
    while (reader.read(frame)) ++count;
    return count;
}

/// One clip on its way through the model, beside bicubic.
class Evaluation {
public:
    Evaluation(mia::AnyModel& model, const std::filesystem::path& truth, int border, const mia::SessionConfig& session,
               const OnFrame& on_frame)
        : model_(model), session_(model, session), path_(truth), border_(border), on_frame_(on_frame) {
        bicubic_.clip = of_model_.clip = name_of(truth);
        bicubic_.method = "bicubic";
        of_model_.method = model.name();
    }

    std::vector<Measured> run() {
        mia::VideoReader reader(path_);
        for (mia::VideoFrame frame; reader.read(frame);) {
            mia::VideoFrame truth = cut(frame);
            degrade(truth);
            truths_.push_back(std::move(truth));
            session_.push(small_.view());
            measure_results();
        }
        session_.finish();
        measure_results();
        return {std::move(bicubic_), std::move(of_model_)};
    }

private:
    mia::VideoFrame cut(const mia::VideoFrame& frame) const {
        const int scale = model_.scale(), height = frame.height / scale * scale, width = frame.width / scale * scale;
        mia::require(height > 0 && width > 0, path_.string(), ": frames of ", frame.width, " x ", frame.height,
                     " cannot be made ", scale, " times smaller. Use larger ones.");
        mia::VideoFrame part;
        part.resize(height, width);
        mia::cut(frame.view(), 0, 0, part.view());
        mia::round_to_8_bit(part.view());
        return part;
    }

    void degrade(const mia::VideoFrame& truth) {
        small_.resize(truth.height / model_.scale(), truth.width / model_.scale());
        result_.resize(truth.height, truth.width);
        mia::imresize_8_bit(truth.view(), small_.view());
        mia::imresize_8_bit(std::as_const(small_).view(), result_.view());
        bicubic_.frames.push_back(mia::quality(result_.view(), truth.view(), border_));
    }

    void measure_results() {
        while (session_.pull(result_.view())) {
            mia::round_to_8_bit(result_.view());
            of_model_.frames.push_back(mia::quality(result_.view(), truths_.front().view(), border_));
            truths_.pop_front();
            on_frame_(of_model_.clip, of_model_.frames.size());
        }
    }

    mia::AnyModel& model_;
    mia::Session session_;
    std::filesystem::path path_;
    int border_;
    const OnFrame& on_frame_;
    std::deque<mia::VideoFrame> truths_;  // of frames inside the session, oldest first
    mia::VideoFrame small_, result_;
    Measured bicubic_, of_model_;
};

}  // namespace

Measured compare(const std::filesystem::path& result, const std::filesystem::path& truth, int border,
                 const OnFrame& on_frame) {
    mia::VideoReader results(result), truths(truth);
    Measured measured{name_of(result), "", {}};
    for (mia::VideoFrame a, b;;) {
        const bool has_a = results.read(a), has_b = truths.read(b);
        const auto count = std::int64_t(measured.frames.size());
        if (has_a != has_b)
            throw mia::Error(mia::text(result.string(), " has ", count + has_a + count_rest(results), " frames, ",
                                       truth.string(), " has ", count + has_b + count_rest(truths),
                                       ". Compare videos of the same frames."));
        if (!has_a) return measured;
        mia::require(a.height == b.height && a.width == b.width, result.string(), " is ", a.width, " x ", a.height,
                     ", ", truth.string(), " is ", b.width, " x ", b.height,
                     ". Cut the larger one to the size of the other (the degradation cuts the right and bottom edge).");
        mia::round_to_8_bit(a.view());
        mia::round_to_8_bit(b.view());
        measured.frames.push_back(mia::quality(a.view(), b.view(), border));
        on_frame(measured.clip, measured.frames.size());
    }
}

std::vector<Measured> evaluate(mia::AnyModel& model, const std::filesystem::path& truth, int border,
                               const mia::SessionConfig& session, const OnFrame& on_frame) {
    return Evaluation(model, truth, border, session, on_frame).run();
}
