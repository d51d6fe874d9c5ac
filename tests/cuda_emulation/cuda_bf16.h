#pragma once
#include <cuda_runtime.h>

/// bfloat16: storage and conversions; arithmetic is done in float, as kernels do.
struct __nv_bfloat16 {
    unsigned short bits;
};

inline float __bfloat162float(__nv_bfloat16 value) {
    return cuda_emulation::from_payload<float>(std::uint64_t(value.bits) << 16);
}
/// To nearest, ties to even; a NaN becomes the canonical one.
inline __nv_bfloat16 __float2bfloat16(float value) {
    const auto bits = unsigned(cuda_emulation::to_payload(value));
    if (value != value) return {0x7fff};
    return {static_cast<unsigned short>((bits + 0x7fffu + (bits >> 16 & 1)) >> 16)};
}
