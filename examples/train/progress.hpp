#pragma once
#include <cstdint>
#include <filesystem>
#include <fstream>
#include <optional>
#include <vector>

#include "mia/train/trainer.hpp"

/// The curve of a run: a table and a drawing of it, both written anew or gone on with at each report.
class Curve {
public:
    /// Keeps the lines of iterations that are done, for a resumed run.
    Curve(const std::filesystem::path& table, std::filesystem::path drawing, std::int64_t iterations_done);
    void add(const mia::TrainingStep& mean, std::optional<double> psnr_y);

private:
    struct Line {
        std::int64_t iteration = 0;
        double loss = 0;
        std::optional<double> psnr_y;
    };
    void draw() const;

    std::ofstream out_;
    std::filesystem::path drawing_;
    std::vector<Line> lines_;
};

/// A PNG of the middle of the middle frame: what the model was given (pixels enlarged), bicubic, its result, the truth.
void write_sample(const mia::Validation& validation, const std::filesystem::path& path);
