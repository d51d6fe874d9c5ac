#pragma once
#include "mia/core/error.hpp"
#include "mia/core/view.hpp"
#include "mia/metrics/luma.hpp"

namespace mia {

/// What a metric is measured on.
enum class Channels {
    y,   ///< luma()
    rgb  ///< red, green and blue alike
};

namespace detail {

/// Two pictures of one size without `border` pixels on each side, row by row, in code values: 0 to 255.
class PicturePair {
public:
    /// Error when the pictures differ in shape, are not RGB, or when the border leaves less than `least` pixels.
    PicturePair(const char* metric, View<const float, 3> a, View<const float, 3> b, int border, int least)
        : a_(a), b_(b), border_(border) {
        require(same_shape(a, b) && a.extent(2) == 3, metric, ": the pictures are ", shape_text(a), " and ",
                shape_text(b), ". Compare two RGB pictures of one size, (height, width, 3).");
        require(border >= 0, metric, ": a border of ", border, " pixels was to be left out. Give 0 or more.");
        require(height() >= least && width() >= least, metric, ": without a border of ", border, " pixels ",
                shape_text(a), " leaves ", width(), " x ", height(), ", at least ", least, " x ", least,
                " are needed. Leave out less, or compare larger pictures.");
    }

    int height() const { return a_.extent(0) - 2 * border_; }
    int width() const { return a_.extent(1) - 2 * border_; }

    /// Row y of both: width() values of luma, or of colour `c`.
    void luma_rows(int y, double* a, double* b) const {
        luma_row(row(a_, y), a);
        luma_row(row(b_, y), b);
    }
    void color_rows(int y, int c, double* a, double* b) const {
        const float *from_a = row(a_, y) + c, *from_b = row(b_, y) + c;
        for (int x = 0; x < width(); ++x) a[x] = 255. * from_a[3 * x];
        for (int x = 0; x < width(); ++x) b[x] = 255. * from_b[3 * x];
    }

private:
    const float* row(View<const float, 3> picture, int y) const { return &picture(y + border_, border_, 0); }
    void luma_row(const float* rgb, double* to) const {
        for (int x = 0; x < width(); ++x) to[x] = luma(rgb[3 * x], rgb[3 * x + 1], rgb[3 * x + 2]);
    }

    View<const float, 3> a_, b_;
    int border_;
};

}  // namespace detail
}  // namespace mia
