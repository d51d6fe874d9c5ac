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
    MIA_HOST_DEVICE explicit operator bool() const { return data != nullptr; }
    /// One number of it.
    MIA_HOST_DEVICE void add(std::ptrdiff_t i, T g) const { data[i] = is_fresh ? g : data[i] + g; }
};

}  // namespace mia
