#include "mia/core/thread_pool.hpp"

#include <gtest/gtest.h>

#include <numeric>

namespace mia {
namespace {

TEST(ThreadPool, EachIndexOnceInPiecesOfTheGrain) {
    for (const int threads : {1, 2, 3, 8}) {
        ThreadPool pool(threads);
        EXPECT_EQ(pool.threads(), threads);
        for (const std::ptrdiff_t count : {0, 1, 2, 7, 100, 1001})
            for (const std::ptrdiff_t grain : {0, 1, 3, 64, 5000}) {
                std::vector<std::atomic<int>> calls(static_cast<std::size_t>(count));
                std::atomic<bool> fits = true;
                pool.parallel_for(count, grain, [&](std::ptrdiff_t begin, std::ptrdiff_t end, int worker) {
                    const std::ptrdiff_t piece = std::max<std::ptrdiff_t>(grain, 1);
                    if (begin % piece != 0 || end - begin > piece || begin >= end || worker < 0 || worker >= threads)
                        fits = false;
                    for (std::ptrdiff_t i = begin; i < end; ++i) ++calls[std::size_t(i)];
                });
                EXPECT_TRUE(fits);
                for (const auto& n : calls) ASSERT_EQ(n, 1) << count << " by " << grain;
            }
    }
}

TEST(ThreadPool, WorkersAreDistinctWhileTheyRun) {
    ThreadPool pool(4);
    std::vector<std::atomic<int>> busy(4);
    std::atomic<bool> alone = true;
    pool.parallel_for(4000, 1, [&](std::ptrdiff_t, std::ptrdiff_t, int worker) {
        if (++busy[std::size_t(worker)] != 1) alone = false;
        --busy[std::size_t(worker)];
    });
    EXPECT_TRUE(alone);
}

TEST(ThreadPool, ManySmallLoops) {
    ThreadPool pool(3);
    std::vector<long> sums(3);
    for (int loop = 0; loop < 20000; ++loop)
        pool.parallel_for(3, 1,
                          [&](std::ptrdiff_t begin, std::ptrdiff_t, int) { sums[std::size_t(begin)] += begin + 1; });
    EXPECT_EQ(sums, (std::vector<long>{20000, 40000, 60000}));
}

TEST(ThreadPool, TheFirstExceptionComesOutAndThePoolGoesOn) {
    for (const int threads : {1, 2, 3}) {
        ThreadPool pool(threads);
        for (int repeat = 0; repeat < 50; ++repeat) {
            const auto fail = [&] {
                pool.parallel_for(100, 1, [](std::ptrdiff_t i, std::ptrdiff_t, int) {
                    if (i % 10 == 3) throw Error(text("piece ", i));
                });
            };
            try {
                fail();
                FAIL() << "no exception";
            } catch (const Error& error) {
                EXPECT_EQ(std::string(error.what()).substr(0, 6), "piece ");
            }
            std::atomic<int> calls = 0;
            pool.parallel_for(10, 1, [&](std::ptrdiff_t, std::ptrdiff_t, int) { ++calls; });
            EXPECT_EQ(calls, 10);
        }
    }
}

TEST(ThreadPool, NoMorePiecesAfterAnException) {
    ThreadPool pool(1);
    int calls = 0;
    EXPECT_THROW(pool.parallel_for(100, 1,
                                   [&](std::ptrdiff_t, std::ptrdiff_t, int) {
                                       ++calls;
                                       throw Error("stop");
                                   }),
                 Error);
    EXPECT_EQ(calls, 1);
}

TEST(ThreadPool, PoolsDoNotMeet) {
    ThreadPool outer(3);
    std::vector<std::unique_ptr<ThreadPool>> inner;  // one a worker: a pool serves one caller at a time
    for (int i = 0; i < 3; ++i) inner.push_back(std::make_unique<ThreadPool>(2));
    std::atomic<int> calls = 0;
    outer.parallel_for(60, 1, [&](std::ptrdiff_t, std::ptrdiff_t, int worker) {
        inner[std::size_t(worker)]->parallel_for(10, 1, [&](std::ptrdiff_t, std::ptrdiff_t, int) { ++calls; });
    });
    EXPECT_EQ(calls, 600);
}

TEST(ThreadPool, RefusesAFoolishNumberOfThreads) {
    for (const int threads : {0, -1, 1025}) EXPECT_THROW(ThreadPool pool(threads), Error) << threads;
    try {
        ThreadPool pool(0);
    } catch (const Error& error) {
        EXPECT_STREQ(error.what(), "ThreadPool: 0 threads asked for; give a number from 1 to 1024");
    }
}

}  // namespace
}  // namespace mia
