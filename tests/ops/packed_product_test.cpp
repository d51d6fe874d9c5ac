#include "mia/ops/packed_product.hpp"

#include <gtest/gtest.h>

#include <numeric>
#include <vector>

#include "mia/core/micro_kernel.hpp"
#include "reference/numbers.hpp"

namespace mia {
namespace {

TEST(MicroKernel, TilesCoverEveryRowOnceAndAreOfNearlyOneHeight) {
    for (const int most : {6, 12})
        for (int M = 0; M <= 100; ++M) {
            int next = 0, least = most;
            simd::each_tile(M, most, [&](int first, int rows) {
                EXPECT_EQ(first, next);
                EXPECT_GE(rows, 1);
                EXPECT_LE(rows, most);
                least = std::min(least, rows);
                next += rows;
            });
            EXPECT_EQ(next, M);
            if (M >= most) {
                EXPECT_GE(least, most / 2) << M << " rows: a sliver is left";
            }
        }
}

TEST(MicroKernel, RowsBecomeConstants) {
    for (int rows = 1; rows <= 12; ++rows) simd::with_rows<12>(rows, [&]<int Rows>() { EXPECT_EQ(Rows, rows); });
}

template <class T>
class ProductOf : public testing::Test {};
using Scalars = testing::Types<float, double>;
TYPED_TEST_SUITE(ProductOf, Scalars);

TYPED_TEST(ProductOf, AnyMNK) {
    using T = TypeParam;
    test::Random random(1);
    std::vector<int> all_n(40);
    std::iota(all_n.begin(), all_n.end(), 1);
    all_n.insert(all_n.end(), {49, 64, 71, 100, 120, 130});  // several panels, not all of one width
    for (const int N : all_n)
        for (int K = 1; K <= 8; ++K) {
            const auto weight = test::cast<T>(random.numbers(N * K)), bias = test::cast<T>(random.numbers(N));
            PackedWeights<T> packed;
            packed.pack(
                N, K, T(1), [&](int n, int k) { return weight[n * K + k]; }, [&](int n) { return bias[n]; });
            const int stride = K + 2, y_stride = N + 3;  // rows may lie further apart than they are long
            const auto a = test::cast<T>(random.numbers(30 * stride));
            for (int M = 1; M <= 30; ++M) {
                auto y = test::unwritten<T>(M * y_stride);
                detail::product_rows<T>({.weights = packed,
                                         .a = a.data(),
                                         .a_stride = stride,
                                         .segments = 1,
                                         .run = K,
                                         .segment_stride = 0,
                                         .y = y.data(),
                                         .y_stride = y_stride},
                                        M);
                for (int m = 0; m < M; ++m)
                    for (int n = 0; n < y_stride; ++n) {
                        if (n >= N) {
                            ASSERT_TRUE(std::isnan(y[m * y_stride + n])) << "written beyond the row";
                            continue;
                        }
                        double sum = double(bias[n]);
                        for (int k = 0; k < K; ++k) sum += double(a[m * stride + k]) * double(weight[n * K + k]);
                        ASSERT_NEAR(y[m * y_stride + n], sum, test::sum_rounding<T>) << M << " x " << N << " x " << K;
                    }
            }
        }
}

TYPED_TEST(ProductOf, SegmentsAreRunsOfOneSum) {
    using T = TypeParam;
    constexpr int M = 7, N = 19, run = 3, segments = 4, K = run * segments, apart = 50;
    test::Random random(2);
    const auto weight = test::cast<T>(random.numbers(N * K)), a = test::cast<T>(random.numbers(segments * apart));
    PackedWeights<T> packed;
    packed.pack(
        N, K, T(2), [&](int n, int k) { return weight[n * K + k]; }, [](int) { return T(0); });
    auto y = test::unwritten<T>(M * N);
    detail::product_rows<T>({.weights = packed,
                             .a = a.data(),
                             .a_stride = 5,
                             .segments = segments,
                             .run = run,
                             .segment_stride = apart,
                             .y = y.data(),
                             .y_stride = N},
                            M);
    for (int m = 0; m < M; ++m)
        for (int n = 0; n < N; ++n) {
            double sum = 0;
            for (int k = 0; k < K; ++k)
                sum += 2 * double(a[k / run * apart + 5 * m + k % run]) * double(weight[n * K + k]);
            ASSERT_NEAR(y[m * N + n], sum, test::sum_rounding<T>);
        }
}

TYPED_TEST(ProductOf, ARowDoesNotDependOnItsTile) {
    using T = TypeParam;
    constexpr int N = 40, K = 33;
    test::Random random(3);
    const auto weight = test::cast<T>(random.numbers(N * K)), a = test::cast<T>(random.numbers(30 * K));
    PackedWeights<T> packed;
    packed.pack(
        N, K, T(1), [&](int n, int k) { return weight[n * K + k]; }, [](int) { return T(0.25); });
    const auto product = [&](int first, int M) {
        auto y = test::unwritten<T>(M * N);
        detail::product_rows<T>({.weights = packed,
                                 .a = a.data() + first * K,
                                 .a_stride = K,
                                 .segments = 1,
                                 .run = K,
                                 .segment_stride = 0,
                                 .y = y.data(),
                                 .y_stride = N},
                                M);
        return y;
    };
    const auto all = product(0, 30);
    for (int first = 0; first < 30; ++first)
        for (int M = 1; first + M <= 30; M += 4) {
            const auto some = product(first, M);
            ASSERT_TRUE(std::equal(some.begin(), some.end(), all.begin() + first * N)) << first << ", " << M;
        }
}

}  // namespace
}  // namespace mia
