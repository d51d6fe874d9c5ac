#pragma once
#include <cstdlib>
#include <mia/io/state_dict.hpp>

/// What must hold of every StateDict that a reader accepts; aborts where it does not.
namespace mia::fuzz {

inline void check_state_dict(const StateDict& dict) {
    volatile unsigned char touched = 0;
    for (const TensorEntry& entry : dict.entries()) {
        const auto elements = detail::count_elements(entry.shape);
        if (!elements || *elements * size_of(entry.dtype) != entry.bytes) std::abort();
        if (dict.find(entry.name) != &entry) std::abort();
        if (entry.bytes == 0) continue;
        // The first and the last byte: a sanitizer sees whether they are the file's.
        touched = static_cast<unsigned char>(entry.data[0]);
        touched = static_cast<unsigned char>(entry.data[entry.bytes - 1]);
    }
    (void)touched;
}

}  // namespace mia::fuzz
