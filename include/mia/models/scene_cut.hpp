#pragma once
#include <algorithm>
#include <array>
#include <cmath>
#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "mia/core/error.hpp"
#include "mia/core/view.hpp"

namespace mia {

/// Where a video's scenes begin: found, or known beforehand.
struct SceneConfig {
    bool detect = true;
    double threshold = 0.08;              ///< of the score, 0 to 1; see SceneDetector
    std::vector<std::int64_t> cuts = {};  ///< frames, from 0, that begin a new scene besides; ascending
};

/// Finds cuts as FFmpeg's filter scdet does, on a coarse grid of mean luma so that noise and small motion weigh little:
/// with d the mean absolute difference of the grids of a frame and the one before, the score is min(d, d - d of the
/// frame before). A cut changes the picture once; in fast motion, and after a flash, d was high before as well.
class SceneDetector {
public:
    /// Score of the next frame, (H, W, 3) RGB in [0, 1]; 0 for the first. All frames have the same size.
    double score(View<const float, 3> frame) {
        const int rows = std::min(frame.extent(0), most_rows), columns = std::min(frame.extent(1), most_columns);
        std::swap(luma_, last_luma_);
        measure(frame, rows, columns);
        if (!has_last_) {
            has_last_ = true;
            return 0;
        }
        double sum = 0;
        for (int i = 0; i < rows * columns; ++i) sum += std::abs(double(luma_[i_(i)]) - double(last_luma_[i_(i)]));
        const double difference = sum / (rows * columns);
        return std::max(0.0, std::min(difference, difference - std::exchange(last_difference_, difference)));
    }

private:
    static constexpr int most_rows = 36, most_columns = 64;
    static std::size_t i_(int i) { return std::size_t(i); }

    /// Mean luma (BT.709) of each cell.
    void measure(View<const float, 3> frame, int rows, int columns) {
        const int H = frame.extent(0), W = frame.extent(1);
        std::array<double, most_columns> sums;
        for (int row = 0; row < rows; ++row) {
            const int top = row * H / rows, bottom = (row + 1) * H / rows;
            sums.fill(0);
            for (int y = top; y < bottom; ++y)
                for (int column = 0; column < columns; ++column) {
                    const int left = cell(column, W, columns), right = cell(column + 1, W, columns);
                    const float* p = frame.data + (std::ptrdiff_t(y) * W + left) * 3;
                    float sum = 0;
                    for (int x = left; x < right; ++x, p += 3) sum += 0.2126f * p[0] + 0.7152f * p[1] + 0.0722f * p[2];
                    sums[i_(column)] += double(sum);
                }
            for (int column = 0; column < columns; ++column) {
                const int width = cell(column + 1, W, columns) - cell(column, W, columns);
                luma_[i_(row * columns + column)] = float(sums[i_(column)] / (double(width) * (bottom - top)));
            }
        }
    }
    static int cell(int column, int width, int columns) { return int(std::int64_t(column) * width / columns); }

    std::array<float, most_rows * most_columns> luma_{}, last_luma_{};
    bool has_last_ = false;
    double last_difference_ = 0;
};

/// Frame numbers, one a line, ascending, as in a file of cuts; empty lines and what follows a # are passed over. Error
/// with the line's number where a line is no number, or the numbers do not grow. `source` is named in messages.
inline std::vector<std::int64_t> parse_cuts(std::string_view content, std::string_view source) {
    std::vector<std::int64_t> cuts;
    for (int number = 1; !content.empty(); ++number) {
        const std::size_t end = std::min(content.find('\n'), content.size());
        std::string line(content.substr(0, std::min(content.find('#'), end)));
        content.remove_prefix(std::min(end + 1, content.size()));
        while (!line.empty() && (line.back() == ' ' || line.back() == '\t' || line.back() == '\r')) line.pop_back();
        if (line.empty()) continue;
        char* stop = nullptr;
        const long long frame = std::strtoll(line.c_str(), &stop, 10);
        require(*stop == '\0' && frame >= 1 && (cuts.empty() || frame > cuts.back()), source, ", line ", number, ": \"",
                line, "\" is not the next frame that begins a scene. Write frame numbers, 1 or more, one a line, in ",
                "ascending order.");
        cuts.push_back(frame);
    }
    return cuts;
}

}  // namespace mia
