#pragma once
#include <filesystem>
#include <functional>
#include <string>
#include <vector>

#include "mia/metrics/quality.hpp"
#include "mia/models/any_model.hpp"
#include "mia/models/session_plan.hpp"

/// The frames of one clip, made in one way.
struct Measured {
    std::string clip, method;
    std::vector<mia::Quality> frames;
};

/// Called after each frame with the clip's name and the number of frames that are behind.
using OnFrame = std::function<void(const std::string&, std::size_t)>;

/// Two videos frame by frame, both rounded to 8 bits. Error when sizes or numbers of frames differ.
Measured compare(const std::filesystem::path& result, const std::filesystem::path& truth, int border,
                 const OnFrame& on_frame);

/// Bicubic and the model on the degraded truth: 8-bit frames, cut to a multiple of the scale at the right and bottom
/// edge, made smaller by imresize_8_bit; results rounded to 8 bits.
std::vector<Measured> evaluate(mia::AnyModel& model, const std::filesystem::path& truth, int border,
                               const mia::SessionConfig& session, const OnFrame& on_frame);
