#include "mia/core/arena.hpp"

#include <gtest/gtest.h>

#include <cmath>
#include <cstdint>

#include "mia/core/backend.hpp"

namespace mia {
namespace {

std::uintptr_t address(const void* p) { return reinterpret_cast<std::uintptr_t>(p); }

TEST(Arena, PiecesAreAlignedAndDoNotOverlap) {
    Arena arena;
    std::vector<std::pair<std::byte*, std::size_t>> pieces;
    for (const std::size_t bytes : {1u, 63u, 64u, 65u, 100000u, 8u, 300000u, 1u})
        pieces.emplace_back(static_cast<std::byte*>(arena.take(bytes)), bytes);
    for (std::size_t i = 0; i < pieces.size(); ++i) {
        EXPECT_EQ(address(pieces[i].first) % cache_line, 0u);
        std::memset(pieces[i].first, int(i), pieces[i].second);
    }
    for (std::size_t i = 0; i < pieces.size(); ++i)
        for (std::size_t b = 0; b < pieces[i].second; ++b) ASSERT_EQ(int(pieces[i].first[b]), int(i));
}

TEST(Arena, ReleaseGivesBackLikeAStack) {
    Arena arena;
    arena.take(100);
    const auto position = arena.position();
    void* first = arena.take(1000);
    arena.take(500000);  // a second block
    arena.release(position);
    EXPECT_EQ(arena.take(1000), first);
    EXPECT_EQ(arena.peak(), 128u + 1024u + 500032u);
}

TEST(Arena, ASecondPassFindsOneBlockThatHoldsAll) {
    Arena arena;
    const auto start = arena.position();
    const auto pass = [&] {
        std::vector<std::byte*> places;
        for (const std::size_t kib : {40u, 50u, 200u, 10u, 90u})
            places.push_back(static_cast<std::byte*>(arena.take(kib << 10)));
        arena.release(start);
        return places;
    };
    pass();
    const auto second = pass(), third = pass();
    EXPECT_EQ(second, third);
    for (std::size_t i = 1; i < second.size(); ++i) EXPECT_GT(second[i], second[i - 1]) << "one block after the other";
    EXPECT_EQ(second.back() - second.front(), (40 + 50 + 200 + 10) << 10);
}

TEST(Arena, WithinALongScopeTheSameStepsFindTheSamePlaces) {
    Arena arena;
    arena.take(1);  // held, so nothing is consolidated
    const auto position = arena.position();
    const auto step = [&] {
        std::vector<void*> places;
        for (const std::size_t kib : {70u, 30u, 100u}) places.push_back(arena.take(kib << 10));
        arena.release(position);
        return places;
    };
    const auto first = step();
    EXPECT_EQ(step(), first);
    EXPECT_EQ(step(), first);
}

TEST(Arena, ReserveMakesOnePiece) {
    Arena arena;
    arena.reserve(1 << 20);
    auto* a = static_cast<std::byte*>(arena.take(600 << 10));
    auto* b = static_cast<std::byte*>(arena.take(424 << 10));
    EXPECT_EQ(b - a, 600 << 10);
    arena.reserve(4 << 20);  // something is taken: nothing moves
    std::memset(a, 1, 1 << 20);
}

TEST(Arena, FillsWithNanWhenAsked) {
    Arena arena(ScratchFill::nan);
    const auto start = arena.position();
    for (int pass = 0; pass < 2; ++pass) {
        auto* f = static_cast<float*>(arena.take(100 * sizeof(float)));
        for (int i = 0; i < 100; ++i) {
            EXPECT_TRUE(std::isnan(f[i]));
            f[i] = 1;
        }
        arena.release(start);
    }
}

TEST(ScratchScope, GivesBackAtItsEnd) {
    Arena arena;
    void *inner, *again;
    {
        const ScratchScope outer(arena);
        arena.take(64);
        {
            const ScratchScope scope(arena);
            inner = arena.take(64);
        }
        {
            const ScratchScope scope(arena);
            again = arena.take(64);
        }
    }
    EXPECT_EQ(inner, again);
    EXPECT_EQ(arena.peak(), 128u);
}

}  // namespace
}  // namespace mia
