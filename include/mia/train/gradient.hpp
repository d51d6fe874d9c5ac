#pragma once
#include "mia/core/backend.hpp"

namespace mia {

template <Backend B>
class Tape;

/// Where an op's vjp puts a gradient: nowhere, or `data`, to which it adds, or which it overwrites if it is fresh.
template <class T>
struct Gradient {
    T* data = nullptr;
    bool is_fresh = false;
    explicit operator bool() const { return data != nullptr; }
};

}  // namespace mia
