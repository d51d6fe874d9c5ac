#pragma once
#include <sstream>
#include <stdexcept>
#include <string>

#if defined(__FAST_MATH__)
#error \
    "mia: the kernels rely on IEEE rules (infinities, NaN, signed zeros, order of rounding); compile without -ffast-math"
#endif

namespace mia {

/// What every entry point of the library throws. The message has three parts: what is wrong with the values found,
/// where, and how to mend it.
class Error : public std::runtime_error {
public:
    using std::runtime_error::runtime_error;
};

/// Joins its arguments with operator<<: `throw Error(text("3 channels needed, found ", n))`.
template <class... Parts>
std::string text(const Parts&... parts) {
    std::ostringstream out;
    (out << ... << parts);
    return out.str();
}

/// Throws Error(text(parts...)) unless `condition` holds; the text is made only then, but the parts are evaluated
/// always.
template <class... Parts>
void require(bool condition, const Parts&... parts) {
    if (!condition) [[unlikely]]
        throw Error(text(parts...));
}

}  // namespace mia
