#include "mia/train/uniform.hpp"

#include <gtest/gtest.h>

#include <vector>

namespace mia {
namespace {

std::vector<float> drawn(std::uint64_t seed, std::size_t at_once) {
    const Uniform uniform = seeded_uniform(seed);
    std::vector<float> numbers(10000);
    for (std::size_t i = 0; i < numbers.size(); i += at_once) uniform({numbers.data() + i, at_once});
    return numbers;
}

TEST(SeededUniform, IsUniformAndRepeats) {
    const auto numbers = drawn(3, 10000);
    double sum = 0;
    for (const float x : numbers) {
        ASSERT_TRUE(x >= 0 && x < 1);
        sum += x;
    }
    EXPECT_NEAR(sum / 10000, 0.5, 0.01);  // three deviations
    EXPECT_EQ(drawn(3, 50), numbers) << "however many at once";
    EXPECT_NE(drawn(4, 50), numbers);
    // The C++ standard states the engine's 10000th number, so every machine has the same.
    EXPECT_EQ(drawn(std::mt19937_64::default_seed, 100).back(), float(9981545732273789042u >> 40) * 0x1p-24f);
}

}  // namespace
}  // namespace mia
