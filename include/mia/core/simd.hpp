#pragma once
#include <cmath>
#include <cstdint>
#include <cstring>

#include "mia/core/arena.hpp"
#include "mia/core/bf16.hpp"

#if defined(__AVX__)
#include <immintrin.h>
#elif defined(__SSE2__)
#include <emmintrin.h>
#endif

#ifdef __NVCC__
#pragma nv_diag_suppress 1675  // `#pragma GCC unroll`: the host's compiler knows it
#endif

/// One vector of elements, as wide as the compiler's flags allow, and the few operations that the kernels need: the
/// only header with compiler-specific code. `fma` is explicit: whether a * b + c is contracted depends on compiler and
/// flags, and neither speed nor results may. Without these instruction sets the same source runs on 4 lanes.
namespace mia::simd {

#if defined(__AVX512F__)
inline constexpr int vector_bytes = 64, registers = 32;
#if defined(__AVX512BF16__) && defined(__AVX512BW__) && defined(__AVX512VL__)
#define MIA_INSTRUCTIONS avx512_bf16
#else
#define MIA_INSTRUCTIONS avx512
#endif
#elif defined(__AVX__) && defined(__FMA__)
inline constexpr int vector_bytes = 32, registers = 16;
#define MIA_INSTRUCTIONS avx_fma
#elif defined(__AVX__)
inline constexpr int vector_bytes = 32, registers = 16;
#define MIA_INSTRUCTIONS avx
#else
inline constexpr int vector_bytes = 16, registers = 16;
#define MIA_INSTRUCTIONS vectors_of_16_bytes
#endif

#define MIA_INLINE [[gnu::always_inline]] inline
#define MIA_INLINE_LAMBDA __attribute__((always_inline))  // after a lambda's parameters; without it sums go to memory

template <class T>
struct VectorOf {
    typedef T type __attribute__((vector_size(vector_bytes)));
};
template <>
struct VectorOf<Bf16> : VectorOf<float> {};
template <>
struct VectorOf<Bf16Pair> : VectorOf<std::uint32_t> {};
template <class T>
using Vec = typename VectorOf<T>::type;  ///< arithmetic and comparison per lane; of Bf16, wide
template <class T>
inline constexpr int lanes = vector_bytes / int(sizeof(Wide<T>));

using FloatVec = Vec<float>;
using DoubleVec = Vec<double>;
using IntVec = Vec<std::int32_t>;
using PairVec = Vec<Bf16Pair>;
typedef std::uint16_t HalfVec __attribute__((vector_size(vector_bytes / 2)));  ///< as many Bf16 as a vector has floats

MIA_INLINE FloatVec widen(HalfVec v) { return (FloatVec)(__builtin_convertvector(v, PairVec) << 16); }
MIA_INLINE HalfVec narrow(FloatVec v) {
#if defined(__AVX512BF16__) && defined(__AVX512VL__)
    return (HalfVec)_mm512_cvtneps_pbh(v);
#else
    const PairVec x = (PairVec)v, rounded = x + 0x7fff + (x >> 16 & 1);
    return __builtin_convertvector(((x & 0x7fffffff) > 0x7f800000 ? x | 0x400000 : rounded) >> 16, HalfVec);
#endif
}

template <class T>
MIA_INLINE Vec<T> load(const T* p) {
    if constexpr (std::is_same_v<T, Bf16>) {
        HalfVec v;
        std::memcpy(&v, p, sizeof v);
        return widen(v);
    } else {
        Vec<T> v;
        std::memcpy(&v, p, sizeof v);
        return v;
    }
}
template <class T>
MIA_INLINE void store(T* p, Vec<T> v) {
    if constexpr (std::is_same_v<T, Bf16>) {
        const HalfVec half = narrow(v);
        std::memcpy(p, &half, sizeof half);
    } else {
        std::memcpy(p, &v, sizeof v);
    }
}
/// The first `count` lanes, 0 in the others; memory beyond is not touched.
template <class T>
MIA_INLINE Vec<T> load_first(const T* p, int count) {
#if defined(__AVX512F__)
    if constexpr (sizeof(T) == 4) return (Vec<T>)_mm512_maskz_loadu_ps(__mmask16((1u << count) - 1), (const float*)p);
#endif
#if defined(__AVX512BW__) && defined(__AVX512VL__)
    if constexpr (std::is_same_v<T, Bf16>)
        return widen((HalfVec)_mm256_maskz_loadu_epi16(__mmask16((1u << count) - 1), p));
#endif
    Vec<T> v{};
    for (int i = 0; i < count; ++i) v[i] = p[i];
    return v;
}
/// Stores the first `count` lanes; memory beyond is not touched.
template <class T>
MIA_INLINE void store_first(T* p, Vec<T> v, int count) {
#if defined(__AVX512F__)
    if constexpr (sizeof(T) == 4) {
        _mm512_mask_storeu_ps((float*)p, __mmask16((1u << count) - 1), (FloatVec)v);
        return;
    }
#endif
#if defined(__AVX512BW__) && defined(__AVX512VL__)
    if constexpr (std::is_same_v<T, Bf16>) {
        _mm256_mask_storeu_epi16(p, __mmask16((1u << count) - 1), (__m256i)narrow(v));
        return;
    }
#endif
    for (int i = 0; i < count; ++i) p[i] = T(v[i]);
}

template <class T>
MIA_INLINE Vec<T> broadcast(T x) {
    if constexpr (std::is_same_v<T, Bf16>)
        return float(x) - FloatVec{};
    else if constexpr (std::is_same_v<T, Bf16Pair>)
        return x.bits - PairVec{};
    else
        return x - Vec<T>{};  // folds to a broadcast; Vec{} + x must not, for -0 + 0 is +0
}

MIA_INLINE FloatVec fma(FloatVec a, FloatVec b, FloatVec c) {
#if defined(__AVX512F__)
    return _mm512_fmadd_ps(a, b, c);
#elif defined(__FMA__)
    return _mm256_fmadd_ps(a, b, c);
#else
    return a * b + c;
#endif
}
MIA_INLINE DoubleVec fma(DoubleVec a, DoubleVec b, DoubleVec c) {
#if defined(__AVX512F__)
    return _mm512_fmadd_pd(a, b, c);
#elif defined(__FMA__)
    return _mm256_fmadd_pd(a, b, c);
#else
    return a * b + c;
#endif
}

/// Lanes of pairs as two vectors, the first elements and the second ones, and back; of elements, as they are.
MIA_INLINE void unpack(PairVec v, FloatVec (&to)[2]) {
    to[0] = (FloatVec)(v << 16);
    to[1] = (FloatVec)(v & 0xffff0000);
}
MIA_INLINE void unpack(FloatVec v, FloatVec (&to)[1]) { to[0] = v; }
MIA_INLINE void unpack(DoubleVec v, DoubleVec (&to)[1]) { to[0] = v; }
MIA_INLINE PairVec pack(const FloatVec (&v)[2]) {
#if defined(__AVX512BF16__) && defined(__AVX512BW__)
    typedef std::uint16_t Halves __attribute__((vector_size(vector_bytes)));
    const Halves all = (Halves)_mm512_cvtne2ps_pbh(v[1], v[0]);
    return (PairVec)__builtin_shufflevector(all, all, 0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23, 8, 24, 9,
                                            25, 10, 26, 11, 27, 12, 28, 13, 29, 14, 30, 15, 31);
#else
    return __builtin_convertvector(narrow(v[0]), PairVec) | __builtin_convertvector(narrow(v[1]), PairVec) << 16;
#endif
}
MIA_INLINE FloatVec pack(const FloatVec (&v)[1]) { return v[0]; }
MIA_INLINE DoubleVec pack(const DoubleVec (&v)[1]) { return v[0]; }

#if defined(__AVX512BF16__)
inline constexpr bool has_pair_dot = true;
#else
inline constexpr bool has_pair_dot = false;
#endif
/// c + a b per lane; of pairs, c + a[0] b[0] + a[1] b[1] (the instruction takes denormals for zeros).
MIA_INLINE FloatVec dot(PairVec a, PairVec b, FloatVec c) {
#if defined(__AVX512BF16__)
    return _mm512_dpbf16_ps(c, (__m512bh)a, (__m512bh)b);
#else
    FloatVec x[2], y[2];
    unpack(a, x);
    unpack(b, y);
    return fma(x[1], y[1], fma(x[0], y[0], c));
#endif
}
MIA_INLINE FloatVec dot(FloatVec a, FloatVec b, FloatVec c) { return fma(a, b, c); }
MIA_INLINE DoubleVec dot(DoubleVec a, DoubleVec b, DoubleVec c) { return fma(a, b, c); }

MIA_INLINE FloatVec max(FloatVec a, FloatVec b) {
#if defined(__AVX512F__)
    return _mm512_maskz_max_ps(__mmask16(-1), a, b);  // the plain form warns in GCC 12, wrongly
#elif defined(__AVX__)
    return _mm256_max_ps(a, b);
#else
    return _mm_max_ps(a, b);
#endif
}
MIA_INLINE DoubleVec max(DoubleVec a, DoubleVec b) { return a > b ? a : b; }
MIA_INLINE FloatVec min(FloatVec a, FloatVec b) {
#if defined(__AVX512F__)
    return _mm512_maskz_min_ps(__mmask16(-1), a, b);
#elif defined(__AVX__)
    return _mm256_min_ps(a, b);
#else
    return _mm_min_ps(a, b);
#endif
}
MIA_INLINE DoubleVec min(DoubleVec a, DoubleVec b) { return a < b ? a : b; }

MIA_INLINE FloatVec sqrt(FloatVec a) {
#if defined(__AVX512F__)
    return _mm512_maskz_sqrt_ps(__mmask16(-1), a);
#elif defined(__AVX__)
    return _mm256_sqrt_ps(a);
#else
    return _mm_sqrt_ps(a);
#endif
}
MIA_INLINE DoubleVec sqrt(DoubleVec a) {
    for (int i = 0; i < lanes<double>; ++i) a[i] = std::sqrt(a[i]);
    return a;
}

MIA_INLINE FloatVec abs(FloatVec a) { return (FloatVec)((IntVec)a & 0x7fffffff); }
MIA_INLINE DoubleVec abs(DoubleVec a) { return (DoubleVec)((Vec<std::int64_t>)a & 0x7fffffffffffffff); }

/// The sum of the lanes, as a tree: always in the same order.
template <class T>
MIA_INLINE Wide<T> sum(Vec<T> v) {
    Wide<T> part[lanes<T>];
    store(part, v);
#pragma GCC unroll 8
    for (int width = lanes<T> / 2; width > 0; width /= 2)
#pragma GCC unroll 16
        for (int i = 0; i < width; ++i) part[i] += part[i + width];
    return part[0];
}

/// Asks for `count` neighbours in memory that will be read soon. Level: the cache that they are to come to, 1 or 2.
template <int Level = 1, class T>
MIA_INLINE void fetch(const T* p, std::ptrdiff_t count) {
    for (std::ptrdiff_t i = 0; i < count; i += std::ptrdiff_t(cache_line / sizeof(T)))
        __builtin_prefetch(p + i, 0, Level == 1 ? 3 : 2);
}

/// A sum over `count` elements of T that lie in lanes: f.template operator()<Count>(k, s) adds the elements from k on,
/// as many as a lane holds or the last one, to s: one of four sums in turn, for an addition takes several cycles.
template <class T, class F>
MIA_INLINE Vec<T> sum_of(int count, F f) {
    constexpr int n = per_lane<T>;
    Vec<T> s[4] = {};
    int k = 0;
    for (; k + 4 * n <= count; k += 4 * n)
#pragma GCC unroll 4
        for (int i = 0; i < 4; ++i) f.template operator()<n>(k + i * n, s[i]);
#pragma GCC unroll 4
    for (int i = 0; i < 4; ++i, k += n) {
        if (k + n <= count)
            f.template operator()<n>(k, s[i]);
        else if (k < count)
            f.template operator()<1>(k, s[i]);
    }
    return (s[0] + s[1]) + (s[2] + s[3]);
}

/// Evaluates the polynomial with coefficients c, constant first (Horner).
template <int N>
MIA_INLINE FloatVec polynomial(FloatVec x, const float (&c)[N]) {
    FloatVec p = broadcast(c[N - 1]);
#pragma GCC unroll 16
    for (int i = N - 2; i >= 0; --i) p = fma(p, x, broadcast(c[i]));
    return p;
}

namespace exponent {  // not detail: kernels are "using namespace simd"
/// 2^f for f in [-1/2, 1/2].
inline constexpr float of_float[] = {1.0f, 0.693146944f, 0.240221202f, 0.0555071309f, 0.00967554096f, 0.00132764713f};
inline constexpr float of_bf16[] = {0.9999280902f, 0.6932612208f, 0.2426112334f, 0.05517002389f};

/// 2^y from y + 1.5 * 2^23, whose low bits hold the integer n nearest to y, and y - n in [-1/2, 1/2].
template <int N>
MIA_INLINE FloatVec power_of_two(FloatVec shifted, FloatVec fraction, const float (&minimax)[N]) {
    return (FloatVec)((IntVec)polynomial(fraction, minimax) + ((IntVec)shifted << 23));
}
inline constexpr float rounder = 12582912.0f;  ///< 1.5 * 2^23: adding it rounds to an integer

template <int N>
MIA_INLINE FloatVec exp2(FloatVec x, const float (&minimax)[N]) {
    const FloatVec shifted = x + broadcast(rounder);
    return power_of_two(shifted, x - (shifted - broadcast(rounder)), minimax);
}
template <int N>
MIA_INLINE FloatVec exp(FloatVec x, const float (&minimax)[N]) {
    const FloatVec log2_e = broadcast(1.44269504f);
    const FloatVec shifted = fma(x, log2_e, broadcast(rounder));
    return power_of_two(shifted, fma(x, log2_e, broadcast(rounder) - shifted), minimax);
}
}  // namespace exponent

/// 2^x for -126 <= x <= 127, within 3 ulp.
MIA_INLINE FloatVec exp2(FloatVec x) { return exponent::exp2(x, exponent::of_float); }
MIA_INLINE DoubleVec exp2(DoubleVec x) {  // the tests' precision; speed does not matter
    for (int i = 0; i < lanes<double>; ++i) x[i] = std::exp2(x[i]);
    return x;
}
/// e^x for -87 <= x <= 88, relative error below 3e-7 + 2e-8 |x| (1e-7 |x| without FMA); with FMA no dearer than 2^x.
MIA_INLINE FloatVec exp(FloatVec x) { return exponent::exp(x, exponent::of_float); }
MIA_INLINE DoubleVec exp(DoubleVec x) {
    for (int i = 0; i < lanes<double>; ++i) x[i] = std::exp(x[i]);
    return x;
}

/// Exact GELU, x Phi(x), as max(x, 0) - |x| Phi(-|x|): log2 Phi(-z) is smooth enough for a polynomial, weighted here by
/// z Phi(-z), and no division is needed. Absolute error below 9e-8 for |x| < 1 and half an ulp of x beyond; the form
/// 1 + erf loses digits for large negative x, this one does not. NaN and Inf come out as NaN.
MIA_INLINE FloatVec gelu(FloatVec x) {
    constexpr float log2_normal_tail[] = {-0.9999988675f,    -1.151123285f,    -0.4591154456f,
                                          -0.05271419883f,   0.00733338343f,   -0.0003233418392f,
                                          -0.0001144627677f, 2.508332182e-05f, -1.690402501e-06f};
    const FloatVec z = min(abs(x), broadcast(5.5f));  // z Phi(-z) is 1e-7 there
    return max(x, FloatVec{}) - z * exp2(polynomial(z, log2_normal_tail)) + (x - x);
}
MIA_INLINE DoubleVec gelu(DoubleVec x) {
    for (int i = 0; i < lanes<double>; ++i) x[i] = x[i] / 2 * std::erfc(-x[i] * 0.70710678118654752440);
    return x;
}

/// e^x and GELU as exact as a result in elements of T needs. For Bf16: within 8.5e-5 of e^x; within 5e-4 of GELU, or
/// 5e-7 where it is next to nothing.
template <class T>
MIA_INLINE Vec<T> exp_as(Vec<T> x) {
    if constexpr (std::is_same_v<T, Bf16>)
        return exponent::exp(x, exponent::of_bf16);
    else
        return exp(x);
}
template <class T>
MIA_INLINE Vec<T> gelu_as(Vec<T> x) {
    if constexpr (std::is_same_v<T, Bf16>) {
        constexpr float log2_normal_tail[] = {-1.000521419f, -1.143590862f, -0.4763986118f, -0.03883014705f,
                                              0.00289092179f};
        const FloatVec z = min(abs(x), broadcast(5.5f));
        return max(x, FloatVec{}) - z * exponent::exp2(polynomial(z, log2_normal_tail), exponent::of_bf16) + (x - x);
    } else {
        return gelu(x);
    }
}

/// Flushes denormals while it lives and restores the caller's setting. The region mask's -100 leaves softmax values
/// near 1e-44; unflushed, each costs more than a hundred normal operations.
class FlushDenormals {
public:
#if defined(__SSE2__)
    FlushDenormals() { _mm_setcsr(saved_ | 0x8040); }
    ~FlushDenormals() { _mm_setcsr(saved_); }
    FlushDenormals(const FlushDenormals&) = delete;
    FlushDenormals& operator=(const FlushDenormals&) = delete;

private:
    unsigned saved_ = _mm_getcsr();
#endif
};

}  // namespace mia::simd
