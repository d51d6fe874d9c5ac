#include <gtest/gtest.h>

#include "mia/core/cuda.cuh"
#include "mia/ops/layer_norm/layer_norm_cuda.cuh"
#include "support/backends.hpp"

namespace mia {
namespace {

static_assert(Backend<Cuda> && Backend<BasicCuda<double>>);

using Ints = test::Placed<Cuda, int, 1>;

struct WriteIndex {
    int* y;
    __device__ void operator()(std::ptrdiff_t i) const { y[i] = int(i); }
};
struct WriteRowAndIndex {
    int *y, row_size;
    __device__ void operator()(int row, int i) const { y[row * row_size + i] = 1000 * row + i; }
};

TEST(Cuda, ElementsAndRowsOfAnySize) {
    Cuda cuda;
    for (const int size : {0, 1, 31, 32, 33, 255, 256, 257, 1000}) {
        Ints y(cuda, {size});
        detail::each_element(cuda, "test", size, WriteIndex{y.view().data});
        const auto values = y.values();
        for (int i = 0; i < size; ++i) ASSERT_EQ(values[std::size_t(i)], i) << size;
    }
    for (const int rows : {0, 1, 3})
        for (const int row_size : {0, 1, 40, 300}) {
            Ints y(cuda, {rows * row_size});
            detail::each_in_rows(cuda, "test", rows, row_size, WriteRowAndIndex{y.view().data, row_size});
            const auto values = y.values();
            for (int i = 0; i < rows * row_size; ++i)
                ASSERT_EQ(values[std::size_t(i)], 1000 * (i / row_size) + i % row_size);
        }
    Ints y(cuda, std::vector<int>(12, -1), {12}), count(cuda, {1}, {1});
    detail::each_in_rows(cuda, "test", 4, 3, WriteRowAndIndex{y.view().data, 3}, {count.view().data, 2});
    const auto values = y.values();
    EXPECT_EQ(values[5], 1002);
    EXPECT_EQ(values[6], -1) << "beyond the count";
}

TEST(Cuda, MoreRowsThanAGridHas) {
    Cuda cuda;
    constexpr int rows = 65535 + 7;
    Ints y(cuda, {rows});
    detail::each_in_rows(cuda, "test", rows, 1, WriteRowAndIndex{y.view().data, 1});
    const auto values = y.values();
    for (int i = 0; i < rows; i += 1111) ASSERT_EQ(values[std::size_t(i)], 1000 * i);
    EXPECT_EQ(values.back(), 1000 * (rows - 1));
}

TEST(Cuda, ScratchIsAStackOfDeviceMemory) {
    for (const auto blocks : {ScratchBlocks::pooled, ScratchBlocks::separate}) {
        Cuda cuda(blocks);
        {
            const auto scope = cuda.scope();
            const auto a = cuda.scratch(3, 4, 5);
            EXPECT_EQ(a.size(), 60);
            const auto b = cuda.scratch<int>(7);
            EXPECT_NE(static_cast<void*>(b.data), static_cast<void*>(a.data));
            detail::each_element(cuda, "test", 7, WriteIndex{b.data});
            const auto inner = cuda.scope();
            EXPECT_EQ(cuda.scratch(0, 4).size(), 0);
        }
        EXPECT_GE(cuda.scratch_peak(), 67 * sizeof(float));
        const auto scope = cuda.scope();
        const auto again = cuda.scratch<int>(5);
        detail::each_element(cuda, "test", 5, WriteIndex{again.data});
        synchronize(cuda);
    }
}

TEST(Cuda, BuffersGrowAndOutliveTheirBackend) {
    Tensor<int, 1, Cuda> t;
    {
        Cuda cuda;
        t.resize(cuda, 10);
        const int* place = t.data();
        t.resize(cuda, 5);
        EXPECT_EQ(t.data(), place);
        t.resize(cuda, 11);
        EXPECT_NE(t.data(), place);
    }
    Tensor<int, 1, Cuda> moved = std::move(t);
    EXPECT_EQ(moved.extent(0), 11);
}

TEST(Cuda, EventsOrderTwoBackends) {
    Cuda first, second;
    CudaEvent begin, ready;
    Ints y(first, {100});
    begin.record(first);
    detail::each_element(first, "test", 100, WriteIndex{y.view().data});
    ready.record(first);
    ready.hold(second);
    std::vector<int> values(100);
    download(second, y.view(), View<int, 1>{values.data(), {100}});
    synchronize(second);
    EXPECT_EQ(values[99], 99);
    ready.synchronize();
    EXPECT_GE(ready.milliseconds_since(begin), 0.0f);
}

TEST(Cuda, CountsWork) {
    Cuda cuda;
    cuda.record({"a", nullptr, 10, 40});
    cuda.record({"b", nullptr, 5, 20});
    EXPECT_EQ(cuda.work().macs, 15);
    EXPECT_EQ(cuda.work().dense_macs, 60);
    cuda.reset_work();
    EXPECT_EQ(cuda.work().macs, 0);
}

TEST(Cuda, ErrorsNameOpAndLaunch) {
    Cuda cuda;
    Ints y(cuda, {4});
    const auto message = [&](auto&& f) {
        try {
            f();
        } catch (const Error& error) {
            return std::string(error.what());
        }
        return std::string();
    };
    EXPECT_EQ(message([&] {
                  detail::launch(cuda, "some_op", {{1, 2, 3}, {2048}, 16}, detail::each_element_kernel<WriteIndex>,
                                 WriteIndex{y.view().data}, std::ptrdiff_t(4));
              }),
              "some_op: launch with grid (1, 2, 3), block (2048, 1, 1), 16 bytes of shared memory: invalid "
              "configuration argument");
    std::vector<int> three(3);
    EXPECT_EQ(message([&] { download(cuda, y.view(), View<int, 1>{three.data(), {3}}); }), "download: from (4) to (3)");
}

#ifdef MIA_TEST_CUDA_EMULATED
TEST(Cuda, ASecondPassAllocatesNothingAndNobodyWaits) {
    Cuda cuda;
    Tensor<float, 2, Cuda> state;
    std::vector<float> host(100);
    const auto pass = [&] {
        const auto scope = cuda.scope();
        const auto w = cuda.scratch(10), b = cuda.scratch(10);
        const auto x = cuda.scratch(10, 10);
        state.resize(cuda, 10, 10);
        upload(cuda, View<const float, 2>{host.data(), {10, 10}}, x);
        upload(cuda, View<const float, 1>{host.data(), {10}}, w);
        upload(cuda, View<const float, 1>{host.data(), {10}}, b);
        layer_norm<float>(cuda, x, w, b, state);
    };
    for (int i = 0; i < 2; ++i) pass();
    const auto before = cuda_emulation::statistics();
    for (int i = 0; i < 3; ++i) pass();
    const auto after = cuda_emulation::statistics();
    EXPECT_EQ(after.allocations, before.allocations);
    EXPECT_EQ(after.synchronisations, before.synchronisations);
    synchronize(cuda);
}

/// Sets the machine for a test's length.
class CudaOn : public testing::Test {
protected:
    ~CudaOn() override { cuda_emulation::machine() = before_; }
    static std::string error() {
        try {
            Cuda cuda;
            Tensor<float, 1, Cuda> x;
            x.resize(cuda, 1000);
            synchronize(cuda);
        } catch (const Error& error) {
            return error.what();
        }
        return {};
    }

private:
    cuda_emulation::Machine before_ = cuda_emulation::machine();
};
TEST_F(CudaOn, AMachineWithoutAGpu) {
    auto& machine = cuda_emulation::machine();
    EXPECT_EQ(missing_gpu(), "");
    machine.devices = 0;
    EXPECT_EQ(missing_gpu(),
              "no GPU was found: there is a driver, for CUDA 13.0, and no device that it shows this program "
              "(CUDA_VISIBLE_DEVICES chooses them)");
    machine.driver = 12040;
    EXPECT_EQ(missing_gpu(), "no GPU can be used: the driver knows CUDA 12.4, the program was built with CUDA 13.0");
    machine.driver = 0;
    EXPECT_EQ(error(),
              "Cuda: no GPU was found: the machine has no driver of NVIDIA's. Run on the processor, or where there is "
              "one of NVIDIA's GPUs.");
}
TEST_F(CudaOn, AnOldDevice) {
    cuda_emulation::machine().capability = 75;
    EXPECT_EQ(error(), "");
    try {
        CudaBf16 cuda;
        FAIL() << "made";
    } catch (const Error& error) {
        EXPECT_STREQ(error.what(),
                     "CudaBf16: the GPU has compute capability 7.5, bf16 needs 8.0 or more; use fp32, on Cuda");
    }
}
TEST_F(CudaOn, ADeviceWithTooLittleMemory) {
    cuda_emulation::machine().memory = 4000;
    EXPECT_EQ(error(), "");
    cuda_emulation::machine().memory = 3999;
    EXPECT_EQ(error(),
              "Cuda: 4000 more bytes of device memory are needed, 3999 are free; use smaller frames, tiles or fewer "
              "frames at once: out of memory");
}
#endif

}  // namespace
}  // namespace mia
