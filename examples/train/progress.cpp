#include "train/progress.hpp"

#include <algorithm>
#include <array>
#include <limits>
#include <sstream>
#include <string>
#include <utility>

#include "mia/metrics/imresize.hpp"
#include "mia/video/png_writer.hpp"
#include "mia/visual/compose.hpp"
#include "support/chart.hpp"

using mia::require;

Curve::Curve(const std::filesystem::path& table, std::filesystem::path drawing, std::int64_t iterations_done)
    : drawing_(std::move(drawing)) {
    std::string kept;
    if (std::ifstream old(table); iterations_done > 0)
        for (std::string words; std::getline(old, words);) {
            Line line;
            char comma;
            double gradient, rate, psnr_y;
            std::istringstream in(words);
            if (!(in >> line.iteration >> comma >> line.loss >> comma >> gradient >> comma >> rate >> comma)) continue;
            if (line.iteration > iterations_done) continue;
            if (in >> psnr_y) line.psnr_y = psnr_y;
            lines_.push_back(line);
            kept += words + '\n';
        }
    out_.open(table, std::ios::trunc);
    require(out_.is_open(), table.string(), ": the curve cannot be written. Check that its folder is writable.");
    out_ << "iteration,loss,gradient_norm,learning_rate,psnr_y\n" << kept << std::flush;
}

void Curve::add(const mia::TrainingStep& mean, std::optional<double> psnr_y) {
    out_ << mean.iteration << ',' << mean.loss << ',' << mean.gradient_norm << ',' << mean.learning_rate << ',';
    if (psnr_y) out_ << *psnr_y;
    out_ << std::endl;
    lines_.push_back({mean.iteration, mean.loss, psnr_y});
    draw();
}

void Curve::draw() const {
    // On an even grid of at most so many points, each the mean of the lines that fall on it.
    constexpr std::int64_t most = 400;
    const std::int64_t last = lines_.back().iteration, step = std::max<std::int64_t>(1, (last + most - 1) / most);
    const auto points = std::size_t((last + step - 1) / step);
    const auto series = [&](const char* name, auto value_of) {
        std::vector<double> sums(points), counts(points);
        for (const Line& line : lines_)
            if (const std::optional<double> value = value_of(line)) {
                sums[std::size_t((line.iteration - 1) / step)] += *value;
                counts[std::size_t((line.iteration - 1) / step)] += 1;
            }
        for (std::size_t i = 0; i < points; ++i)
            sums[i] = counts[i] > 0 ? sums[i] / counts[i] : std::numeric_limits<double>::quiet_NaN();
        return std::vector<Series>{{name, std::move(sums)}};
    };
    const auto chart = [&](const char* title, const char* unit, std::vector<Series> values) {
        return Chart{.title = title,
                     .unit = unit,
                     .x_name = "iteration",
                     .first = double(step),
                     .series = std::move(values),
                     .step = double(step),
                     .bridges_gaps = true};
    };
    std::vector<Chart> charts{
        chart("Loss", "", series("training", [](const Line& l) { return std::optional(l.loss); }))};
    if (std::ranges::any_of(lines_, [](const Line& l) { return l.psnr_y.has_value(); }))
        charts.push_back(chart("Quality of the averaged weights", "PSNR-Y, dB",
                               series("validation", [](const Line& l) { return l.psnr_y; })));
    std::ofstream file(drawing_, std::ios::trunc);
    file << svg(charts);
    require(bool(file.flush()), drawing_.string(), ": the curve cannot be written. Is the disk full?");
}

void write_sample(const mia::Validation& validation, const std::filesystem::path& path) {
    constexpr int side = 240;
    const int middle = validation.input.extent(0) / 2;
    const auto input = validation.input.view()[middle], result = validation.result.view()[middle],
               truth = validation.truth.view()[middle];
    const int height = truth.extent(0), width = truth.extent(1);
    mia::Tensor<float, 3> large(height, width, 3), bicubic(height, width, 3);
    mia::repeat_pixels(input, height / input.extent(0), large.view());
    mia::imresize_8_bit(input, bicubic.view());
    const int h = std::min(side, height), w = std::min(side, width);
    std::array<mia::Tensor<float, 3>, 4> parts;
    std::array<mia::View<const float, 3>, 4> views;
    const std::array<mia::View<const float, 3>, 4> pictures{large.view(), bicubic.view(), result, truth};
    for (std::size_t i = 0; i < parts.size(); ++i) {
        parts[i] = mia::Tensor<float, 3>(h, w, 3);
        mia::cut(pictures[i], (height - h) / 2, (width - w) / 2, parts[i].view());
        views[i] = parts[i].view();
    }
    mia::PngWriter().write(path, mia::side_by_side(views).view());
}
