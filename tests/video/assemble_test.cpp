#include "mia/video/assemble.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cstdint>
#include <random>
#include <vector>

namespace mia::detail {
namespace {

using Times = std::vector<std::int64_t>;
using testing::ElementsAre;
using testing::IsEmpty;

TEST(DecodingTimes, WithoutReorderingTheyAreTheSame) {
    EXPECT_THAT(decoding_times(Times{}), IsEmpty());
    EXPECT_THAT(decoding_times(Times{7}), ElementsAre(7));
    EXPECT_THAT(decoding_times(Times{-3, 0, 10, 11}), ElementsAre(-3, 0, 10, 11));
}

TEST(DecodingTimes, OneFrameLateForOneB) {
    // I P b P b, at an uneven rate: decoded 0 20 10 70 30.
    EXPECT_THAT(decoding_times(Times{0, 20, 10, 70, 30}), ElementsAre(-10, 0, 10, 20, 30));
    // The second segment is the one that reorders.
    EXPECT_THAT(decoding_times(Times{0, 1, 2, 3, 6, 4, 5}), ElementsAre(-1, 0, 1, 2, 3, 4, 5));
    // A pyramid: two late.
    EXPECT_THAT(decoding_times(Times{0, 4, 2, 1, 3}), ElementsAre(-2, -1, 0, 1, 2));
}

TEST(DecodingTimes, GrowAndAreNeverLate) {
    std::mt19937 random(1);
    for (int round = 0; round < 300; ++round) {
        Times pts;
        std::int64_t time = -1000;
        for (int segment = 0; segment < 5; ++segment) {
            const auto begin = std::ptrdiff_t(pts.size());
            for (unsigned n = random() % 9; n > 0; --n) pts.push_back(time += 1 + random() % 100);
            std::shuffle(pts.begin() + begin, pts.end(), random);
        }
        const Times dts = decoding_times(pts);
        ASSERT_EQ(dts.size(), pts.size());
        for (std::size_t i = 0; i < dts.size(); ++i) {
            ASSERT_LE(dts[i], pts[i]);
            if (i > 0) {
                ASSERT_LT(dts[i - 1], dts[i]);
            }
        }
        // And not later than needed: some packet is shown the moment it is decoded.
        if (!pts.empty()) {
            ASSERT_TRUE(std::mismatch(dts.begin(), dts.end(), pts.begin(), std::less<>()).first != dts.end());
        }
    }
}

}  // namespace
}  // namespace mia::detail
