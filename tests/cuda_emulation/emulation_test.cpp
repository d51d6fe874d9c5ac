/// Kernels that are right must pass; kernels with exactly one bug each must be found, by a message that names kernel,
/// block, thread and what they did.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "kernel_test.hpp"
#include "mia/core/warp.cuh"

namespace cuda_emulation {
namespace {

using mia::detail::all_lanes;
using mia::detail::shared_memory;
using testing::AllOf;
using testing::AnyOf;
using testing::HasSubstr;

struct Pair {
    int values[64];
    unsigned char bytes[64];
};

// ------------------------------------------------------------------------------------------------ right ones
__global__ void reverse_in_block(int* y) {
    auto& tile = shared_memory<Pair>();
    const int i = int(threadIdx.x);
    for (int round = 0; round < 3; ++round) {
        tile.values[i] = i + round;
        __syncthreads();
        y[i] = tile.values[63 - i];
        __syncthreads();
    }
}
__global__ void halves_of_a_warp(int* y) {  // two groups of lanes, each with its own mask
    const int lane = int(threadIdx.x);
    const unsigned mask = lane < 16 ? 0x0000ffffu : 0xffff0000u;
    int sum = lane;
    if (lane < 16)
        for (int step = 8; step > 0; step /= 2) sum += __shfl_xor_sync(mask, sum, step);
    else
        for (int step = 8; step > 0; step /= 2) sum += __shfl_xor_sync(mask, sum, step, 16);
    y[lane] = sum;
}
__global__ void exchange_in_warp(int* y) {  // shared memory ordered by __syncwarp alone
    auto& tile = shared_memory<Pair>();
    const int lane = int(threadIdx.x);
    tile.values[lane] = lane;
    tile.bytes[lane] = static_cast<unsigned char>(lane);  // neighbours in one word: no race
    __syncwarp();
    y[lane] = tile.values[lane ^ 1] + tile.bytes[lane ^ 2];
}
__global__ void count_all(int* count) { atomicAdd(count, 1); }
__global__ void shuffle_kinds(int* y) {
    const int lane = int(threadIdx.x);
    y[lane] = __shfl_sync(all_lanes, lane, 5) + 100 * __shfl_up_sync(all_lanes, lane, 1) +
              10000 * __shfl_down_sync(all_lanes, lane, 1, 8);
}
__global__ void votes(int* y) {
    const int i = int(threadIdx.x);
    const int even = __syncthreads_count(i % 2 == 0), all = __syncthreads_and(i < 64), any = __syncthreads_or(i == 63);
    y[i] = even + 100 * all + 1000 * any + 10000 * __all_sync(all_lanes, i < 32) +
           100000 * int(__ballot_sync(all_lanes, i == 0) & 1);
}
__global__ void warp_sums(int* y) {
    const int lane = int(threadIdx.x);
    y[lane] = mia::detail::warp_sum(lane) + 1000 * mia::detail::warp_max(lane % 7) +
              10000 * mia::detail::warp_inclusive_sum(1);
}

TEST(Emulation, RightKernelsPass) {
    mia::Cuda cuda;
    Device<int> y(cuda, 64);
    EXPECT_EQ(error_of(cuda, {1, 64, sizeof(Pair)}, reverse_in_block, y.data()), "");
    EXPECT_EQ(y.host()[3], 62);
    EXPECT_EQ(error_of(cuda, {1, 32}, halves_of_a_warp, y.data()), "");
    EXPECT_EQ(y.host()[3], 120);
    EXPECT_EQ(y.host()[20], 376);
    EXPECT_EQ(error_of(cuda, {1, 32, sizeof(Pair)}, exchange_in_warp, y.data()), "");
    EXPECT_EQ(y.host()[3], 2 + 1);
    EXPECT_EQ(error_of(cuda, {1, 32}, shuffle_kinds, y.data()), "");
    EXPECT_EQ(y.host()[0], 5 + 0 + 10000);
    EXPECT_EQ(y.host()[15], 5 + 1400 + 150000);
    EXPECT_EQ(error_of(cuda, {1, 64}, votes, y.data()), "");
    EXPECT_EQ(y.host()[0], 32 + 100 + 1000 + 10000 + 100000);
    EXPECT_EQ(y.host()[40], 32 + 100 + 1000);
    EXPECT_EQ(error_of(cuda, {1, 32}, warp_sums, y.data()), "");
    EXPECT_EQ(y.host()[4], 496 + 6000 + 50000);
    Device<int> count(cuda, 1);
    EXPECT_EQ(error_of(cuda, {7, {33, 3}}, count_all, count.data()), "");
    EXPECT_EQ(count.host()[0], 7 * 99);
}

__global__ void place_in_line(int* next, int* place) {
    place[blockIdx.x * blockDim.x + threadIdx.x] = atomicAdd(next, 1);
}
TEST(Emulation, TheSeedDecidesTheOrder) {
    mia::Cuda cuda;
    const auto places = [&](unsigned seed) {
        const unsigned before = seed_of_this_run();
        set_schedule_seed(seed);
        Device<int> next(cuda, 1), place(cuda, 60);
        EXPECT_EQ(error_of(cuda, {3, 20}, place_in_line, next.data(), place.data()), "");
        auto all = place.host();
        set_schedule_seed(before);
        return all;
    };
    const auto forwards = places(0), backwards = places(1), shuffled = places(2);
    for (int i = 0; i < 60; ++i) {
        EXPECT_EQ(forwards[i], i);
        EXPECT_EQ(backwards[i], 59 - i);
    }
    EXPECT_NE(shuffled, forwards);
    EXPECT_NE(shuffled, places(3));
    EXPECT_EQ(shuffled, places(2));
}

// ------------------------------------------------------------------------------------------------ divergence
__global__ void half_at_barrier(int*) {
    if (threadIdx.x < 32) __syncthreads();
}
__global__ void two_barriers(int*) {
    if (threadIdx.x < 32)
        __syncthreads();
    else
        __syncthreads();
}
__global__ void barrier_and_shuffle(int* y) {
    if (threadIdx.x < 16)
        __syncthreads();
    else
        y[threadIdx.x] = __shfl_xor_sync(all_lanes, 1, 1);
}
TEST(Emulation, FindsDivergentBarriers) {
    mia::Cuda cuda;
    Device<int> y(cuda, 64);
    EXPECT_THAT(error_of(cuda, {2, 64}, half_at_barrier, y.data()),
                AllOf(HasSubstr("half_at_barrier"), HasSubstr("block ("), HasSubstr("32 threads (32 to 63) returned"),
                      HasSubstr("32 threads (0 to 31) wait at __syncthreads, emulation_test.cpp:")));
    EXPECT_THAT(error_of(cuda, {1, 64}, two_barriers, y.data()), HasSubstr("threads wait at different barriers"));
    EXPECT_THAT(error_of(cuda, {1, 32}, barrier_and_shuffle, y.data()),
                AllOf(HasSubstr("16 threads (0 to 15) wait at __syncthreads"),
                      HasSubstr("16 threads (16 to 31) wait at a warp intrinsic with mask 0xffffffff")));
}

__global__ void shuffle_in_branch(int* y) {
    if (threadIdx.x < 16) y[threadIdx.x] = __shfl_xor_sync(all_lanes, 1, 1);
}
__global__ void foreign_mask(int* y) { y[threadIdx.x] = __shfl_xor_sync(0xffu, 1, 1); }
__global__ void beyond_the_block(int* y) { y[threadIdx.x] = __shfl_xor_sync(all_lanes, 1, 1); }
__global__ void two_shuffles(int* y) {
    if (threadIdx.x < 16)
        y[threadIdx.x] = __shfl_xor_sync(all_lanes, 1, 1);
    else
        y[threadIdx.x] = __shfl_xor_sync(all_lanes, 1, 1);
}
__global__ void from_outside_the_mask(int* y) {
    if (threadIdx.x < 16) y[threadIdx.x] = __shfl_xor_sync(0xffffu, 1, 16);
}
__global__ void odd_width(int* y) { y[threadIdx.x] = __shfl_xor_sync(all_lanes, 1, 1, 12); }
TEST(Emulation, FindsBadWarpIntrinsics) {
    mia::Cuda cuda;
    Device<int> y(cuda, 64);
    EXPECT_THAT(error_of(cuda, {1, 32}, shuffle_in_branch, y.data()),
                AllOf(HasSubstr("shuffle_in_branch"), AnyOf(HasSubstr("which has returned"), HasSubstr("returned\n"))));
    EXPECT_THAT(error_of(cuda, {1, 32}, foreign_mask, y.data()),
                AllOf(HasSubstr("foreign_mask"), HasSubstr("is not in its own mask, emulation_test.cpp:")));
    EXPECT_THAT(error_of(cuda, {1, 24}, beyond_the_block, y.data()), HasSubstr("this warp has 24 lanes"));
    EXPECT_THAT(error_of(cuda, {1, 32}, two_shuffles, y.data()), HasSubstr("are at different warp intrinsics"));
    EXPECT_THAT(error_of(cuda, {1, 32}, from_outside_the_mask, y.data()), HasSubstr("which is not in the mask"));
    EXPECT_THAT(error_of(cuda, {1, 32}, odd_width, y.data()), HasSubstr("width must be 1, 2, 4, 8, 16 or 32"));
}

// ------------------------------------------------------------------------------------------------ races
__global__ void no_syncwarp(int* y) {
    auto& tile = shared_memory<Pair>();
    const int lane = int(threadIdx.x);
    tile.values[lane] = lane;
    const int other = __shfl_xor_sync(all_lanes, lane, 1);  // orders no memory
    y[lane] = tile.values[other];
}
__global__ void no_barrier_before_reuse(int* y) {
    auto& tile = shared_memory<Pair>();
    const int i = int(threadIdx.x);
    for (int round = 0; round < 2; ++round) {
        tile.values[i] = i + round;
        __syncthreads();
        y[i] = tile.values[63 - i];
    }
}
__global__ void syncwarp_between_warps(int* y) {
    auto& tile = shared_memory<Pair>();
    const int i = int(threadIdx.x);
    tile.values[i] = i;
    __syncwarp();
    y[i] = tile.values[63 - i];
}
__global__ void blocks_share_a_word(int* y) { y[0] = int(blockIdx.x); }
__global__ void sum_without_atomic(int* y) { y[0] += 1; }
__global__ void same_value(int* y) { y[0] = 1; }
__global__ void atomic_and_plain(int* y) {
    if (threadIdx.x == 0) y[0] = 0;
    atomicAdd(y, 1);
}
__global__ void block_reads_blocks_result(int* y) {
    if (blockIdx.x == 0)
        y[0] = 1;
    else
        y[1] = y[0];
}
TEST(Emulation, FindsRaces) {
    if (!checks_memory()) GTEST_SKIP() << "loads and stores are checked only with -fsanitize=thread";
    mia::Cuda cuda;
    Device<int> y(cuda, 64);
    EXPECT_THAT(error_of(cuda, {1, 32, sizeof(Pair)}, no_syncwarp, y.data()), HasSubstr("race on shared memory, byte"));
    EXPECT_THAT(error_of(cuda, {1, 64, sizeof(Pair)}, no_barrier_before_reuse, y.data()),
                AllOf(HasSubstr("no_barrier_before_reuse"), HasSubstr("block (0, 0, 0), thread ("),
                      HasSubstr("race on shared memory"), HasSubstr("with nothing that orders them")));
    EXPECT_THAT(error_of(cuda, {1, 64, sizeof(Pair)}, syncwarp_between_warps, y.data()),
                AnyOf(HasSubstr("race on shared memory"), HasSubstr("uninitialised")));
    EXPECT_THAT(error_of(cuda, {2, 1}, blocks_share_a_word, y.data()), HasSubstr("a thread of another block wrote it"));
    EXPECT_THAT(error_of(cuda, {1, 2}, sum_without_atomic, y.data()), HasSubstr("race on device memory, byte 0"));
    EXPECT_THAT(error_of(cuda, {1, 2}, same_value, y.data()), HasSubstr("race on device memory"));
    EXPECT_THAT(error_of(cuda, {1, 64}, atomic_and_plain, y.data()), HasSubstr("race on device memory"));
    EXPECT_THAT(error_of(cuda, {2, 1}, block_reads_blocks_result, y.data()), HasSubstr("race on device memory"));
}

// ------------------------------------------------------------------------------------------------ addresses
__global__ void past_the_end(int* y) { y[threadIdx.x + 1] = 1; }
__global__ void before_the_begin(int* y) { y[int(threadIdx.x) - 1] = 1; }
__global__ void past_the_tile(int* y) { y[0] = reinterpret_cast<int*>(&shared_memory<Pair>())[80 + threadIdx.x]; }
__global__ void null_pointer(int* y, const int* x) { y[0] = *x; }
__global__ void misaligned(int* y) { *reinterpret_cast<long long*>(y + 1) = 1; }
__global__ void never_written(int* y) { y[threadIdx.x] = shared_memory<Pair>().values[threadIdx.x]; }
__global__ void lends_its_stack(int** p, int* y) {
    int own = int(threadIdx.x);
    if (threadIdx.x == 0) *p = &own;
    __syncthreads();
    y[threadIdx.x] = **p;
}
TEST(Emulation, FindsBadAddresses) {
    if (!checks_memory()) GTEST_SKIP() << "loads and stores are checked only with -fsanitize=thread";
    mia::Cuda cuda;
    Device<int> y(cuda, 64);
    EXPECT_THAT(error_of(cuda, {1, 64}, past_the_end, y.data()),
                AllOf(HasSubstr("past_the_end"), HasSubstr("thread (63, 0, 0)"),
                      HasSubstr("write of 4 bytes at emulation_test.cpp:"),
                      HasSubstr("0 bytes after an allocation of 256 bytes")));
    EXPECT_THAT(error_of(cuda, {1, 1}, before_the_begin, y.data()), HasSubstr("4 bytes before an allocation"));
    EXPECT_THAT(error_of(cuda, {1, 1, sizeof(Pair)}, past_the_tile, y.data()),
                HasSubstr("at byte 320 of shared memory of 320 bytes"));
    EXPECT_THAT(error_of(cuda, {1, 1}, null_pointer, y.data(), static_cast<const int*>(nullptr)),
                HasSubstr("a null pointer"));
    EXPECT_THAT(error_of(cuda, {1, 1}, misaligned, y.data()), HasSubstr("misaligned write of 8 bytes"));
    int of_the_host = 0;
    EXPECT_THAT(error_of(cuda, {1, 1}, same_value, &of_the_host), HasSubstr("a pointer of the host"));
    Device<int*> pointer(cuda, 1);
    EXPECT_THAT(error_of(cuda, {1, 2}, lends_its_stack, pointer.data(), y.data()),
                HasSubstr("local memory of another thread"));
    int* freed = nullptr;
    {
        Device<int> gone(cuda, 4);
        freed = gone.data();
    }
    EXPECT_THAT(error_of(cuda, {1, 1}, same_value, freed), HasSubstr("device memory that was freed"));
}
TEST(Emulation, FindsWhatWasNeverWritten) {
    if (!checks_memory()) GTEST_SKIP() << "loads and stores are checked only with -fsanitize=thread";
    mia::Cuda cuda;
    Device<int> y(cuda, 64);
    EXPECT_THAT(error_of(cuda, {1, 1, sizeof(Pair)}, never_written, y.data()),
                HasSubstr("read of uninitialised shared memory at emulation_test.cpp:"));
    mia::Tensor<int, 1, mia::Cuda> fresh;
    fresh.resize(cuda, 4);
    EXPECT_THAT(error_of(cuda, {1, 1}, sum_without_atomic, fresh.data()), HasSubstr("uninitialised device memory"));
    EXPECT_THAT(error_of(cuda, {1, 1}, count_all, fresh.data()), HasSubstr("atomic of uninitialised device memory"));
    // Shared memory starts afresh in each block.
    EXPECT_EQ(error_of(cuda, {1, 64, sizeof(Pair)}, reverse_in_block, y.data()), "");
    EXPECT_THAT(error_of(cuda, {1, 1, sizeof(Pair)}, never_written, y.data()), HasSubstr("uninitialised shared"));
}

}  // namespace
}  // namespace cuda_emulation
