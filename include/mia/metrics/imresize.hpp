#pragma once
#include <algorithm>
#include <cmath>
#include <vector>

#include "mia/core/error.hpp"
#include "mia/core/view.hpp"

namespace mia {

enum class ResizeKernel {
    cubic,    ///< Keys, "Cubic convolution interpolation for digital image processing", 1981, with a = -1/2
    lanczos3  ///< sinc(t) sinc(t / 3), |t| < 3
};

namespace detail {

inline double kernel_support(ResizeKernel kernel) { return kernel == ResizeKernel::cubic ? 2 : 3; }

inline double kernel_value(ResizeKernel kernel, double t) {
    t = std::abs(t);
    if (t >= kernel_support(kernel)) return 0;
    if (kernel == ResizeKernel::lanczos3) {
        constexpr double pi = 3.14159265358979323846;
        return t == 0 ? 1 : 3 * std::sin(pi * t) * std::sin(pi * t / 3) / (pi * pi * t * t);
    }
    return t <= 1 ? (1.5 * t - 2.5) * t * t + 1 : ((-0.5 * t + 2.5) * t - 4) * t + 2;
}

/// Where sample j of an axis lies that mirrors at its ends, the last sample repeated: -1 is 0, n is n - 1.
inline int mirrored(int j, int n) {
    const int period = 2 * n, within = (j % period + period) % period;
    return within < n ? within : period - 1 - within;
}

/// What each output sample of one axis is made of: `count` input samples with weights that sum to 1.
struct Taps {
    int count = 0;
    std::vector<int> index;      ///< (outputs, count)
    std::vector<double> weight;  ///< the same
};

/// Output i lies at u = (i + 1/2) / scale - 1/2. The kernel is widened by 1 / scale where that is below 1; the edge
/// mirrors.
inline Taps resize_taps(int inputs, int outputs, ResizeKernel kernel) {
    Taps taps;
    const double scale = double(outputs) / inputs, z = std::min(1., scale), reach = kernel_support(kernel) / z;
    taps.count = int(std::ceil(2 * reach)) + 1;
    for (int i = 0; i < outputs; ++i) {
        const double u = (i + 0.5) / scale - 0.5;
        const int first = int(std::floor(u - reach)) + 1;
        double sum = 0;
        for (int j = first; j < first + taps.count; ++j) sum += kernel_value(kernel, z * (u - j));
        for (int j = first; j < first + taps.count; ++j) {
            taps.index.push_back(mirrored(j, inputs));
            taps.weight.push_back(kernel_value(kernel, z * (u - j)) / sum);
        }
    }
    return taps;
}

/// Calls use(i, row) for each row of x resampled to height x width: width * channels doubles that live until it
/// returns.
template <class Use>
void resample_rows(View<const float, 3> x, int height, const Taps& down, int width, const Taps& across, Use&& use) {
    const int channels = x.extent(2), row_size = x.extent(1) * channels;
    std::vector<double> column(static_cast<std::size_t>(row_size)), row(std::size_t(width) * std::size_t(channels));
    for (int i = 0; i < height; ++i) {
        std::fill(column.begin(), column.end(), 0.);
        for (int k = 0; k < down.count; ++k) {
            const double weight = down.weight[std::size_t(i) * std::size_t(down.count) + std::size_t(k)];
            const float* from = x[down.index[std::size_t(i) * std::size_t(down.count) + std::size_t(k)]].data;
            if (weight == 0) continue;
            for (int n = 0; n < row_size; ++n) column[std::size_t(n)] += weight * double(from[n]);
        }
        std::fill(row.begin(), row.end(), 0.);
        for (int j = 0; j < width; ++j) {
            double* to = row.data() + std::ptrdiff_t(j) * channels;
            const std::ptrdiff_t first = std::ptrdiff_t(j) * across.count;
            for (std::ptrdiff_t k = first; k < first + across.count; ++k) {
                const double weight = across.weight[std::size_t(k)];
                const double* from = column.data() + std::ptrdiff_t(across.index[std::size_t(k)]) * channels;
                for (int c = 0; c < channels; ++c) to[c] += weight * from[c];
            }
        }
        use(i, row.data());
    }
}

/// Resamples pictures of 8 bits: x and y hold k / 255 with k = 0 ... 255 (values between are rounded first); the result
/// is rounded once, half up.
inline void resample_8_bit(View<const float, 3> x, View<float, 3> y, const Taps& down, const Taps& across) {
    const auto rounded = [](double value) { return float(std::clamp(std::floor(value + 0.5), 0., 255.)); };
    std::vector<float> codes(std::size_t(x.size()));
    std::transform(x.data, x.data + x.size(), codes.begin(), [&](float value) { return rounded(255. * value); });
    x.data = codes.data();
    resample_rows(x, y.extent(0), down, y.extent(1), across, [&](int i, const double* row) {
        for (std::ptrdiff_t n = 0; n < y[i].size(); ++n) y[i].data[n] = rounded(row[n]) / 255.f;
    });
}

inline void check_imresize(View<const float, 3> x, View<float, 3> y) {
    require(x.extent(2) == y.extent(2), "imresize: from ", shape_text(x), " to ", shape_text(y),
            ". Give both the same number of channels.");
    require(x.size() > 0 && y.size() > 0, "imresize: ", shape_text(x), " was to become ", y.extent(1), " x ",
            y.extent(0), ". Neither may be empty.");
}

}  // namespace detail

/// MATLAB's imresize with antialiasing, in double, neither clamped nor rounded. x: (H, W, C) -> y: (to H, to W, C),
/// each axis scaled by the ratio of its sizes. `y` must not overlap `x`. Not what OpenCV's INTER_CUBIC computes (a =
/// -3/4, no antialiasing), nor FFmpeg's scaler.
inline void imresize(View<const float, 3> x, View<float, 3> y, ResizeKernel kernel = ResizeKernel::cubic) {
    detail::check_imresize(x, y);
    detail::resample_rows(x, y.extent(0), detail::resize_taps(x.extent(0), y.extent(0), kernel), y.extent(1),
                          detail::resize_taps(x.extent(1), y.extent(1), kernel),
                          [&](int i, const double* row) { std::copy_n(row, y[i].size(), y[i].data); });
}

/// The same on pictures of 8 bits, as MATLAB on uint8: x and y hold k / 255 with k = 0 ... 255 (values between are
/// rounded first); the result is rounded once, half up. Scaled by 1/4 this is the field's degradation BI, its bytes
/// included; scaled by 4, its bicubic baseline.
inline void imresize_8_bit(View<const float, 3> x, View<float, 3> y, ResizeKernel kernel = ResizeKernel::cubic) {
    detail::check_imresize(x, y);
    detail::resample_8_bit(x, y, detail::resize_taps(x.extent(0), y.extent(0), kernel),
                           detail::resize_taps(x.extent(1), y.extent(1), kernel));
}

}  // namespace mia
