#pragma once
#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <vector>

#include "mia/core/cpu.hpp"
#include "mia/core/tensor.hpp"
#include "mia/metrics/quality.hpp"
#include "mia/models/any_model.hpp"
#include "mia/models/session_plan.hpp"
#include "mia/video/reader.hpp"

/// What one branch did with one frame.
struct BranchStep {
    double seconds = 0;
    std::vector<double> kept;                         ///< share of the tokens that each block computed
    std::vector<mia::Tensor<std::uint8_t, 2>> masks;  ///< of each block; empty: every token
};

/// What is remembered of a frame.
struct FrameRecord {
    std::int64_t number = 0;  ///< in the file
    std::vector<BranchStep> branches;
    mia::Tensor<float, 3> to_previous, to_next;  ///< flows (H, W, 2); empty where the model computes none
    std::optional<mia::Quality> model, bicubic;  ///< when there is a truth

    double seconds() const {
        double sum = 0;
        for (const BranchStep& step : branches) sum += step.seconds;
        return sum;
    }
    /// Flows and masks, which need memory, are given back.
    void forget_pictures();
};

/// A frame and what became of it; lives until the call that got it returns.
struct FrameResult {
    const mia::VideoFrame& input;
    mia::View<const float, 3> bicubic, result;  ///< (scale H, scale W, 3), rounded to 8 bits
    const FrameRecord& record;
};

struct RunConfig {
    std::int64_t first = 0;             ///< number of the reader's first frame
    mia::SessionConfig session;         ///< scenes are not looked for: a frame's place in the model must be known
    mia::VideoReader* truth = nullptr;  ///< may be null
};

/// All frames of a run, with the seconds of all steps, and of those whose results were thrown away as context.
struct RunRecord {
    std::vector<FrameRecord> frames;
    double seconds = 0, context_seconds = 0;
};

/// Runs the model over all frames of the reader, in chunks, and hands each result over in order.
RunRecord run_model(mia::AnyModel& model, mia::VideoReader& reader, const RunConfig& config,
                    const std::function<void(const FrameResult&)>& use);
