#include "mia/core/cpu.hpp"

#include <gtest/gtest.h>

#include <atomic>
#include <limits>

#include "mia/core/count.hpp"

namespace mia {
namespace {

static_assert(Backend<BasicCpu<double>> && Backend<BasicCount<double>> && !Backend<int>);

TEST(Cpu, ScratchIsAViewThatEndsWithItsScope) {
    Cpu cpu(2, ScratchFill::nan);
    float* place;
    {
        const auto scope = cpu.scope();
        const auto a = cpu.scratch(3, 4, 5);
        EXPECT_EQ(a.size(), 60);
        EXPECT_TRUE(std::isnan(a(2, 3, 4)));
        place = a.data;
        const auto b = cpu.scratch<std::uint8_t>(7);
        EXPECT_NE(static_cast<void*>(b.data), static_cast<void*>(a.data));
    }
    const auto scope = cpu.scope();
    EXPECT_EQ(cpu.scratch(1).data, place);
    EXPECT_GE(cpu.scratch_peak(), 60 * sizeof(float) + 7);
}

TEST(Cpu, CountsWork) {
    Cpu cpu;
    cpu.record({"a", nullptr, 10, 40});
    cpu.record({"b", nullptr, 5, 20});
    EXPECT_EQ(cpu.work().macs, 15);
    EXPECT_EQ(cpu.work().dense_macs, 60);
    cpu.reset_work();
    EXPECT_EQ(cpu.work().macs, 0);
    EXPECT_EQ(cpu.work().dense_macs, 0);
}

#if defined(__SSE2__)
TEST(Cpu, LoopsFlushDenormalsAndTheCallersSettingStays) {
    const unsigned before = _mm_getcsr();
    for (const int threads : {1, 3}) {
        Cpu cpu(threads);
        std::atomic<int> kept = 0;
        volatile float tiny = std::numeric_limits<float>::min();
        cpu.parallel_for(100, 1, [&](std::ptrdiff_t, std::ptrdiff_t, int) { kept += tiny * 0.5f != 0; });
        EXPECT_EQ(kept, 0);
        EXPECT_GT(tiny * 0.5f, 0.0f);
        EXPECT_THROW(cpu.parallel_for(9, 1, [](std::ptrdiff_t, std::ptrdiff_t, int) { throw Error("stop"); }), Error);
        EXPECT_EQ(_mm_getcsr() & 0x8040u, before & 0x8040u) << "also after an exception";
    }
}
#endif

TEST(Count, MeasuresScratchAndStateWithoutMemory) {
    Count count;
    {
        const auto scope = count.scope();
        const auto huge = count.scratch(100000, 100000, 100);
        EXPECT_EQ(huge.size(), 1'000'000'000'000);
        const auto inner = count.scope();
        count.scratch<std::uint8_t>(1);
    }
    count.scratch(16);
    EXPECT_EQ(count.scratch_peak(), 4'000'000'000'064u);
    Tensor<float, 2, Count> state;
    state.resize(count, 10, 20);
    state.resize(count, 5, 5);
    EXPECT_EQ(count.tensor_bytes(), 800u);
    count.record({"a", nullptr, 7, 7});
    EXPECT_EQ(count.macs(), 7);
    EXPECT_EQ(count.entries().size(), 1u);
}

}  // namespace
}  // namespace mia
