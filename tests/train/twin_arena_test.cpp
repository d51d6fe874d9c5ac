#include "mia/train/twin_arena.hpp"

#include <gtest/gtest.h>

#include <random>

namespace mia {
namespace {

TEST(TwinArena, WhatNobodyTouchedIsZeroAndNeighboursInALineDoNotMeet) {
    TwinArena arena(ScratchFill::nan);
    float* x = static_cast<float*>(arena.take(100 * sizeof(float)));  // 6 cache lines and a bit
    EXPECT_FALSE(arena.is_touched(x, 400));
    arena.touch(x + 3, 4);
    EXPECT_TRUE(arena.is_touched(x + 3, 4));
    EXPECT_EQ(arena.twin(x + 3)[0], 0);
    EXPECT_FALSE(arena.is_touched(x + 20, 4)) << "another line";
    arena.twin(x + 3)[0] = 7;
    EXPECT_FALSE(arena.touch_to_overwrite(x + 3, 80)) << "something is there";
    EXPECT_EQ(arena.twin(x)[3], 7);
    EXPECT_EQ(arena.twin(x)[22], 0);
    arena.forget(x + 4, 40);
    EXPECT_EQ(arena.twin(x)[3], 7) << "a neighbour's gradient stays";
    arena.forget(x + 2, 8);
    arena.touch(x, 400);
    for (int i = 0; i < 100; ++i) EXPECT_EQ(arena.twin(x)[i], 0) << i;
}

/// Against a plain array of gradients.
TEST(TwinArena, AnySequenceOfUses) {
    TwinArena arena(ScratchFill::nan);
    constexpr int n = 3000;
    float* x = static_cast<float*>(arena.take(n * sizeof(float)));
    std::vector<float> expected(n, 0.0f);
    std::mt19937 random(1);
    for (int use = 0; use < 3000; ++use) {
        const int first = int(random() % n), count = int(random() % (use % 5 == 0 ? n : 30)),
                  end = std::min(n, first + count);
        const std::size_t bytes = std::size_t(end - first) * sizeof(float);
        const auto add = [&](float by, bool fresh) {
            float* g = arena.twin(x);
            for (int i = first; i < end; ++i) expected[std::size_t(i)] += by, g[i] = fresh ? by : g[i] + by;
        };
        switch (random() % 3) {
            case 0:
                arena.touch(x + first, bytes);
                add(1, false);
                break;
            case 1:
                add(2, arena.touch_to_overwrite(x + first, bytes));
                break;
            default:
                arena.forget(x + first, bytes);
                std::fill(expected.begin() + first, expected.begin() + end, 0.0f);
        }
    }
    arena.touch(x, n * sizeof(float));
    for (int i = 0; i < n; ++i) ASSERT_EQ(arena.twin(x)[i], expected[std::size_t(i)]) << i;
}

TEST(TwinArena, MemoryOfAForgottenGradientGoesToTheNext) {
    TwinArena arena;
    constexpr int n = 50;  // no whole number of lines
    float* x[20];
    for (float*& p : x) p = static_cast<float*>(arena.take(n * sizeof(float)));
    for (int step = 0; step < 3; ++step)
        for (int i = 0; i + 1 < 20; ++i) {  // as a chain of ops does
            arena.touch(x[i], n * sizeof(float));
            EXPECT_TRUE(arena.touch_to_overwrite(x[i + 1], n * sizeof(float)));
            for (int k = 0; k < n; ++k) EXPECT_EQ(arena.twin(x[i])[k], i == 0 ? 0 : float(i - 1)) << i << ", " << k;
            std::fill_n(arena.twin(x[i + 1]), n, float(i));
            arena.forget(x[i], 16 * sizeof(float));
            EXPECT_EQ(arena.twin(x[i])[16], i == 0 ? 0 : float(i - 1)) << "a part is still there";
            arena.forget(x[i] + 16, (n - 16) * sizeof(float));
            EXPECT_FALSE(arena.is_touched(x[i], n * sizeof(float)));
            if (i + 2 == 20) arena.forget(x[i + 1], n * sizeof(float));
        }
    EXPECT_EQ(arena.gradient_bytes(), 2u * 256) << "two at once, in whole lines";
}

TEST(TwinArena, ReleaseForgetsAndJoins) {
    TwinArena arena;
    const auto start = arena.position();
    void* first = arena.take(1 << 19);
    const auto middle = arena.position();
    void* second = arena.take(1 << 22);  // another block
    arena.touch(second, 64);
    EXPECT_TRUE(arena.holds(first) && arena.holds(second));
    arena.release(middle);
    EXPECT_EQ(arena.take(1 << 22), second) << "the block is still there";
    EXPECT_FALSE(arena.is_touched(second, 64));
    const std::size_t bytes = arena.bytes();
    arena.release(start);
    EXPECT_EQ(arena.bytes(), bytes);
    const auto* a = static_cast<std::byte*>(arena.take(1 << 19));
    const auto* b = static_cast<std::byte*>(arena.take(1 << 22));
    EXPECT_EQ(b - a, 1 << 19) << "in one piece from now on";
    int elsewhere = 0;
    EXPECT_FALSE(arena.holds(&elsewhere) || arena.holds(nullptr));
}

}  // namespace
}  // namespace mia
