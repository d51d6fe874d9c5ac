#pragma once
#include <cmath>
#include <cstdio>
#include <string>

/// "12:05", "1:02:03".
inline std::string clock_text(double seconds) {
    const auto whole = static_cast<long long>(std::llround(seconds));
    char words[48];
    if (whole >= 3600)
        std::snprintf(words, sizeof words, "%lld:%02lld:%02lld", whole / 3600, whole / 60 % 60, whole % 60);
    else
        std::snprintf(words, sizeof words, "%lld:%02lld", whole / 60, whole % 60);
    return words;
}
