#pragma once
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>
#include <random>
#include <string>
#include <type_traits>
#include <vector>

/// What the references compute with, and how a result is held against them.
namespace mia::test {

using Numbers = std::vector<double>;

/// Seeded; every number is a float in value, so that all element types hold it exactly.
class Random {
public:
    explicit Random(int seed) : engine_(static_cast<unsigned>(seed)) {}
    double number(double low, double high) {
        return double(float(low + (high - low) * (double(engine_()) / 4294967296.0)));
    }
    Numbers numbers(std::ptrdiff_t count, double low = -1, double high = 1) {
        Numbers all(static_cast<std::size_t>(count));
        for (double& x : all) x = number(low, high);
        return all;
    }
    std::vector<std::uint8_t> bits(std::ptrdiff_t count, double share) {
        std::vector<std::uint8_t> all(static_cast<std::size_t>(count));
        for (auto& bit : all) bit = number(0, 1) < share;
        return all;
    }

private:
    std::mt19937 engine_;
};

template <class T>
std::vector<T> cast(const Numbers& x) {
    return {x.begin(), x.end()};
}

/// What a result is written over: an element that was not written shows.
template <class T>
std::vector<T> unwritten(std::ptrdiff_t count) {
    return std::vector<T>(static_cast<std::size_t>(count), std::numeric_limits<T>::quiet_NaN());
}

/// |actual - expected| <= bound * max(1, largest |expected|) everywhere.
template <class T>
void expect_near(const std::vector<T>& actual, const Numbers& expected, double bound, const std::string& what) {
    ASSERT_EQ(actual.size(), expected.size()) << what;
    double largest = 1, worst = 0;
    std::size_t at = 0;
    for (std::size_t i = 0; i < expected.size(); ++i) {
        largest = std::max(largest, std::abs(expected[i]));
        const double error = std::abs(double(actual[i]) - expected[i]);
        if (!(error <= worst)) {
            worst = error;
            at = i;
            if (std::isnan(error)) break;
        }
    }
    EXPECT_LE(worst, bound * largest) << what << ": element " << at << " of " << expected.size() << " is " << actual[at]
                                      << ", expected " << expected[at];
}

template <class T>
bool same_bytes(const std::vector<T>& a, const std::vector<T>& b) {
    return a.size() == b.size() && std::memcmp(a.data(), b.data(), a.size() * sizeof(T)) == 0;
}

/// Sums of up to some hundred terms of size 1, in either element type, against sums in double.
template <class T>
inline constexpr double sum_rounding = std::is_same_v<T, float> ? 1e-5 : 1e-13;
/// One or two operations on numbers of size 1.
template <class T>
inline constexpr double step_rounding = std::is_same_v<T, float> ? 2e-7 : 1e-15;

}  // namespace mia::test
