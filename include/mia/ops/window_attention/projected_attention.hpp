#pragma once
#include "mia/ops/linear/linear.hpp"
#include "mia/ops/window_attention/window_attention.hpp"

// Contract. Window attention and the linear maps before it: queries of the active tokens of x, keys and values of all
// tokens of the windows that have one.
//   cond: (Fc, H, W, C), may be empty, x: (Fq, H, W, C); y: (R, C), the active tokens' rows, the first ones written.
// For any backend the composition below; Tape has its own.

namespace mia {

template <class B>
void projected_attention(B& backend, const WindowGrid& grid, const ActiveRows& rows, WindowFrames frames, int num_heads,
                         View<const typename B::Scalar, 4> cond, View<const typename B::Scalar, 4> x,
                         const PackedLinear<B>& query, const PackedLinear<B>& key_value,
                         const PackedPositionBias<B>& bias, View<typename B::Scalar, 2> y) {
    const auto scope = backend.scope();
    const int C = x.extent(3), N = frames.keys * grid.window.tokens(), R = rows.pixel.extent(0);
    const auto tokens = backend.scratch(grid.windows(), frames.keys, grid.window.tokens(), C);  // (windows, F, N, C)
    gather_windows(backend, grid, rows, cond, x, tokens);
    const auto kv = backend.scratch(grid.windows(), N, 2 * C);  // (windows, F*N, 2C)
    linear(backend, rows_of(tokens), key_value, rows_of(kv), Activation::none, {}, rows.windows(N));
    const auto active = backend.scratch(R, C), q = backend.scratch(R, C);
    gather_rows(backend, rows_of(x), rows, active);
    linear(backend, active, query, q, Activation::none, {}, rows.rows());
    window_attention(backend, grid, rows, frames, num_heads, q, kv, bias, y);
}

}  // namespace mia
