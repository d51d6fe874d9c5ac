#include "mia/ops/conv2d/conv2d_sum.hpp"

#include "mia/core/count.hpp"
#include "reference/conv2d.hpp"
#include "support/backends.hpp"

namespace mia {
namespace {

using test::Numbers;

template <class B>
class Conv2dSum : public testing::Test {};
TYPED_TEST_SUITE(Conv2dSum, test::Backends);

template <class B, std::size_t F>
struct ConvolutionSum {
    using T = typename B::Scalar;
    int H, W, I, O, k;
    Numbers x, residual;
    std::array<Numbers, F> weight, bias;
    std::array<PackedConv2d<B>, F> packed;
    std::array<const PackedConv2d<B>*, F> weights;

    ConvolutionSum(B& backend, int height, int width, int in, int out, int kernel)
        : H(height), W(width), I(in), O(out), k(kernel) {
        test::Random random(1000 * H + 100 * W + 10 * I + O + k);
        x = random.numbers(int(F) * H * W * I);
        residual = random.numbers(H * W * O);
        for (std::size_t f = 0; f < F; ++f) {
            weight[f] = random.numbers(O * I * k * k);
            bias[f] = random.numbers(O);
            pack_conv2d<T>(backend, test::place<4>(backend, weight[f], {O, I, k, k}),
                           test::place<1>(backend, bias[f], {O}), packed[f]);
            weights[f] = &packed[f];
        }
    }
    std::vector<T> run(B& backend, bool with_residual) const {
        const auto rest = test::place<3>(backend, residual, {H, W, O});
        auto y = test::place<3>(backend, {H, W, O});
        conv2d_sum(backend, test::place<4>(backend, x, {int(F), H, W, I}), weights, y,
                   with_residual ? View<const T, 3>(rest) : View<const T, 3>{});
        return y.values();
    }
    Numbers expected(bool with_residual) const {
        Numbers sum = with_residual ? residual : Numbers(residual.size());
        for (std::size_t f = 0; f < F; ++f) {
            const auto begin = x.begin() + std::ptrdiff_t(f) * H * W * I;
            const Numbers frame(begin, begin + std::ptrdiff_t(H) * W * I);
            const Numbers y = reference::conv2d(frame, weight[f], bias[f], H, W, I, O, k);
            for (std::size_t i = 0; i < sum.size(); ++i) sum[i] += y[i];
        }
        return sum;
    }
};

template <class B, std::size_t F>
void expect_sum_of_convolutions() {
    const int sizes[][5] = {{1, 1, 1, 1, 1}, {5, 7, 3, 2, 1}, {13, 17, 5, 33, 1}, {3, 101, 8, 16, 1}, {4, 5, 3, 6, 3}};
    for (const auto& [H, W, I, O, k] : sizes)
        for (const int threads : test::thread_counts<B>())
            for (const bool with_residual : {false, true}) {
                auto backend = test::make_backend<B>(threads);
                const ConvolutionSum<B, F> c(backend, H, W, I, O, k);
                backend.reset_work();
                test::expect_near(c.run(backend, with_residual), c.expected(with_residual),
                                  float(F) * test::sum_rounding<typename B::Scalar>,
                                  text(F, " frames of ", H, " x ", W, ", ", I, " -> ", O, ", kernel ", k));
                EXPECT_EQ(backend.work().macs, std::int64_t(F) * H * W * I * O * k * k);
            }
}

TYPED_TEST(Conv2dSum, IsTheSumOfConvolutions) {
    expect_sum_of_convolutions<TypeParam, 1>();
    expect_sum_of_convolutions<TypeParam, 3>();
}

TYPED_TEST(Conv2dSum, SameBytesForAnyNumberOfThreads) {
    auto one = test::make_backend<TypeParam>(1);
    const ConvolutionSum<TypeParam, 3> c(one, 19, 23, 6, 10, 1);
    const auto expected = c.run(one, true);
    for (const int threads : test::thread_counts<TypeParam>()) {
        auto more = test::make_backend<TypeParam>(threads);
        EXPECT_TRUE(test::same_bytes(c.run(more, true), expected)) << threads;
    }
}

TEST(Conv2dSumOfPixels, TakesNoMemory) {
    Cpu cpu;
    const ConvolutionSum<Cpu, 3> c(cpu, 20, 30, 4, 8, 1);
    const auto x = test::place<4>(cpu, c.x, {3, 20, 30, 4});
    auto y = test::place<3>(cpu, {20, 30, 8});
    conv2d_sum(cpu, View<const float, 4>(x), c.weights, y);
    EXPECT_EQ(cpu.scratch_peak(), 0u);

    Count count;
    std::array<PackedConv2d<Count>, 3> packed;
    for (auto& p : packed) p = {8, 4, 1, true};
    conv2d_sum(count, count.scratch(3, 20, 30, 4),
               std::array<const PackedConv2d<Count>*, 3>{&packed[0], &packed[1], &packed[2]}, count.scratch(20, 30, 8));
    EXPECT_EQ(count.scratch_peak(), (3u * 20 * 30 * 4 + 20 * 30 * 8) * sizeof(float));
    EXPECT_EQ(count.macs(), 3 * 20 * 30 * 4 * 8);
}

TEST(Conv2dSumOfPixels, RefusesWhatDoesNotFit) {
    Cpu cpu;
    const ConvolutionSum<Cpu, 2> c(cpu, 4, 5, 3, 2, 1);
    const auto x = test::place<1>(cpu, Numbers(2 * 4 * 5 * 3), {2 * 4 * 5 * 3});
    auto y = test::place<1>(cpu, Numbers(80), {80});
    EXPECT_THROW(conv2d_sum(cpu, x.view().reshape(1, 4, 5, 3), c.weights, y.view().reshape(4, 5, 2)), Error);
    EXPECT_THROW(conv2d_sum(cpu, x.view().reshape(2, 4, 5, 3), c.weights, y.view().reshape(4, 5, 3)), Error);
    EXPECT_THROW(conv2d_sum(cpu, x.view().reshape(2, 4, 5, 3), c.weights, y.view().reshape(5, 4, 2)), Error);
    EXPECT_NO_THROW(conv2d_sum(cpu, x.view().reshape(2, 4, 5, 3), c.weights, y.view().reshape(4, 5, 2)));
}

}  // namespace
}  // namespace mia
