#pragma once
#include "mia/core/backend.hpp"
#include "mia/core/count.hpp"
#include "mia/ops/window/window_grid.hpp"

namespace mia {

/// The tokens that a block computes, window by window: the active ones. A token is active if the mask keeps it and it
/// is not padding. F query frames of P = height * width pixels; a window has F * N query tokens, N = window.tokens().
/// All arrays lie in the backend's memory, the counts too.
struct ActiveRows {
    View<int, 1> pixel;   ///< of each active token: frame * P + y * width + x
    View<int, 1> token;   ///< of each active token: frame * N + n, within its window
    View<int, 1> window;  ///< of each window with an active token: its number in the grid
    View<int, 1> begin;   ///< of each such window: its first active token; one entry more than windows
    View<int, 1> counts;  ///< {active tokens, windows with one}

    RowCount rows() const { return {&counts.data[0]}; }
    RowCount windows(int times = 1) const { return {&counts.data[1], times}; }
};

/// Room for the active tokens of `frames` frames, from the backend's scratch.
template <class B>
ActiveRows make_active_rows(B& backend, const WindowGrid& grid, int frames) {
    return {backend.template scratch<int>(frames * grid.pixels()),
            backend.template scratch<int>(frames * grid.pixels()), backend.template scratch<int>(grid.windows()),
            backend.template scratch<int>(grid.windows() + 1), backend.template scratch<int>(2)};
}

// Contract.
//   select_rows:    fills `rows` with the active tokens, ordered by window and then by token; keep: (F, H, W) bytes,
//   not 0
//                   where the mask keeps the token; an empty view keeps all.
//   gather_rows:    y[r, :] = x[rows.pixel[r], :];  x: (F P, C), y: (F P, C), the first rows written.
//   scatter_rows:   y[rows.pixel[r], :] = x[r, :];  the other rows of y stay.
//   gather_windows: the tokens of each window with an active token, frames in order [cond, x], padding as zeros:
//                   cond: (Fc, H, W, C), may be empty; x: (F, H, W, C); y: (windows, Fc + F, N, C), the first ones
//                   written.

template <class T>
void select_rows(BasicCount<T>& count, const WindowGrid&, int, View<const std::uint8_t, 3>, ActiveRows& rows) {
    count.record({"select_rows"}, rows.pixel);
}
template <class T>
void gather_rows(BasicCount<T>& count, In<T, 2>, const ActiveRows&, Out<T, 2> y) {
    count.record({"gather_rows"}, y);
}
template <class T>
void scatter_rows(BasicCount<T>& count, In<T, 2>, const ActiveRows&, Out<T, 2> y) {
    count.record({"scatter_rows"}, y);
}
template <class T>
void gather_windows(BasicCount<T>& count, const WindowGrid&, const ActiveRows&, In<T, 4>, In<T, 4>, Out<T, 4> y) {
    count.record({"gather_windows"}, y);
}

}  // namespace mia

#include "mia/ops/window/windows_cpu.hpp"
