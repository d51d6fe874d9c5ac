#include "mia/models/statistics.hpp"

#include <gtest/gtest.h>

#include <chrono>
#include <thread>

namespace mia {
namespace {

TEST(ModuleClock, WhatLiesBetweenTwoCallsBelongsToTheSecond) {
    const auto begin = std::chrono::steady_clock::now();
    ModuleClock clock({"a", "b", "c"});
    clock.start({.macs = 100, .dense_macs = 200, .tokens = 10, .active_tokens = 5});
    clock.lap(0, {.macs = 101, .dense_macs = 203, .tokens = 10, .active_tokens = 5});
    std::this_thread::sleep_for(std::chrono::milliseconds(20));
    clock.lap(1, {.macs = 111, .dense_macs = 233, .tokens = 30, .active_tokens = 10});
    clock.start({});  // as after a reset
    clock.lap(0, {.macs = 1000, .dense_macs = 1000});
    const double all = std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();

    const auto& modules = clock.modules();
    ASSERT_EQ(modules.size(), 3u);
    EXPECT_EQ(modules[0].module, "a");
    EXPECT_EQ(modules[0].work.macs, 1001);
    EXPECT_EQ(modules[0].work.dense_macs, 1003);
    EXPECT_EQ(modules[0].work.tokens, 0);
    EXPECT_EQ(modules[1].work.macs, 10);
    EXPECT_EQ(modules[1].work.dense_macs, 30);
    EXPECT_EQ(modules[1].work.skipped_share(), 0.75);
    EXPECT_GE(modules[1].seconds, 0.02);
    EXPECT_LE(modules[0].seconds + modules[1].seconds, all + 1e-9);
    EXPECT_EQ(modules[2].seconds, 0);
    EXPECT_EQ(modules[2].work.macs, 0);
}

TEST(ModuleClock, TimeBeforeStartIsNobodys) {
    ModuleClock clock({"a"});
    std::this_thread::sleep_for(std::chrono::milliseconds(20));
    const auto begin = std::chrono::steady_clock::now();
    clock.start({});
    clock.lap(0, {});
    const double all = std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
    EXPECT_LE(clock.modules()[0].seconds, all + 1e-9);
}

}  // namespace
}  // namespace mia
