/// Misuse of the runtime by the host, and copies that run late.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cub/device/device_scan.cuh>

#include "cuda_bf16.h"
#include "cuda_pipeline.h"
#include "kernel_test.hpp"
#include "support/sanitizer.hpp"

namespace cuda_emulation {
namespace {

using testing::HasSubstr;

__global__ void count_all(int* count) { atomicAdd(count, 1); }

template <class F>
std::string error_in(F&& f) {
    try {
        f();
    } catch (const std::exception& error) {
        return error.what();
    }
    return "";
}

TEST(Runtime, RefusesBadLaunches) {
    mia::Cuda cuda;
    Device<int> y(cuda, 64);
    EXPECT_THAT(error_of(cuda, {1, 1025}, count_all, y.data()),
                HasSubstr("test: launch with grid (1, 1, 1), block (1025, 1, 1), 0 bytes of shared memory: invalid "
                          "configuration argument"));
    EXPECT_THAT(error_of(cuda, {{1, 65536}, 1}, count_all, y.data()), HasSubstr("invalid configuration"));
    EXPECT_THAT(error_of(cuda, {1, 1, 100 * 1024}, count_all, y.data()), HasSubstr("invalid argument"));
    EXPECT_EQ(error_of(cuda, {1, 1, 64 * 1024}, count_all, y.data()), "");
    EXPECT_EQ(error_of(cuda, {0, 1}, count_all, y.data()), "");
}

TEST(Runtime, WorkWaitsForTheHostToWait) {
    mia::Cuda cuda;
    Device<int> y(cuda, 1);
    mia::detail::launch(cuda, "test", {1, 1}, count_all, y.data());
    static volatile int got = -1;
    cudaMemcpyAsync(const_cast<int*>(&got), y.data(), sizeof(int), cudaMemcpyDeviceToHost, cuda.stream());
    synchronize(cuda);
    EXPECT_EQ(got, 1);
}

TEST(Runtime, FindsTheHostTooEarlyOrOutOfBounds) {
    if (!checks_memory()) GTEST_SKIP() << "loads and stores are checked only with -fsanitize=thread";
    mia::Cuda cuda;
    Device<int> y(cuda, 4);
    std::vector<int> values(4);
    const auto download = [&] { cudaMemcpyAsync(values.data(), y.data(), 16, cudaMemcpyDeviceToHost, cuda.stream()); };
    const auto upload = [&] { cudaMemcpyAsync(y.data(), values.data(), 16, cudaMemcpyHostToDevice, cuda.stream()); };
    volatile int sink = 0;
    download();
    sink = values[3];
    EXPECT_THAT(error_in([&] { synchronize(cuda); }),
                testing::AllOf(HasSubstr("the host's read at runtime_test.cpp:"), HasSubstr("may not have arrived")));
    upload();
    values[0] = 5;
    EXPECT_THAT(error_in([&] { synchronize(cuda); }), HasSubstr("the source of a copy that may not have been read"));
    sink = *y.data();
    EXPECT_THAT(error_in([&] { synchronize(cuda); }), HasSubstr("device memory, which only kernels and copies can"));
    upload();
    synchronize(cuda);
    values[0] = sink;
    EXPECT_EQ(error_in([&] { synchronize(cuda); }), "");
}

TEST(Runtime, FindsBadCopies) {
    mia::Cuda cuda;
    Device<int> y(cuda, 4);
    std::vector<int> values(8);
    const auto copy = [&](void* to, const void* from, std::size_t bytes, cudaMemcpyKind kind) {
        return error_in([&] {
            cudaMemcpyAsync(to, from, bytes, kind, cuda.stream());
            synchronize(cuda);
        });
    };
    EXPECT_EQ(copy(y.data(), values.data(), 16, cudaMemcpyHostToDevice), "");
    EXPECT_THAT(copy(y.data(), values.data(), 20, cudaMemcpyHostToDevice),
                HasSubstr("20 bytes at byte 0 leave a device allocation of 16 bytes"));
    EXPECT_THAT(copy(values.data(), values.data() + 4, 16, cudaMemcpyDeviceToHost), HasSubstr("source is host memory"));
    EXPECT_THAT(copy(y.data(), y.data(), 16, cudaMemcpyDeviceToHost), HasSubstr("the target is device memory"));
    mia::Tensor<int, 1, mia::Cuda> fresh;
    fresh.resize(cuda, 4);
    if (checks_memory()) {
        EXPECT_THAT(copy(values.data(), fresh.data(), 16, cudaMemcpyDeviceToHost),
                    HasSubstr("cudaMemcpyAsync reads device memory that was never written, byte 0 of 16"));
        const int* freed = fresh.data();
        fresh = {};
        EXPECT_THAT(copy(values.data(), freed, 16, cudaMemcpyDeviceToHost), HasSubstr("not allocated: freed"));
    }
}

TEST(Runtime, FindsBadFrees) {
    mia::Cuda cuda;
    void* memory = nullptr;
    cudaMallocAsync(&memory, 64, cuda.stream());
    synchronize(cuda);
    EXPECT_EQ(leftovers(), "device memory of 64 bytes was never freed\n");
    cudaFreeAsync(static_cast<char*>(memory) + 16, cuda.stream());
    EXPECT_THAT(error_in([&] { synchronize(cuda); }),
                HasSubstr("a pointer that no allocation returned, byte 16 of one of 64 bytes"));
    cudaFreeAsync(memory, cuda.stream());
    EXPECT_EQ(error_in([&] { synchronize(cuda); }), "");
#ifndef MIA_ASAN
    cudaFreeAsync(memory, cuda.stream());
    EXPECT_THAT(error_in([&] { synchronize(cuda); }), HasSubstr("freed before"));
    int local = 0;
    EXPECT_THAT(error_in([&] { cudaFree(&local); }), HasSubstr("a pointer that no allocation returned"));
#endif
    {
        mia::Cuda other;
        cudaFreeAsync(static_cast<char*>(memory) + 16, other.stream());  // an error that a destructor must not throw
    }
    EXPECT_THAT(leftovers(), HasSubstr("cudaStreamDestroy: cudaFree of a pointer"));
    EXPECT_EQ(leftovers(), "");
}

TEST(Runtime, FindsMemoryUsedInAnotherStreamBeforeItsOwn) {
    if (!checks_memory()) GTEST_SKIP() << "loads and stores are checked only with -fsanitize=thread";
    mia::Cuda first, second;
    mia::CudaEvent ready;
    Device<int> y(first, 1);
    // Ordered by an event: the count is 2 whatever the order of streams.
    mia::detail::launch(first, "test", {1, 1}, count_all, y.data());
    ready.record(first);
    ready.hold(second);
    EXPECT_EQ(error_of(second, {1, 1}, count_all, y.data()), "");
    EXPECT_EQ(y.host()[0], 2);
    // Freed in one stream while the other uses it: found in the order that frees first.
    for (const unsigned seed : {0u, 1u}) {
        set_schedule_seed(seed);
        void* memory = nullptr;
        cudaMallocAsync(&memory, 4, first.stream());
        cudaMemsetAsync(memory, 0, 4, first.stream());
        synchronize(first);
        cudaFreeAsync(memory, first.stream());
        mia::detail::launch(second, "test", {1, 1}, count_all, static_cast<int*>(memory));
        const auto error = error_in([&] { cudaDeviceSynchronize(); });
        if (seed == 0) {
            EXPECT_THAT(error, HasSubstr("device memory that was freed"));
        }
    }
    set_schedule_seed(seed_of_this_run());
    EXPECT_THAT(error_in([&] { enqueue(nullptr, {}); }), HasSubstr("default stream"));
}

TEST(Runtime, AnErrorLeavesTheRestUsable) {
    mia::Cuda cuda;
    Device<int> y(cuda, 1);
    {
        mia::Tensor<int, 1, mia::Cuda> late;
        cudaFreeAsync(&late, cuda.stream());
        late.resize(cuda, 100);  // allocated and freed behind the error
        EXPECT_NE(error_in([&] { synchronize(cuda); }), "");
    }
    EXPECT_EQ(error_of(cuda, {1, 1}, count_all, y.data()), "");
    EXPECT_EQ(y.host()[0], 1);
}

// ------------------------------------------------------------------------------------------------ cp.async
struct Tile {
    float x[2][64];
};
template <bool Wait, bool Barrier>
__global__ void staged_copy(const float* x, float* y) {  // 16 lanes copy 64 floats, all 64 threads read them
    auto& tile = mia::detail::shared_memory<Tile>();
    const int i = int(threadIdx.x);
    if (i < 16) __pipeline_memcpy_async(&tile.x[0][4 * i], x + 4 * i, 16);
    __pipeline_commit();
    if (i < 16) __pipeline_memcpy_async(&tile.x[1][4 * i], x + 64 + 4 * i, 16, 4);
    __pipeline_commit();
    if constexpr (Wait) __pipeline_wait_prior(0);
    if constexpr (Barrier) __syncthreads();
    y[i] = tile.x[0][63 - i] + tile.x[1][i];
}
TEST(Runtime, AsynchronousCopiesAreThereAfterWaitAndBarrier) {
    mia::Cuda cuda;
    std::vector<float> x(128);
    for (int i = 0; i < 128; ++i) x[std::size_t(i)] = float(i);
    Device<float> in(cuda, x), y(cuda, 64);
    const mia::detail::LaunchShape shape{1, 64, sizeof(Tile)};
    EXPECT_EQ(error_of(cuda, shape, staged_copy<true, true>, in.data(), y.data()), "");
    const auto got = y.host();
    for (int i = 0; i < 64; ++i) EXPECT_EQ(got[std::size_t(i)], float(63 - i + (i % 4 == 3 ? 0 : 64 + i)));
    if (!checks_memory()) return;
    EXPECT_THAT(error_of(cuda, shape, staged_copy<false, true>, in.data(), y.data()), HasSubstr("uninitialised"));
    EXPECT_THAT(error_of(cuda, shape, staged_copy<true, false>, in.data(), y.data()),
                testing::AnyOf(HasSubstr("race on shared"), HasSubstr("uninitialised shared")));
}

// ------------------------------------------------------------------------------------------------ other headers
TEST(Bfloat16, RoundsToNearestEven) {
    EXPECT_EQ(__float2bfloat16(1.00390625f).bits, 0x3f80);  // a tie
    EXPECT_EQ(__float2bfloat16(1.01171875f).bits, 0x3f82);  // a tie
    for (unsigned b = 0; b < 0x10000; ++b) {
        const __nv_bfloat16 h{static_cast<unsigned short>(b)};
        const float f = __bfloat162float(h);
        if (f == f) {
            EXPECT_EQ(__float2bfloat16(f).bits, b);
        }
    }
}

TEST(Cub, SumsAllBefore) {
    mia::Cuda cuda;
    Device<int> in(cuda, std::vector<int>{7, 8, -9, 10, 11}), out(cuda, 5, -1);
    std::size_t bytes = 0;
    const auto sum = [&](void* storage) {
        return cub::DeviceScan::ExclusiveSum(storage, bytes, in.data(), out.data(), 5, cuda.stream());
    };
    EXPECT_EQ(sum(nullptr), cudaSuccess);
    ASSERT_GT(bytes, 0u);
    Device<unsigned char> storage(cuda, int(bytes));
    EXPECT_EQ(sum(storage.data()), cudaSuccess);
    EXPECT_EQ(out.host(), (std::vector<int>{0, 7, 15, 6, 16}));
    bytes = 1;
    EXPECT_EQ(sum(storage.data()), cudaErrorInvalidValue);
}

}  // namespace
}  // namespace cuda_emulation
