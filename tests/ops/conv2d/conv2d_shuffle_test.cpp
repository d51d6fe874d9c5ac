#include "mia/ops/conv2d/conv2d_shuffle.hpp"

#include "support/backends.hpp"

namespace mia {
namespace {

template <class B>
class Conv2dShuffle : public testing::Test {};
TYPED_TEST_SUITE(Conv2dShuffle, test::Backends);

template <class B>
struct ShuffleCase {
    using T = typename B::Scalar;
    int H, W, I, K, factor;
    B& backend;
    test::Placed<B, T, 3> x, residual;
    PackedConv2d<B> packed;

    ShuffleCase(B& b, int height, int width, int in, int out, int r, int k)
        : H(height),
          W(width),
          I(in),
          K(out),
          factor(r),
          backend(b),
          x(test::place<3>(b, test::Random(H + W + I + K).numbers(H * W * I), {H, W, I})),
          residual(test::place<3>(b, test::Random(1).numbers(r * H * r * W * K), {r * H, r * W, K})) {
        test::Random random(1000 * H + 100 * W + 10 * I + K);
        const int O = r * r * K;
        const auto weight = random.numbers(O * I * k * k), bias = random.numbers(O);
        pack_conv2d<T>(b, test::place<4>(b, weight, {O, I, k, k}), test::place<1>(b, bias, {O}), packed);
    }
    template <class F>
    std::vector<T> run(F&& op) const {
        auto y = test::place<3>(backend, {factor * H, factor * W, K});
        op(View<const T, 3>(x), y.view(), View<const T, 3>(residual));
        return y.values();
    }
};

TYPED_TEST(Conv2dShuffle, IsAConvolutionThenAShuffle) {
    const int sizes[][6] = {{1, 1, 1, 1, 1, 1},  {3, 5, 3, 2, 2, 3},   {2, 97, 4, 3, 4, 3},
                            {4, 6, 5, 64, 2, 3}, {1, 200, 2, 5, 3, 3}, {3, 2, 4, 1, 2, 7}};
    for (const auto& [H, W, I, K, r, k] : sizes)
        for (const int threads : test::thread_counts<TypeParam>())
            for (const Activation activation : {Activation::none, Activation::leaky_relu}) {
                auto backend = test::make_backend<TypeParam>(threads);
                const ShuffleCase<TypeParam> c(backend, H, W, I, K, r, k);
                const int factor = r;
                for (const bool with_residual : {false, true}) {
                    const auto fused = c.run([&](auto x, auto y, auto residual) {
                        conv2d_shuffle(backend, x, c.packed, factor, y, activation,
                                       with_residual ? residual : decltype(residual){});
                    });
                    const auto expected = c.run([&](auto x, auto y, auto residual) {
                        const auto scope = backend.scope();
                        const auto wide = backend.scratch(x.extent(0), x.extent(1), factor * factor * y.extent(2));
                        conv2d(backend, x, c.packed, wide);
                        pixel_shuffle(backend, wide, factor, y, activation,
                                      with_residual ? residual : decltype(residual){});
                    });
                    EXPECT_TRUE(test::same_bytes(fused, expected)) << text(H, " x ", W, ", factor ", factor);
                }
            }
}

TYPED_TEST(Conv2dShuffle, CountsAConvolution) {
    auto backend = test::make_backend<TypeParam>(1);
    const ShuffleCase<TypeParam> c(backend, 3, 4, 5, 2, 2, 3);
    backend.reset_work();
    c.run([&](auto x, auto y, auto) { conv2d_shuffle(backend, x, c.packed, 2, y); });
    EXPECT_EQ(backend.work().macs, 3 * 4 * 5 * 8 * 9);
}

TYPED_TEST(Conv2dShuffle, Errors) {
    auto backend = test::make_backend<TypeParam>(1);
    const ShuffleCase<TypeParam> c(backend, 3, 4, 5, 2, 2, 3);
    c.run([&](auto x, auto y, auto) {
        EXPECT_THROW(conv2d_shuffle(backend, x, c.packed, 4, y), Error);
        EXPECT_THROW(conv2d_shuffle(backend, x, c.packed, 2, y, Activation::gelu), Error);
        PackedConv2d<TypeParam> unpacked;
        EXPECT_THROW(conv2d_shuffle(backend, x, unpacked, 2, y), Error);
        conv2d_shuffle(backend, x, c.packed, 2, y);
    });
}

}  // namespace
}  // namespace mia
