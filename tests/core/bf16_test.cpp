#include "mia/core/bf16.hpp"

#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <vector>

#include "mia/core/simd.hpp"
#include "mia/core/transpose.hpp"
#include "reference/numbers.hpp"

namespace mia {
namespace {

static_assert(std::is_trivial_v<Bf16> && sizeof(Bf16) == 2 && std::is_trivial_v<Bf16Pair> && sizeof(Bf16Pair) == 4);
static_assert(per_lane<Bf16> == 2 && per_lane<float> == 1 && per_lane<double> == 1);

Bf16 of_bits(int bits) {
    Bf16 x;
    x.bits = std::uint16_t(bits);
    return x;
}

TEST(Bf16, EachIsAFloatAndComesBack) {
    for (int bits = 0; bits < 65536; ++bits) {
        const float x = of_bits(bits);
        if (std::isnan(x))
            EXPECT_TRUE(std::isnan(float(Bf16(x)))) << bits;
        else
            EXPECT_EQ(Bf16(x).bits, bits);
    }
}

TEST(Bf16, RoundsToNearestEven) {
    for (int bits = 0; bits < 0x7f80; ++bits) {  // up to the largest, whose upper neighbour is infinity
        const float x = of_bits(bits), next = of_bits(bits + 1);
        const std::uint32_t middle = std::uint32_t(bits) << 16 | 0x8000;
        for (const float sign : {1.0f, -1.0f}) {
            EXPECT_EQ(float(Bf16(sign * std::bit_cast<float>(middle - 1))), sign * x) << x;
            EXPECT_EQ(float(Bf16(sign * std::bit_cast<float>(middle))), sign * (bits % 2 == 0 ? x : next)) << x;
            EXPECT_EQ(float(Bf16(sign * std::bit_cast<float>(middle + 1))), sign * next) << x;
        }
    }
    EXPECT_EQ(float(std::numeric_limits<Bf16>::max()), float(of_bits(0x7f7f)));
    EXPECT_TRUE(std::isnan(float(Bf16(std::bit_cast<float>(0x7f800001u))))) << "a NaN whose upper half is infinity's";
}

/// Of every size a float has, no denormals: instructions may take those for zeros.
std::vector<float> floats_of_all_sizes(int count) {
    std::vector<float> x;
    for (test::Random random(1); int(x.size()) < count;)
        x.push_back(float(random.number(-2, 2) * std::exp2(random.number(-120, 120))));
    return x;
}

TEST(Bf16Vectors, LoadAndStoreAreTheTypesConversions) {
    constexpr int lanes = simd::lanes<Bf16>;
    static_assert(lanes == simd::lanes<float>);
    const float infinity = std::numeric_limits<float>::infinity();
    std::vector<float> x = floats_of_all_sizes(50 * lanes);
    for (const float special : {infinity, -infinity, 0.0f, -0.0f, 1.00390625f, 1.01171875f,
                                std::numeric_limits<float>::max(), std::numeric_limits<float>::quiet_NaN()})
        x.push_back(special);
    x.resize((x.size() + lanes - 1) / lanes * lanes, 1.0f);
    for (std::size_t i = 0; i < x.size(); i += lanes) {
        Bf16 y[lanes];
        simd::store(y, simd::load(&x[i]));
        const auto back = simd::load(y);
        for (int lane = 0; lane < lanes; ++lane) {
            const float expected = Bf16(x[i + std::size_t(lane)]);
            for (const float got : {float(y[lane]), float(back[lane])})
                EXPECT_TRUE(got == expected || (std::isnan(got) && std::isnan(expected))) << got << ", " << expected;
        }
    }
}

TEST(Bf16Vectors, FirstLanesTouchNothingBeyond) {
    for (int count = 0; count <= simd::lanes<Bf16>; ++count) {
        const std::vector<Bf16> x(std::size_t(count), Bf16(3.0f));  // the heap, for an address sanitizer
        const auto v = simd::load_first(x.data(), count);
        for (int i = 0; i < simd::lanes<Bf16>; ++i) EXPECT_EQ(v[i], i < count ? 3.0f : 0.0f);
        std::vector<Bf16> y(std::size_t(count) + 1, Bf16(-1.0f));
        simd::store_first(y.data(), v, count);
        for (int i = 0; i <= count; ++i) EXPECT_EQ(float(y[std::size_t(i)]), i < count ? 3.0f : -1.0f);
    }
}

TEST(Bf16Vectors, PairsArePackedUnpackedAndMultiplied) {
    constexpr int lanes = simd::lanes<Bf16>;
    test::Random random(2);
    for (int repeat = 0; repeat < 100; ++repeat) {
        float x[2][2][lanes], c[lanes];  // (factor, element, lane)
        for (auto& factor : x)
            for (auto& element : factor)
                for (float& v : element) v = Bf16(float(random.number(-4, 4)));
        for (float& v : c) v = float(random.number(-4, 4));
        simd::PairVec pairs[2];
        for (int f = 0; f < 2; ++f) {
            simd::FloatVec both[2] = {simd::load(x[f][0]), simd::load(x[f][1])}, back[2];
            pairs[f] = simd::pack(both);
            Bf16Pair memory[lanes];
            simd::store(memory, pairs[f]);
            simd::unpack(simd::load(memory), back);
            for (int i = 0; i < lanes; ++i)
                for (int e = 0; e < 2; ++e) {
                    EXPECT_EQ(back[e][i], x[f][e][i]);
                    EXPECT_EQ(float(reinterpret_cast<const Bf16*>(memory)[2 * i + e]), x[f][e][i]) << "order in memory";
                }
        }
        const simd::FloatVec sum = simd::dot(pairs[0], pairs[1], simd::load(c));
        for (int i = 0; i < lanes; ++i) {
            const double exact =
                double(c[i]) + double(x[0][0][i]) * double(x[1][0][i]) + double(x[0][1][i]) * double(x[1][1][i]);
            EXPECT_NEAR(sum[i], exact, 4e-6);  // two roundings of numbers below 36
        }
    }
}

TEST(Bf16Vectors, PanelsHoldPairsOfARow) {
    for (const int count : {1, 7, 8, 16, 19})
        for (const int C : {1, 2, 5, 16, 17, 26, 33}) {
            const int width = count + 3, lanes = (C + 1) / 2;
            std::vector<Bf16> x, back(std::size_t(count * C));
            for (const double v : test::Random(1).numbers(count * C)) x.push_back(Bf16(float(v)));
            std::vector<Bf16Pair> panel(std::size_t(lanes * width), Bf16Pair(Bf16(9.0f), Bf16(9.0f)));
            simd::rows_to_panel<Bf16>([&](int i) { return x.data() + i * C; }, count, C, panel.data(), width);
            for (int c = 0; c < 2 * lanes; ++c)
                for (int i = 0; i < width; ++i) {
                    const Bf16 got = reinterpret_cast<const Bf16*>(&panel[std::size_t(c / 2 * width + i)])[c % 2];
                    ASSERT_EQ(float(got), i >= count ? 9.0f
                                          : c < C    ? float(x[std::size_t(i * C + c)])
                                                     : 0.0f)
                        << count << " x " << C;
                }
            simd::panel_to_rows<Bf16>(panel.data(), width, count, C, [&](int i) { return back.data() + i * C; });
            EXPECT_EQ(std::memcmp(back.data(), x.data(), x.size() * sizeof(Bf16)), 0);
        }
}

TEST(Bf16Vectors, FunctionsAreExactEnoughForTheirResult) {
    constexpr int lanes = simd::lanes<float>;
    for (int i = 0; i < 200000; i += lanes) {
        float x[lanes], e[lanes], g[lanes];
        for (int lane = 0; lane < lanes; ++lane) x[lane] = -20 + 40 * float(i + lane) / 200000;
        simd::store(e, simd::exp_as<Bf16>(simd::load(x)));
        simd::store(g, simd::gelu_as<Bf16>(simd::load(x)));
        for (int lane = 0; lane < lanes; ++lane) {
            const double v = x[lane], exact = v / 2 * std::erfc(-v / std::sqrt(2.0));
            ASSERT_LE(std::abs(e[lane] - std::exp(v)), 8.5e-5 * std::exp(v)) << v;
            ASSERT_LE(std::abs(g[lane] - exact), std::max(5e-4 * std::abs(exact), 5e-7)) << v;
        }
    }
    EXPECT_EQ(simd::gelu_as<Bf16>(simd::FloatVec{})[0], 0);
}

}  // namespace
}  // namespace mia
