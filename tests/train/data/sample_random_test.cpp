#include "mia/train/data/sample_random.hpp"

#include <gtest/gtest.h>

#include <array>
#include <set>
#include <vector>

namespace mia {
namespace {

using Words = std::array<std::uint32_t, 4>;

// The vectors that Philox's authors published with it.
static_assert(detail::philox({0, 0, 0, 0}, {0, 0}) == Words{0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8});
static_assert(detail::philox({~0u, ~0u, ~0u, ~0u}, {~0u, ~0u}) ==
              Words{0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd});
static_assert(detail::philox({0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344}, {0xa4093822, 0x299f31d0}) ==
              Words{0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1});

TEST(SampleRandom, SamplesAndSeedsShareNothing) {
    std::set<std::uint32_t> seen;
    for (const auto& [seed, sample] :
         {std::array<std::uint64_t, 2>{1, 0}, {1, 1}, {2, 0}, {1ull << 32, 0}, {0, 1}, {1, 1ull << 32}}) {
        SampleRandom random(seed, sample);
        for (int i = 0; i < 9; ++i) seen.insert(random.bits());
    }
    EXPECT_EQ(seen.size(), 54u);
}

TEST(SampleRandom, EveryValueEquallyOften) {
    SampleRandom random(3, 4);
    std::array<int, 5> count{};
    int heads = 0;
    double sum = 0;
    for (int i = 0; i < 10000; ++i) {
        ++count[std::size_t(random.below(5))];
        heads += random.coin();
        const double x = random.between(-2, 4);
        EXPECT_TRUE(x >= -2 && x < 4);
        sum += x;
    }
    for (const int n : count) EXPECT_NEAR(n, 2000, 200);  // five standard deviations
    EXPECT_NEAR(heads, 5000, 250);
    EXPECT_NEAR(sum / 10000, 1, 0.09);
    EXPECT_THROW(random.below(0), Error);
}

}  // namespace
}  // namespace mia
