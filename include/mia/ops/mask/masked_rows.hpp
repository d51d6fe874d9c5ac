#pragma once
#include "mia/ops/window/windows.hpp"

namespace mia {

/// The one place where a mask decides: rows of `kept` (P, C) that are active become f's result, the others keep what
/// they hold. f(result) fills the first rows of `result` (R, C), one an active token in the order of `rows`.
template <class B, class F>
void masked_rows(B& backend, const ActiveRows& rows, View<typename B::Scalar, 2> kept, F&& f) {
    const auto scope = backend.scope();
    const auto result = backend.scratch(rows.pixel.extent(0), kept.extent(1));  // (R, C)
    f(result);
    scatter_rows(backend, result, rows, kept);
}

}  // namespace mia
