#pragma once
#include <unistd.h>

#include <cstdio>

#include "support/sanitizer.hpp"

namespace mia::test {

#if defined(MIA_ASAN) || defined(MIA_TSAN)
inline constexpr bool is_sanitized = true;  // sanitizers keep freed memory and add their own
#else
inline constexpr bool is_sanitized = false;
#endif

/// Bytes of this process that lie in memory now; 0 where the system does not tell.
inline double resident_bytes() {
    long all = 0, resident = 0;
    std::FILE* file = std::fopen("/proc/self/statm", "re");
    if (file == nullptr) return 0;
    const int read = std::fscanf(file, "%ld %ld", &all, &resident);
    std::fclose(file);
    return read == 2 ? double(resident) * double(sysconf(_SC_PAGESIZE)) : 0;
}

}  // namespace mia::test
