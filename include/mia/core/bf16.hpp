#pragma once
#include <cstdint>
#include <limits>
#include <type_traits>

#include "mia/core/view.hpp"

namespace mia {

// How bf16 is a precision of the backend, `CpuBf16 = BasicCpu<Bf16>`:
// - In memory (parameters, maps, states) elements are Bf16; whatever is computed from them is float (`Wide<T>`), and is
//   rounded when it is written. Frames, flows and coordinates are float (`Pixel<B>`): 8 bits of mantissa would lose
//   half a step of an 8-bit pixel.
// - Products take two neighbours along the sum at a time, an instruction where there is one (simd::dot). So packed
//   weights and the fused block's panels hold pairs (`Lane<T>`), where those of float hold one element; the kernels are
//   one text for both, written in lanes.
// - Between the products of the fused block scores, softmax, LayerNorm, GELU and the residual sums are float.

/// A float's upper half: sign, 8 bits of exponent, 7 of mantissa. Rounded to nearest even; NaN stays NaN.
struct Bf16 {
    std::uint16_t bits;

    Bf16() = default;
    // The builtin, for kernels: std::bit_cast is not known on a device.
    MIA_HOST_DEVICE constexpr explicit Bf16(float x) : bits(rounded(__builtin_bit_cast(std::uint32_t, x))) {}
    MIA_HOST_DEVICE constexpr operator float() const { return __builtin_bit_cast(float, std::uint32_t(bits) << 16); }

private:
    MIA_HOST_DEVICE static constexpr std::uint16_t rounded(std::uint32_t x) {
        const bool is_nan = (x & 0x7fffffffu) > 0x7f800000u;
        return std::uint16_t((is_nan ? x | 0x400000u : x + 0x7fffu + (x >> 16 & 1)) >> 16);
    }
};

/// Two elements in the place of one float: the one at the lower address first.
struct Bf16Pair {
    std::uint32_t bits;

    Bf16Pair() = default;
    constexpr Bf16Pair(Bf16 first, Bf16 second) : bits(first.bits | std::uint32_t(second.bits) << 16) {}
};

/// What elements of T are computed and summed in.
template <class T>
using Wide = std::conditional_t<std::is_same_v<T, Bf16>, float, T>;
/// Elements that are computed in another type than they are kept in.
template <class T>
inline constexpr bool narrow = !std::is_same_v<T, Wide<T>>;

/// What lies in one lane of a kernel's panel: an element, or a pair of them that follow each other in a sum.
template <class T>
using Lane = std::conditional_t<std::is_same_v<T, Bf16>, Bf16Pair, T>;
template <class T>
inline constexpr int per_lane = int(sizeof(Lane<T>) / sizeof(T));

/// Lane number `i` of a row of `count` elements; the last one of an odd row holds a zero.
template <class T>
[[gnu::always_inline]] inline Lane<T> lane_of(const T* row, int i, int count) {
    if constexpr (per_lane<T> == 1)
        return row[i];
    else
        return {row[2 * i], 2 * i + 1 < count ? row[2 * i + 1] : T()};
}

}  // namespace mia

template <>
struct std::numeric_limits<mia::Bf16> : std::numeric_limits<float> {
    static constexpr int digits = 8;
    static constexpr mia::Bf16 max() { return mia::Bf16(0x1.fep127f); }
    static constexpr mia::Bf16 lowest() { return mia::Bf16(-0x1.fep127f); }
    static constexpr mia::Bf16 epsilon() { return mia::Bf16(0x1p-7f); }
    static constexpr mia::Bf16 infinity() { return mia::Bf16(std::numeric_limits<float>::infinity()); }
    static constexpr mia::Bf16 quiet_NaN() { return mia::Bf16(std::numeric_limits<float>::quiet_NaN()); }
};
