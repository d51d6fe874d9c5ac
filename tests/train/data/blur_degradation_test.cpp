#include "mia/train/data/blur_degradation.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>

#include "train/data/pictures.hpp"

namespace mia {
namespace {

/// fspecial('gaussian', 12, 1.6), imfilter(..., 'replicate'), then (2:4:end-2, 2:4:end-2), as written in MATLAB: the
/// kernel of two dimensions, its centre at tap 6 of 12, counted from 1.
double as_in_matlab(View<const float, 3> x, int i, int j, int c) {
    double sum = 0, total = 0;
    for (int m = 1; m <= 12; ++m)
        for (int n = 1; n <= 12; ++n) {
            const double a = m - 6.5, b = n - 6.5, weight = std::exp(-(a * a + b * b) / (2 * 1.6 * 1.6));
            const int row = 4 * i + 2 + m - 6, column = 4 * j + 2 + n - 6;  // from 1
            total += weight;
            sum += weight * double(x(std::clamp(row, 1, x.extent(0)) - 1, std::clamp(column, 1, x.extent(1)) - 1, c));
        }
    return std::floor(255 * sum / total + 0.5);
}

TEST(BlurDegradation, AsTheFieldDoesIt) {
    const Clip clip = test::noise_clip(1, 20, 28);
    test::Picture x(20, 28), y(5, 7);
    copy_region(clip.view()[0], {0, 0, 20, 28}, x.view);
    blur_subsample_8_bit(x.view, y.view, 4);
    for (int i = 0; i < 5; ++i)
        for (int j = 0; j < 7; ++j)
            for (int c = 0; c < 3; ++c)
                EXPECT_NEAR(255 * double(y.view(i, j, c)), as_in_matlab(x.view, i, j, c), 1e-4) << i << ' ' << j;
}

TEST(BlurDegradation, EachPixelLiesInTheMiddleOfItsBlock) {
    for (const int scale : {2, 3, 4}) {  // a ramp has the value of its middle, blurred or not
        test::Picture x(scale, 24 * scale, 1), y(1, 24, 1);
        for (int i = 0; i < scale; ++i)
            for (int j = 0; j < 24 * scale; ++j) x.view(i, j, 0) = float(2 * j) / 255;
        blur_subsample_8_bit(x.view, y.view, scale);
        for (int j = 4; j < 20; ++j)
            EXPECT_NEAR(255 * double(y.view(0, j, 0)), 2 * scale * j + scale - 1, 1e-3) << scale;
    }
}

TEST(BlurDegradation, Errors) {
    test::Picture x(9, 8), y(2, 2);
    EXPECT_THROW(blur_subsample_8_bit(x.view, y.view, 4), Error);
    EXPECT_THROW(blur_subsample_8_bit(y.view, y.view, 1, 0), Error);
}

}  // namespace
}  // namespace mia
