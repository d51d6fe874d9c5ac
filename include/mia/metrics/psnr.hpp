#pragma once
#include <cmath>
#include <limits>
#include <vector>

#include "mia/core/view.hpp"
#include "mia/metrics/channels.hpp"

namespace mia {

/// Mean of (a - b)^2 in code values, 0 to 255; over the three colours together for Channels::rgb. a, b: (H, W, 3) RGB
/// in [0, 1]; `border` pixels on each side are left out. Error when the shapes differ or nothing is left.
inline double mean_squared_error(View<const float, 3> a, View<const float, 3> b, Channels channels, int border = 0) {
    const detail::PicturePair pair("PSNR", a, b, border, 1);
    const int width = pair.width();
    std::vector<double> row_a(static_cast<std::size_t>(width)), row_b(static_cast<std::size_t>(width));
    double sum = 0;
    const auto add = [&] {
        double of_row = 0;
        for (int x = 0; x < width; ++x)
            of_row += (row_a[std::size_t(x)] - row_b[std::size_t(x)]) * (row_a[std::size_t(x)] - row_b[std::size_t(x)]);
        sum += of_row;
    };
    for (int y = 0; y < pair.height(); ++y) {
        if (channels == Channels::y) {
            pair.luma_rows(y, row_a.data(), row_b.data());
            add();
        } else {
            for (int c = 0; c < 3; ++c) {
                pair.color_rows(y, c, row_a.data(), row_b.data());
                add();
            }
        }
    }
    return sum / pair.height() / width / (channels == Channels::y ? 1 : 3);
}

/// Peak signal-to-noise ratio in dB of a mean squared error in code values; infinite for 0.
inline double psnr(double mean_squared_error) {
    if (mean_squared_error == 0) return std::numeric_limits<double>::infinity();
    return 10 * std::log10(255. * 255. / mean_squared_error);
}

/// PSNR of two pictures in dB, infinite where they are equal. As mean_squared_error(). Nothing is rounded: pictures
/// that are to be judged as 8-bit files are rounded before (round_to_8_bit).
inline double psnr(View<const float, 3> a, View<const float, 3> b, Channels channels, int border = 0) {
    return psnr(mean_squared_error(a, b, channels, border));
}

}  // namespace mia
