#pragma once
#include "mia/ops/window/windows.hpp"

namespace mia {

/// The one place where a mask decides. Of the result (tokens, channels) the active rows are f's, the others those of
/// `kept`, what was computed in earlier frames, which becomes the result; without `kept` all rows are active. f()
/// returns (R, C), whose first rows are the active tokens' in the order of `rows`. keep: (tokens) bytes, what `rows`
/// was made of, empty if that is all tokens; a backend that trains needs it.
template <class B, class F>
View<const typename B::Scalar, 2> masked_rows(B& backend, const ActiveRows& rows, View<const std::uint8_t, 1>,
                                              int tokens, int channels, Tensor<typename B::Scalar, 2, B>* kept, F&& f) {
    if (kept) kept->resize(backend, tokens, channels);  // keeps what it holds: the size is that of the frame before
    const auto y = kept ? kept->view() : backend.scratch(tokens, channels);
    const auto scope = backend.scope();
    scatter_rows(backend, f(), rows, y);
    return y;
}

/// The same for a map of each token by itself: x: (tokens, channels); f(some of its rows, their number) returns theirs.
template <class B, class F>
View<const typename B::Scalar, 2> masked_map(B& backend, const ActiveRows& rows, View<const std::uint8_t, 1> keep,
                                             View<const typename B::Scalar, 2> x,
                                             Tensor<typename B::Scalar, 2, B>* kept, F&& f) {
    return masked_rows(backend, rows, keep, x.extent(0), x.extent(1), kept, [&] {
        const auto active = backend.scratch(x.extent(0), x.extent(1));
        gather_rows(backend, x, rows, active);
        return f(View<const typename B::Scalar, 2>(active), rows.rows());
    });
}

}  // namespace mia
