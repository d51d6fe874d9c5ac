#include "mia/core/simd.hpp"

#include <gtest/gtest.h>

#include <limits>
#include <vector>

#include "mia/core/transpose.hpp"
#include "reference/activation.hpp"
#include "reference/numbers.hpp"

namespace mia::simd {
namespace {

/// f of each number of x, a vector at a time.
template <class F>
std::vector<float> map(const std::vector<float>& x, F f) {
    std::vector<float> y(x.size());
    for (std::size_t i = 0; i < x.size(); i += lanes<float>) {
        const int count = std::min(lanes<float>, int(x.size() - i));
        store_first(&y[i], f(load_first(&x[i], count)), count);
    }
    return y;
}

std::vector<float> steps(float from, float to, int count) {
    std::vector<float> x(std::size_t(count) + 1);
    for (int i = 0; i <= count; ++i) x[std::size_t(i)] = from + (to - from) * float(i) / float(count);
    return x;
}

TEST(Simd, Exp2Within3Ulp) {
    const auto x = steps(-126, 127, 400000);
    const auto y = map(x, [](FloatVec v) { return exp2(v); });
    for (std::size_t i = 0; i < x.size(); ++i) {
        const double exact = std::exp2(double(x[i]));
        const double ulp = std::exp2(std::floor(double(x[i]))) * std::numeric_limits<float>::epsilon();
        ASSERT_LE(std::abs(y[i] - exact), 3 * ulp) << "2^" << x[i];
    }
    for (const float whole : {-126.0f, -80.0f, -1.0f, 0.0f, 1.0f, 127.0f})
        EXPECT_EQ(map({whole}, [](FloatVec v) { return exp2(v); })[0], std::exp2(whole));
}

TEST(Simd, ExpWithinItsStatedBound) {
    const auto x = steps(-87, 88, 400000);
    const auto y = map(x, [](FloatVec v) { return exp(v); });
#if defined(__FMA__)
    constexpr double relative = 2e-8;
#else
    constexpr double relative = 1e-7;
#endif
    for (std::size_t i = 0; i < x.size(); ++i) {
        const double exact = std::exp(double(x[i]));
        ASSERT_LE(std::abs(y[i] - exact), (3e-7 + relative * std::abs(double(x[i]))) * exact) << "e^" << x[i];
    }
    EXPECT_EQ(map({0.0f}, [](FloatVec v) { return exp(v); })[0], 1);
}

TEST(Simd, GeluWithinItsStatedBounds) {
    const auto x = steps(-20, 20, 400000);
    const auto y = map(x, [](FloatVec v) { return gelu(v); });
    for (std::size_t i = 0; i < x.size(); ++i) {
        const double exact = reference::gelu(double(x[i])), size = std::abs(double(x[i]));
        const double half_ulp = std::exp2(std::floor(std::log2(size))) * std::numeric_limits<float>::epsilon() / 2;
        const double bound = size < 1 ? 9e-8 : std::max(half_ulp, 9e-8) + 9e-8;
        ASSERT_LE(std::abs(y[i] - exact), bound) << "gelu(" << x[i] << ")";
    }
    EXPECT_EQ(map({0.0f}, [](FloatVec v) { return gelu(v); })[0], 0);
    const float infinity = std::numeric_limits<float>::infinity(), nan = std::numeric_limits<float>::quiet_NaN();
    for (const float v : map({infinity, -infinity, nan}, [](FloatVec u) { return gelu(u); }))
        EXPECT_TRUE(std::isnan(v));
}

TEST(Simd, DoubleFunctionsAreTheLibrarys) {
    for (double x = -9; x < 9; x += 0.37) {
        EXPECT_DOUBLE_EQ(exp2(broadcast(x))[0], std::exp2(x));
        EXPECT_DOUBLE_EQ(exp(broadcast(x))[0], std::exp(x));
        EXPECT_NEAR(gelu(broadcast(x))[0], reference::gelu(x), 1e-15);
    }
}

template <class T>
class SimdOf : public testing::Test {};
using Scalars = testing::Types<float, double>;
TYPED_TEST_SUITE(SimdOf, Scalars);

TYPED_TEST(SimdOf, SumIsATree) {
    using T = TypeParam;
    std::vector<T> x(lanes<T>);
    T whole = 0;
    for (int i = 0; i < lanes<T>; ++i) whole += x[i] = T(i + 1);
    EXPECT_EQ(sum<T>(load(x.data())), whole);
    // One large lane swallows what is added to it and nothing else: lanes meet in pairs half a vector apart.
    for (int big = 0; big < lanes<T>; ++big) {
        std::vector<T> lane(lanes<T>, T(1));
        lane[big] = T(std::is_same_v<T, float> ? 1e9 : 1e18);
        auto part = lane;
        for (int width = lanes<T> / 2; width > 0; width /= 2)
            for (int i = 0; i < width; ++i) part[i] += part[i + width];
        EXPECT_EQ(sum<T>(load(lane.data())), part[0]);
    }
}

TYPED_TEST(SimdOf, FirstLanesTouchNothingBeyond) {
    using T = TypeParam;
    for (int count = 0; count <= lanes<T>; ++count) {
        // Memory of exactly `count` elements on the heap: an address sanitizer sees what is read or written beyond.
        const std::vector<T> x(std::size_t(count), T(3));
        const Vec<T> v = load_first(x.data(), count);
        for (int i = 0; i < lanes<T>; ++i) EXPECT_EQ(v[i], i < count ? T(3) : T(0));
        std::vector<T> y(2 * lanes<T>, T(-1));
        store_first(y.data(), v + broadcast(T(1)), count);
        for (int i = 0; i < 2 * lanes<T>; ++i) EXPECT_EQ(y[i], i < count ? T(4) : T(-1)) << count;
        std::vector<T> exact(static_cast<std::size_t>(count));
        store_first(exact.data(), v, count);
        EXPECT_EQ(exact, x);
    }
}

TYPED_TEST(SimdOf, MaxMinAbsFmaBroadcast) {
    using T = TypeParam;
    const auto a = broadcast(T(-2.5)), b = broadcast(T(1.5));
    for (int i = 0; i < lanes<T>; ++i) {
        EXPECT_EQ(max(a, b)[i], T(1.5));
        EXPECT_EQ(min(a, b)[i], T(-2.5));
        EXPECT_EQ(abs(a)[i], T(2.5));
        EXPECT_EQ(fma(a, b, b)[i], T(-2.25));
    }
    EXPECT_TRUE(std::signbit(broadcast(T(-0.0))[0]));
    EXPECT_FALSE(std::signbit(abs(broadcast(T(-0.0)))[0]));
}

TYPED_TEST(SimdOf, PanelsAreTransposedRows) {
    using T = TypeParam;
    for (const int count : {1, 7, 8, 9, 16, 19})
        for (const int C : {1, 5, 8, 13, 24}) {
            const int width = count + 3;
            const auto x = test::cast<T>(test::Random(1).numbers(count * C));
            std::vector<T> panel(std::size_t(C * width), T(-7)), back(x.size());
            rows_to_panel<T>([&](int i) { return x.data() + i * C; }, count, C, panel.data(), width);
            for (int c = 0; c < C; ++c)
                for (int i = 0; i < width; ++i)
                    ASSERT_EQ(panel[c * width + i], i < count ? x[i * C + c] : T(-7)) << count << " x " << C;
            panel_to_rows<T>(panel.data(), width, count, C, [&](int i) { return back.data() + i * C; });
            EXPECT_EQ(back, x);
        }
}

#if defined(__SSE2__)
TEST(FlushDenormals, RestoresTheCallersSetting) {
    const unsigned before = _mm_getcsr();
    volatile float tiny = std::numeric_limits<float>::min();
    {
        const FlushDenormals flush;
        EXPECT_EQ(tiny * 0.5f, 0.0f);
        EXPECT_NE(_mm_getcsr() & 0x8040u, before & 0x8040u);
    }
    EXPECT_EQ(_mm_getcsr() & 0x8040u, before & 0x8040u);
    EXPECT_GT(tiny * 0.5f, 0.0f);
}
#endif

}  // namespace
}  // namespace mia::simd
