#pragma once
#include "mia/core/view.hpp"

namespace mia {

/// Attention window: frames, height, width, in tokens.
struct WindowSize {
    int frames = 3, height = 8, width = 8;
    MIA_HOST_DEVICE constexpr int tokens() const { return height * width; }  ///< of one frame
    /// Rows of the relative position bias table per row in time.
    MIA_HOST_DEVICE constexpr int offsets() const { return (2 * height - 1) * (2 * width - 1); }
    friend constexpr bool operator==(const WindowSize&, const WindowSize&) = default;
};

/// Whether a block's windows are displaced by half a window (blocks of odd index within their group).
enum class Shift { none, half_window };

/// The windows of an image of tokens: padded at the right and bottom to whole windows and, in a shifted block, rolled
/// by half a window towards the top left. Window and token numbers are row-major; both maps are pure arithmetic.
struct WindowGrid {
    int height, width;  ///< of the image
    WindowSize window;
    Shift shift = Shift::none;

    MIA_HOST_DEVICE constexpr int windows_y() const { return (height + window.height - 1) / window.height; }
    MIA_HOST_DEVICE constexpr int windows_x() const { return (width + window.width - 1) / window.width; }
    MIA_HOST_DEVICE constexpr int windows() const { return windows_y() * windows_x(); }
    MIA_HOST_DEVICE constexpr int pixels() const { return height * width; }
    MIA_HOST_DEVICE constexpr int shift_y() const { return shift == Shift::half_window ? window.height / 2 : 0; }
    MIA_HOST_DEVICE constexpr int shift_x() const { return shift == Shift::half_window ? window.width / 2 : 0; }

    /// The pixel y * width + x of token n (of one frame) of a window, or -1 for padding.
    MIA_HOST_DEVICE constexpr int pixel(int w, int n) const {
        const int y = (w / windows_x() * window.height + n / window.width + shift_y()) % (windows_y() * window.height);
        const int x = (w % windows_x() * window.width + n % window.width + shift_x()) % (windows_x() * window.width);
        return y < height && x < width ? y * width + x : -1;
    }

    /// pixel(w, n) for all tokens of a window (of one frame), to[n].
    MIA_HOST_DEVICE constexpr void pixels_of(int w, int* to) const {
        const int padded_y = windows_y() * window.height, padded_x = windows_x() * window.width;
        const int y0 = w / windows_x() * window.height + shift_y(), x0 = w % windows_x() * window.width + shift_x();
        for (int i = 0; i < window.height; ++i)
            for (int j = 0; j < window.width; ++j) {
                const int y = y0 + i < padded_y ? y0 + i : y0 + i - padded_y;
                const int x = x0 + j < padded_x ? x0 + j : x0 + j - padded_x;
                *to++ = y < height && x < width ? y * width + x : -1;
            }
    }

    /// f(n, pixel, length) for the runs of a window's tokens (of one frame) whose pixels are neighbours, or padding:
    /// -1.
    template <class F>
    void each_run(int w, F f) const {
        const int padded_y = windows_y() * window.height, padded_x = windows_x() * window.width;
        const int y0 = w / windows_x() * window.height + shift_y(), x0 = w % windows_x() * window.width + shift_x();
        for (int i = 0; i < window.height; ++i) {
            const int y = y0 + i < padded_y ? y0 + i : y0 + i - padded_y;
            for (int j = 0, length; j < window.width; j += length) {
                const int x = x0 + j < padded_x ? x0 + j : x0 + j - padded_x, end = x < width ? width : padded_x;
                length = window.width - j < end - x ? window.width - j : end - x;
                f(i * window.width + j, y < height && x < width ? y * width + x : -1, length);
            }
        }
    }

    /// The region of a token: in a shifted block tokens of different regions are neighbours only because of the roll,
    /// and their scores get -100 (a finite number, as in the official code). 0 everywhere without a shift.
    MIA_HOST_DEVICE constexpr int region(int w, int n) const {
        const int y = region_of(w / windows_x() + 1 == windows_y(), n / window.width, window.height, shift_y());
        const int x = region_of(w % windows_x() + 1 == windows_x(), n % window.width, window.width, shift_x());
        return 3 * y + x;
    }
    /// Whether a window holds tokens of more than one region.
    MIA_HOST_DEVICE constexpr bool has_regions(int w) const {
        return shift == Shift::half_window &&
               (w / windows_x() + 1 == windows_y() || w % windows_x() + 1 == windows_x());
    }

private:
    MIA_HOST_DEVICE constexpr int region_of(bool last_window, int position, int size, int by) const {
        if (shift == Shift::none || !last_window) return 0;
        return position < size - by ? 1 : 2;
    }
};

inline constexpr float region_penalty = -100.0f;  ///< added to scores between regions

}  // namespace mia
