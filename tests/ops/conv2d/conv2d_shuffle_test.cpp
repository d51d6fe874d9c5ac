#include "mia/ops/conv2d/conv2d_shuffle.hpp"

#include "reference/numbers.hpp"
#include "support/golden.hpp"

namespace mia {
namespace {

template <class T>
class Conv2dShuffle : public testing::Test {};
using Scalars = testing::Types<float, double>;
TYPED_TEST_SUITE(Conv2dShuffle, Scalars);

template <class T>
struct Case {
    int H, W, I, K, factor, k;
    std::vector<T> x, residual;
    PackedConv2d<BasicCpu<T>> packed;

    Case(BasicCpu<T>& cpu, int height, int width, int in, int out, int r, int kernel)
        : H(height), W(width), I(in), K(out), factor(r), k(kernel) {
        test::Random random(1000 * H + 100 * W + 10 * I + K);
        x = test::cast<T>(random.numbers(H * W * I));
        residual = test::cast<T>(random.numbers(r * H * r * W * K));
        const int O = r * r * K;
        const auto weight = test::cast<T>(random.numbers(O * I * k * k)), bias = test::cast<T>(random.numbers(O));
        pack_conv2d<T>(cpu, {weight.data(), {O, I, k, k}}, {bias.data(), {O}}, packed);
    }
    template <class F>
    std::vector<T> run(F&& op) const {
        auto y = test::unwritten<T>(factor * H * factor * W * K);
        op(View<const T, 3>{x.data(), {H, W, I}}, View<T, 3>{y.data(), {factor * H, factor * W, K}},
           View<const T, 3>{residual.data(), {factor * H, factor * W, K}});
        return y;
    }
};

TYPED_TEST(Conv2dShuffle, IsAConvolutionThenAShuffle) {
    using T = TypeParam;
    const int sizes[][6] = {{1, 1, 1, 1, 1, 1},  {3, 5, 3, 2, 2, 3},   {2, 97, 4, 3, 4, 3},
                            {4, 6, 5, 64, 2, 3}, {1, 200, 2, 5, 3, 3}, {3, 2, 4, 1, 2, 7}};
    for (const auto& [H, W, I, K, r, k] : sizes)
        for (const int threads : {1, 3})
            for (const Activation activation : {Activation::none, Activation::leaky_relu}) {
                BasicCpu<T> cpu(threads, ScratchFill::nan);
                const Case<T> c(cpu, H, W, I, K, r, k);
                const int factor = r;
                for (const bool with_residual : {false, true}) {
                    const auto fused = c.run([&](auto x, auto y, auto residual) {
                        conv2d_shuffle(cpu, x, c.packed, factor, y, activation,
                                       with_residual ? residual : decltype(residual){});
                    });
                    const auto expected = c.run([&](auto x, auto y, auto residual) {
                        const auto scope = cpu.scope();
                        const auto wide = cpu.scratch(x.extent(0), x.extent(1), factor * factor * y.extent(2));
                        conv2d(cpu, x, c.packed, wide);
                        pixel_shuffle(cpu, wide, factor, y, activation,
                                      with_residual ? residual : decltype(residual){});
                    });
                    EXPECT_TRUE(test::same_bytes(fused, expected)) << text(H, " x ", W, ", factor ", factor);
                }
            }
}

TYPED_TEST(Conv2dShuffle, CountsAConvolution) {
    using T = TypeParam;
    BasicCpu<T> cpu(1, ScratchFill::nan);
    const Case<T> c(cpu, 3, 4, 5, 2, 2, 3);
    cpu.reset_work();
    c.run([&](auto x, auto y, auto) { conv2d_shuffle(cpu, x, c.packed, 2, y); });
    EXPECT_EQ(cpu.work().macs, 3 * 4 * 5 * 8 * 9);
}

TYPED_TEST(Conv2dShuffle, Errors) {
    using T = TypeParam;
    BasicCpu<T> cpu(1, ScratchFill::nan);
    const Case<T> c(cpu, 3, 4, 5, 2, 2, 3);
    c.run([&](auto x, auto y, auto) {
        EXPECT_THROW(conv2d_shuffle(cpu, x, c.packed, 4, y), Error);
        EXPECT_THROW(conv2d_shuffle(cpu, x, c.packed, 2, y, Activation::gelu), Error);
        PackedConv2d<BasicCpu<T>> unpacked;
        EXPECT_THROW(conv2d_shuffle(cpu, x, unpacked, 2, y), Error);
    });
}

}  // namespace
}  // namespace mia
