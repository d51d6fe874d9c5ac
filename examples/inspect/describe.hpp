#pragma once
#include <filesystem>
#include <string>

#include "mia/models/any_model.hpp"
#include "mia/video/reader.hpp"
#include "support/choose_model.hpp"

/// What a video file or folder of images holds, for people: a line for each thing known.
std::string describe_video(const mia::VideoReader& reader);

/// What making it larger with the model takes: size, memory, and the time, which is estimated from two small frames.
std::string describe_upscale(const mia::VideoInfo& info, mia::AnyModel& model);

/// What a file of weights holds: the model it belongs to, parameters, configuration.
std::string describe_weights(const ModelRequest& request);

/// Whether the name is that of a file of weights.
bool is_weights(const std::filesystem::path& path);

/// "1:02:03.4", "12.3 s".
std::string time_text(double seconds);
