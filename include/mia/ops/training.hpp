#pragma once
#include "mia/core/backend.hpp"

// What is done in training only. On a backend that only runs these do nothing; a backend that trains has overloads of
// its own (train/tape.hpp).

namespace mia {

/// A block's branch (P, C) on its way to the sum. In training it is dropped now and then (stochastic depth), the more
/// often the deeper the block; depth: 0 for the first block of a network to 1 for the last.
template <class B>
View<const typename B::Scalar, 2> drop_path(B&, View<const typename B::Scalar, 2> branch, float) {
    return branch;
}

/// Runs f(state, probe), which writes y. In training f may run again later, on a copy of the state as it was, instead
/// of having its intermediate results kept; so f holds views and numbers by value, and no reference but to modules and
/// the backend.
template <class B, int Rank, class State, class Probe, class F>
void checkpoint(B&, View<typename B::Scalar, Rank>, State& state, Probe& probe, const F& f) {
    f(state, probe);
}

/// Memory of a view's shape to be written next, when its contents are not needed any more: the same, but in training,
/// where the gradient may still need them, another.
template <class B, int Rank>
View<typename B::Scalar, Rank> reused(B&, View<typename B::Scalar, Rank> view) {
    return view;
}

}  // namespace mia
