/// The wrapper of the tensor cores against naive products, its layouts element by element, and wrong ones.
#include "mia/core/mma.cuh"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "kernel_test.hpp"
#include "reference/numbers.hpp"

namespace cuda_emulation {
namespace {

using mia::Bf16;
using mia::detail::MmaLeft;
using mia::detail::MmaRight;
using mia::detail::MmaSum;
using testing::HasSubstr;

constexpr int stride = 24;  // of 16 columns: rows begin in different banks
struct MmaTile {
    Bf16 a[16][stride], b[16][stride];
};

enum class Right { straight, transposed };
enum class Fault { none, swapped_registers, neighbours_lane, no_barrier };

/// c = a b + c with a, b: (16, 16), or b transposed in memory.
template <Right R, Fault F>
__global__ void product(const Bf16* a, const Bf16* b, float* c) {
    auto& tile = mia::detail::shared_memory<MmaTile>();
    const int lane = int(threadIdx.x);
    for (int i = lane; i < 256; i += 32) {
        tile.a[i / 16][i % 16] = a[i];
        tile.b[i / 16][i % 16] = b[i];
    }
    if (F != Fault::no_barrier) __syncwarp();
    MmaLeft left = mia::detail::load_left(&tile.a[0][0], stride, lane);
    if (F == Fault::swapped_registers) {
        const unsigned x = left.x[1];
        left.x[1] = left.x[2];
        left.x[2] = x;
    }
    MmaRight right[2];
    if (R == Right::straight)
        mia::detail::load_right(&tile.b[0][0], stride, lane, right);
    else
        mia::detail::load_right_transposed(&tile.b[0][0], stride, lane, right);
    if (F == Fault::neighbours_lane) right[1].x[0] = __shfl_xor_sync(0xffffffffu, right[1].x[0], 1);
    for (int half = 0; half < 2; ++half) {
        MmaSum sum;
        const auto at = [&](int i) {
            return c + mia::detail::mma_row(lane, i) * 16 + 8 * half + mia::detail::mma_column(lane, i);
        };
        for (int i = 0; i < 4; ++i) sum.x[i] = *at(i);
        mia::detail::multiply_add(sum, left, right[half]);
        for (int i = 0; i < 4; ++i) *at(i) = sum.x[i];
    }
}

struct Matrices {
    mia::test::Numbers a, b, c;
    explicit Matrices(int seed) {
        mia::test::Random random(seed);
        for (auto* m : {&a, &b, &c})
            for (double& v : * m = random.numbers(256)) v = Bf16(float(v));
    }
    template <Right R, Fault F = Fault::none>
    std::vector<float> on_device() const {
        mia::Cuda cuda;
        Device<Bf16> da(cuda, mia::test::cast<Bf16>(a)), db(cuda, mia::test::cast<Bf16>(b));
        Device<float> dc(cuda, mia::test::cast<float>(c));
        EXPECT_EQ(error_of(cuda, {1, 32, sizeof(MmaTile)}, product<R, F>, da.data(), db.data(), dc.data()), "");
        return dc.host();
    }
    mia::test::Numbers naive(Right right) const {
        mia::test::Numbers y = c;
        for (std::size_t i = 0; i < 16; ++i)
            for (std::size_t j = 0; j < 16; ++j)
                for (std::size_t k = 0; k < 16; ++k)
                    y[16 * i + j] += a[16 * i + k] * (right == Right::straight ? b[16 * k + j] : b[16 * j + k]);
        return y;
    }
};
double largest_error(const std::vector<float>& y, const mia::test::Numbers& expected) {
    double largest = 0;
    for (std::size_t i = 0; i < y.size(); ++i) largest = std::max(largest, std::abs(double(y[i]) - expected[i]));
    return largest;
}

TEST(Mma, IsTheProduct) {
    for (const int seed : {1, 2, 3}) {
        const Matrices m(seed);
        mia::test::expect_near(m.on_device<Right::straight>(), m.naive(Right::straight), 2e-6, "straight");
        mia::test::expect_near(m.on_device<Right::transposed>(), m.naive(Right::transposed), 2e-6, "transposed");
    }
}

TEST(Mma, WrongLanesShow) {
    const Matrices m(4);
    EXPECT_GT(largest_error(m.on_device<Right::straight, Fault::swapped_registers>(), m.naive(Right::straight)), 0.1);
    EXPECT_GT(largest_error(m.on_device<Right::straight, Fault::neighbours_lane>(), m.naive(Right::straight)), 0.1);
}

/// left and right: (32 lanes, registers, 2 elements) as the lanes hold them; one product of both.
__global__ void of_registers(const unsigned* left, const unsigned* right, float* sum) {
    const int lane = int(threadIdx.x);
    MmaLeft a;
    MmaRight b;
    for (int i = 0; i < 4; ++i) a.x[i] = left[4 * lane + i];
    for (int i = 0; i < 2; ++i) b.x[i] = right[2 * lane + i];
    MmaSum c{};
    mia::detail::multiply_add(c, a, b);
    for (int i = 0; i < 4; ++i) sum[4 * lane + i] = c.x[i];
}
/// The table of the PTX ISA, spelled out once more: element (row, k) or (k, column) -> lane, register, half.
struct Place {
    int lane, reg, half;
};
Place place_in_left(int row, int k) { return {row % 8 * 4 + k % 8 / 2, row / 8 + k / 8 * 2, k % 2}; }
Place place_in_right(int k, int column) { return {column * 4 + k % 8 / 2, k / 8, k % 2}; }

TEST(Mma, UnitVectorsLieWhereTheManualSays) {
    mia::Cuda cuda;
    constexpr unsigned one = 0x3f80;  // in bf16
    for (int row = 0; row < 16; row += 3)
        for (int column = 0; column < 8; ++column)
            for (const int k : {0, 1, 6, 9, 15}) {
                std::vector<unsigned> left(32 * 4), right(32 * 2);
                const Place l = place_in_left(row, k), r = place_in_right(k, column);
                left[std::size_t(4 * l.lane + l.reg)] = one << 16 * l.half;
                right[std::size_t(2 * r.lane + r.reg)] = one << 16 * r.half;
                Device<unsigned> a(cuda, left), b(cuda, right);
                Device<float> c(cuda, 32 * 4);
                ASSERT_EQ(error_of(cuda, {1, 32}, of_registers, a.data(), b.data(), c.data()), "");
                const auto sum = c.host();
                for (int lane = 0; lane < 32; ++lane)
                    for (int i = 0; i < 4; ++i) {
                        const bool is_here = lane == row % 8 * 4 + column / 2 && i == column % 2 + row / 8 * 2;
                        ASSERT_EQ(sum[std::size_t(4 * lane + i)], is_here ? 1.0f : 0.0f)
                            << row << ", " << k << ", " << column << ": lane " << lane << ", " << i;
                    }
            }
}

/// (16, 16) -> rounded, through a product with the unit matrix.
__global__ void rounded_sums(const float* x, float* y) {
    const int lane = int(threadIdx.x);
    MmaSum sums[2];
    for (int half = 0; half < 2; ++half)
        for (int i = 0; i < 4; ++i)
            sums[half].x[i] = x[mia::detail::mma_row(lane, i) * 16 + 8 * half + mia::detail::mma_column(lane, i)];
    const MmaLeft left = mia::detail::round_to_left(sums[0], sums[1]);
    for (int half = 0; half < 2; ++half) {
        MmaRight unit{};
        for (int i = 0; i < 4; ++i) {
            const int k = lane % 4 * 2 + i / 2 * 8 + i % 2;
            if (k == 8 * half + lane / 4) unit.x[i / 2] |= 0x3f80u << i % 2 * 16;
        }
        MmaSum sum{};
        mia::detail::multiply_add(sum, left, unit);
        for (int i = 0; i < 4; ++i)
            y[mia::detail::mma_row(lane, i) * 16 + 8 * half + mia::detail::mma_column(lane, i)] = sum.x[i];
    }
}
TEST(Mma, ASumBecomesALeftSide) {
    mia::Cuda cuda;
    const auto x = mia::test::cast<float>(mia::test::Random(5).numbers(256));
    Device<float> from(cuda, x), to(cuda, 256);
    ASSERT_EQ(error_of(cuda, {1, 32}, rounded_sums, from.data(), to.data()), "");
    const auto y = to.host();
    for (std::size_t i = 0; i < 256; ++i) EXPECT_EQ(y[i], float(Bf16(x[i]))) << i;
}

__global__ void half_a_warp(const unsigned* left, const unsigned* right, float* sum) {
    MmaLeft a{{left[0], left[1], left[2], left[3]}};
    MmaRight b{{right[0], right[1]}};
    MmaSum c{};
    if (threadIdx.x < 16) mia::detail::multiply_add(c, a, b);
    sum[threadIdx.x] = c.x[0];
}
__global__ void odd_rows(const Bf16*, const Bf16*, float* c) {
    auto& tile = mia::detail::shared_memory<MmaTile>();
    c[0] = float(mia::detail::load_left(&tile.a[0][0], stride - 4, int(threadIdx.x)).x[0]);
}
__global__ void rows_of_the_device(const Bf16* a, const Bf16*, float* c) {
    c[0] = float(mia::detail::load_left(a, 16, int(threadIdx.x)).x[0]);
}
TEST(Mma, FindsWhatIsUndefined) {
    mia::Cuda cuda;
    Device<unsigned> registers(cuda, 128);
    Device<Bf16> x(cuda, 256, Bf16(1.0f));
    Device<float> y(cuda, 256);
    EXPECT_THAT(
        error_of(cuda, {1, 32}, half_a_warp, registers.data(), registers.data(), y.data()),
        testing::AnyOf(HasSubstr("which has returned"), HasSubstr("16 threads (0 to 15) wait at a warp intrinsic")));
    EXPECT_THAT(error_of(cuda, {1, 32, sizeof(MmaTile)}, odd_rows, x.data(), x.data(), y.data()),
                HasSubstr("ldmatrix: a row must be 16 aligned bytes of shared memory"));
    EXPECT_THAT(error_of(cuda, {1, 32, sizeof(MmaTile)}, rows_of_the_device, x.data(), x.data(), y.data()),
                HasSubstr("ldmatrix: a row must be 16 aligned bytes of shared memory"));
    if (checks_memory()) {
        EXPECT_THAT(error_of(cuda, {1, 32, sizeof(MmaTile)}, product<Right::straight, Fault::no_barrier>, x.data(),
                             x.data(), y.data()),
                    testing::AnyOf(HasSubstr("race on shared memory"), HasSubstr("uninitialised shared memory")));
    }
}

}  // namespace
}  // namespace cuda_emulation
