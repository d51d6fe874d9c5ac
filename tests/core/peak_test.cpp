#include "mia/core/peak.hpp"

#include <gtest/gtest.h>

#include <cmath>

namespace mia {
namespace {

TEST(FmaBurst, DoesEveryMultiplyAddOfEveryLane) {
    // s -> 0.999 s + 0.001 from 0.001: after r steps 1 - 0.999^(r + 1), in each lane of each sum.
    for (const int repeats : {0, 1, 10, 1000}) {
        const double one = 1 - std::pow(0.999, repeats + 1);
        const double all = one * detail::burst_sums * simd::lanes<float>;
        EXPECT_NEAR(detail::fma_burst<float>(repeats), all, 1e-4 * all) << repeats;  // rounding of 1000 sums in float
    }
}

TEST(FmaBurst, OfBf16CountsWhatItAdds) {
    if (detail::burst_macs<Bf16> == 1) GTEST_SKIP() << "no dot product of bf16 pairs in this build";
    const float product = float(Bf16(0.001f)) * float(Bf16(0.001f));
    for (const int repeats : {1, 100}) {
        const double all = detail::burst_sums * simd::lanes<float> * (0.001 + repeats * 2.0 * product);
        EXPECT_NEAR(detail::fma_burst<Bf16>(repeats), all, 1e-4 * all) << repeats;
    }
}

TEST(FmaPeak, IsWorkByTheTimeOfTheClock) {
    for (const int threads : {1, 2}) {
        Cpu cpu(threads);
        double now = 0;
        const double pieces = threads == 1 ? 16 : 256 * threads;
        EXPECT_DOUBLE_EQ(fma_peak(cpu, [&] { return now += 0.5; }),
                         2.0 * simd::lanes<float> * detail::burst_sums * 10'000 * pieces / 0.5);
    }
    Cpu cpu;
    EXPECT_GT(fma_peak(cpu), 0);
    CpuBf16 bf16;
    EXPECT_GT(fma_peak(bf16), 0);
}

}  // namespace
}  // namespace mia
