#include "mia/core/tensor.hpp"

#include <gtest/gtest.h>

#include <cstdint>

#include "mia/core/cpu.hpp"

namespace mia {
namespace {

static_assert(!std::is_copy_constructible_v<Tensor<float, 2>> &&
              std::is_nothrow_move_constructible_v<Tensor<float, 2>>);

TEST(Tensor, OwnsAlignedMemoryOfItsShape) {
    Tensor<float, 3> t(3, 5, 7);
    EXPECT_EQ(t.size(), 105);
    EXPECT_EQ(t.extent(1), 5);
    EXPECT_EQ(reinterpret_cast<std::uintptr_t>(t.data()) % cache_line, 0u);
    for (int i = 0; i < 105; ++i) t.data()[i] = float(i);
    EXPECT_EQ(t.view()(2, 4, 6), 104);
    const auto& constant = t;
    const View<const float, 3> view = constant;
    EXPECT_EQ(view.data, t.data());
}

TEST(Tensor, EmptyUntilResized) {
    Tensor<double, 2> t;
    EXPECT_TRUE(t.empty());
    EXPECT_EQ(t.size(), 0);
    BasicCpu<float> cpu;
    Tensor<float, 2> u;
    u.resize(cpu, 4, 6);
    EXPECT_FALSE(u.empty());
    EXPECT_EQ(u.size(), 24);
}

TEST(Tensor, ResizeAllocatesOnlyToGrow) {
    Cpu cpu;
    Tensor<float, 2> t;
    t.resize(cpu, 10, 20);
    const float* place = t.data();
    t.resize(cpu, 5, 3);
    EXPECT_EQ(t.data(), place);
    EXPECT_EQ(t.extent(0), 5);
    t.resize(cpu, 20, 10);
    EXPECT_EQ(t.data(), place);
    t.resize(cpu, 20, 11);
    EXPECT_EQ(t.size(), 220);
    for (int i = 0; i < 220; ++i) t.data()[i] = 1;
}

TEST(Tensor, MovesItsMemory) {
    Tensor<int, 1> a(5);
    a.data()[4] = 9;
    const int* place = a.data();
    Tensor<int, 1> b = std::move(a);
    EXPECT_EQ(b.data(), place);
    EXPECT_EQ(b.view()(4), 9);
    Tensor<int, 1> c;
    c = std::move(b);
    EXPECT_EQ(c.data(), place);
}

TEST(Tensor, RefusesNegativeExtents) {
    try {
        Tensor<float, 2> t(3, -1);
        FAIL();
    } catch (const Error& error) {
        EXPECT_STREQ(error.what(), "Tensor: extent -1 of axis 1 is negative");
    }
}

}  // namespace
}  // namespace mia
