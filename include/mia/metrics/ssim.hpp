#pragma once
#include <array>
#include <cmath>
#include <vector>

#include "mia/core/view.hpp"
#include "mia/metrics/channels.hpp"

namespace mia {
namespace detail {

/// SSIM of two planes whose rows come one after the other (Wang, Bovik, Sheikh, Simoncelli, "Image quality assessment:
/// from error visibility to structural similarity", 2004): Gaussian windows of 11 x 11, sigma 1.5, only those that lie
/// wholly inside. With s = a + b and d = a - b, and S, D their windowed means, Vs, Vd their variances, the factors are
///     2 ma mb = (S^2 - D^2) / 2,  ma^2 + mb^2 = (S^2 + D^2) / 2,  2 cab = (Vs - Vd) / 2,  va + vb = (Vs + Vd) / 2,
/// four filters instead of five, and exactly 1 for equal planes.
class SsimSum {
public:
    static constexpr int window = 11;

    explicit SsimSum(int width)
        : width_(width),
          rows_(std::size_t(window) * maps * std::size_t(width)),
          columns_(maps * std::size_t(width)),
          means_(maps * std::size_t(width)) {
        double sum = 0;
        for (int i = 0; i < window; ++i)
            sum += weights_[std::size_t(i)] = std::exp(-(i - 5) * (i - 5) / (2 * 1.5 * 1.5));
        for (double& weight : weights_) weight /= sum;
    }

    /// The next row of both planes, width values each.
    void add(const double* a, const double* b) {
        double *s = row(count_, 0), *d = row(count_, 1), *ss = row(count_, 2), *dd = row(count_, 3);
        for (int x = 0; x < width_; ++x) s[x] = a[x] + b[x];
        for (int x = 0; x < width_; ++x) d[x] = a[x] - b[x];
        for (int x = 0; x < width_; ++x) ss[x] = s[x] * s[x];
        for (int x = 0; x < width_; ++x) dd[x] = d[x] * d[x];
        if (++count_ < window) return;
        for (int map = 0; map < maps; ++map) filter(map);
        sum_ += sum_of_windows();
    }

    /// Mean over all windows.
    double mean() const { return sum_ / (count_ - window + 1) / (width_ - window + 1); }

private:
    static constexpr int maps = 4;  // s, d, s^2, d^2

    /// Row y of a map: the last 11 rows are kept.
    double* row(int y, int map) { return rows_.data() + std::ptrdiff_t(y % window * maps + map) * width_; }

    /// The window's weights over the last 11 rows, then along the row; mirror images share a product.
    void filter(int map) {
        const int first = count_ - window;
        double* column = columns_.data() + std::ptrdiff_t(map) * width_;
        const double* middle = row(first + 5, map);
        for (int x = 0; x < width_; ++x) column[x] = weights_[5] * middle[x];
        for (int k = 0; k < 5; ++k) {
            const double weight = weights_[std::size_t(k)];
            const double *above = row(first + k, map), *below = row(first + 10 - k, map);
            for (int x = 0; x < width_; ++x) column[x] += weight * (above[x] + below[x]);
        }
        double* mean = means_.data() + std::ptrdiff_t(map) * width_;
        const auto [w0, w1, w2, w3, w4, w5] =
            std::array{weights_[0], weights_[1], weights_[2], weights_[3], weights_[4], weights_[5]};
        for (int x = 0; x < width_ - 10; ++x)
            mean[x] = w0 * (column[x] + column[x + 10]) + w1 * (column[x + 1] + column[x + 9]) +
                      w2 * (column[x + 2] + column[x + 8]) + w3 * (column[x + 3] + column[x + 7]) +
                      w4 * (column[x + 4] + column[x + 6]) + w5 * column[x + 5];
    }

    double sum_of_windows() {
        constexpr double c1 = (0.01 * 255) * (0.01 * 255), c2 = (0.03 * 255) * (0.03 * 255);
        const double *s = means_.data(), *d = s + width_, *ss = d + width_, *dd = ss + width_;
        double* value = columns_.data();
        for (int x = 0; x < width_ - 10; ++x) {
            const double s2 = s[x] * s[x], d2 = d[x] * d[x], vs = ss[x] - s2, vd = dd[x] - d2;
            value[x] = ((s2 - d2) / 2 + c1) * ((vs - vd) / 2 + c2) / (((s2 + d2) / 2 + c1) * ((vs + vd) / 2 + c2));
        }
        double sum = 0;
        for (int x = 0; x < width_ - 10; ++x) sum += value[x];
        return sum;
    }

    int width_, count_ = 0;
    std::array<double, window> weights_{};
    std::vector<double> rows_, columns_, means_;
    double sum_ = 0;
};

}  // namespace detail

/// Structural similarity of two pictures, at most 1; for Channels::rgb the mean of the three colours. a, b: (H, W, 3)
/// RGB in [0, 1]; `border` pixels on each side are left out. Error when the shapes differ or less than 11 x 11 pixels
/// are left.
inline double ssim(View<const float, 3> a, View<const float, 3> b, Channels channels, int border = 0) {
    const detail::PicturePair pair("SSIM", a, b, border, detail::SsimSum::window);
    const auto width = std::size_t(pair.width());
    std::vector<double> row_a(width), row_b(width);
    double sum = 0;
    const int planes = channels == Channels::y ? 1 : 3;
    for (int c = 0; c < planes; ++c) {
        detail::SsimSum plane(pair.width());
        for (int y = 0; y < pair.height(); ++y) {
            if (channels == Channels::y)
                pair.luma_rows(y, row_a.data(), row_b.data());
            else
                pair.color_rows(y, c, row_a.data(), row_b.data());
            plane.add(row_a.data(), row_b.data());
        }
        sum += plane.mean();
    }
    return sum / planes;
}

}  // namespace mia
