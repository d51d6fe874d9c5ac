// The masked block in bf16: its error is at most twice that of the reference whose tensors are rounded to bf16 wherever
// one op hands them to the next.
#include "mia/nn/masked_block.hpp"
#include "reference/masked_block.hpp"
#include "support/backends.hpp"

namespace mia {
namespace {

using test::Numbers;

void round_to_bf16(Numbers& x) {
    for (double& v : x) v = Bf16(float(v));
}
Numbers rounded(Numbers x) {
    round_to_bf16(x);
    return x;
}

struct Error2 {
    double root_mean_square = 0, largest = 0;
    Error2(const Numbers& a, const Numbers& b) {
        for (std::size_t i = 0; i < a.size(); ++i) {
            root_mean_square += (a[i] - b[i]) * (a[i] - b[i]) / double(a.size());
            largest = std::isnan(a[i]) ? a[i] : std::max(largest, std::abs(a[i] - b[i]));
        }
        root_mean_square = std::sqrt(root_mean_square);
    }
};

template <class B, AttentionConfig A, BlockKernel K>
void within_twice_the_rounding(int H, int W, Shift shift) {
    constexpr int C = A.embed_dim, before = A.window.frames - 1;
    SCOPED_TRACE(text(H, " x ", W, ", C = ", C, ", heads ", A.num_heads, K == BlockKernel::fused ? ", fused" : ""));
    using Block = MaskedBlock<BlockConfig{.attention = A, .kernel = K}, B, InterFrameAttention>;
    test::Random random(C);
    auto backend = test::make_backend<B>();
    Network<Block, B> block(backend);
    std::map<std::string, Numbers> parameters;
    const auto set = [&](const std::string& name, const auto& p) {
        const double size = p.shape.size() > 1 ? 1.7 / std::sqrt(double(p.size) / p.shape[0]) : 0.2;
        Numbers numbers = random.numbers(p.size, -size, size);
        if (name.find("norm") != std::string::npos && name.ends_with("weight"))
            for (double& v : numbers) v += 1;
        // The mask: |change| summed over channels, far from the limit on both sides.
        if (name.ends_with("rnn.weight")) numbers.assign(numbers.size(), 1.0);
        if (name.ends_with("rnn.bias")) numbers = {-0.25};
        parameters[name] = rounded(numbers);
        for (std::ptrdiff_t i = 0; i < p.size; ++i) p.data[i] = Bf16(float(numbers[std::size_t(i)]));
    };
    block.on_host(backend, [&](auto& module) { for_each_parameter(module, set); });
    prepare(backend, *block);
    reference::MaskedBlock exact{{H, W, A.window.height, A.window.width, shift == Shift::half_window},
                                 before + 1,
                                 C,
                                 A.num_heads,
                                 2,
                                 parameters,
                                 {},
                                 {},
                                 {}};
    reference::MaskedBlock straight = exact;
    straight.crossing = round_to_bf16;
    typename Block::State state;
    Numbers x = rounded(random.numbers(H * W * C, -2, 2));
    const Numbers cond = rounded(random.numbers(before * H * W * C, -2, 2));
    for (int t = 0; t < 2; ++t) {
        auto y = test::place<4>(backend, {1, H, W, C});
        block->forward(backend, shift, test::place<4>(backend, x, {1, H, W, C}),
                       test::place<4>(backend, cond, {before, H, W, C}), t == 0 ? Reuse::start : Reuse::masked, state,
                       y);
        const auto values = y.values();
        Numbers keep, result(values.begin(), values.end());
        const Numbers expected = exact.forward(x, cond, t > 0, keep);
        const Error2 error(result, expected), rounding(straight.forward(x, cond, t > 0, keep), expected);
        EXPECT_LE(error.root_mean_square, 2 * rounding.root_mean_square) << "frame " << t;
        EXPECT_LE(error.largest, 2 * rounding.largest) << "frame " << t;
        for (int p = 0; p < H * W; p += 3)  // of every third pixel the features change their sign
            for (int c = 0; c < C; ++c) x[std::size_t(p * C + c)] *= -1;
    }
}

constexpr AttentionConfig lite{.embed_dim = 32, .num_heads = 2}, odd_head{18, 2, {3, 5, 5}}, odd{5, 1, {2, 4, 6}};

template <class B>
class Bf16Block : public testing::Test {};
TYPED_TEST_SUITE(Bf16Block, test::NarrowBackends);

TYPED_TEST(Bf16Block, ErrorsAreThoseOfItsNumbers) {
    within_twice_the_rounding<TypeParam, lite, BlockKernel::fused>(13, 18, Shift::half_window);
    within_twice_the_rounding<TypeParam, odd_head, BlockKernel::fused>(11, 12, Shift::none);
    within_twice_the_rounding<TypeParam, odd, BlockKernel::fused>(9, 13, Shift::half_window);
}
TYPED_TEST(Bf16Block, ComposedToo) {
    within_twice_the_rounding<TypeParam, odd_head, BlockKernel::composed>(11, 12, Shift::half_window);
}

}  // namespace
}  // namespace mia
