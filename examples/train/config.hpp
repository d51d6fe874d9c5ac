#pragma once
#include <cstdint>
#include <filesystem>
#include <map>
#include <string>

#include "mia/train/trainer.hpp"

/// What a run is, as its configuration says. The paper's values are the defaults.
struct TrainConfig {
    std::filesystem::path data;        ///< the text file that lists the training material
    std::filesystem::path validation;  ///< a true video or folder of images; empty: none
    std::filesystem::path start;       ///< weights to start from; empty: new ones
    std::filesystem::path output;      ///< .safetensors
    int validation_frames = 8;         ///< the first ones
    std::int64_t report_every = 100, validate_every = 5000, save_every = 1000;  ///< iterations
    std::map<std::string, std::string> metadata;  ///< for the weights' file, beside what `train` itself knows
    mia::TrainerConfig trainer;

    /// Beside the output: what the run needs to go on, its curve, and a folder of pictures, one a validation.
    std::filesystem::path state() const { return beside(".state"); }
    std::filesystem::path table() const { return beside(".csv"); }
    std::filesystem::path drawing() const { return beside(".svg"); }
    std::filesystem::path samples() const { return beside("_samples"); }

private:
    std::filesystem::path beside(const char* ending) const {
        return std::filesystem::path(output).replace_extension() += ending;
    }
};

/// Reads a JSON object; relative paths in it count from its folder. Error for what is malformed, missing, no key (with
/// the key that is most like it) or out of range.
TrainConfig read_config(const std::filesystem::path& path);
