#include "mia/video/bounded_queue.hpp"

#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <memory>
#include <thread>

namespace mia {
namespace {

TEST(BoundedQueue, KeepsOrderAndItsBound) {
    BoundedQueue<int> queue(2);
    std::atomic<int> pushed = 0;
    std::jthread producer([&] {
        for (int i = 0; i < 100; ++i) {
            EXPECT_TRUE(queue.push(i));
            ++pushed;
        }
        queue.close();
    });
    std::this_thread::sleep_for(std::chrono::milliseconds(20));
    EXPECT_LE(pushed.load(), 2);
    for (int i = 0; i < 100; ++i) EXPECT_EQ(queue.pop(), i);
    EXPECT_EQ(queue.pop(), std::nullopt);
}

TEST(BoundedQueue, StopWakesBothSides) {
    BoundedQueue<int> full(1), empty(1);
    ASSERT_TRUE(full.push(1));
    std::jthread producer([&] { EXPECT_FALSE(full.push(2)); });
    std::jthread consumer([&] { EXPECT_EQ(empty.pop(), std::nullopt); });
    std::this_thread::sleep_for(std::chrono::milliseconds(10));
    full.stop();
    empty.stop();
    producer.join();
    EXPECT_EQ(full.pop(), std::nullopt);  // what was inside is not handed out any more
}

TEST(BoundedQueue, TakesWhatCanOnlyBeMoved) {
    BoundedQueue<std::unique_ptr<int>> queue(1);
    queue.push(std::make_unique<int>(7));
    EXPECT_EQ(**queue.pop(), 7);
}

}  // namespace
}  // namespace mia
