#include "train/gradient_check.hpp"

namespace mia {
namespace {

using test::DoubleTape;
using test::Input;

TEST(ElementwiseVjp, AddAndCopy) {
    test::Random random(1);
    test::check_gradients({{random.numbers(15)}, {random.numbers(15)}},
                          [](DoubleTape& tape, const std::vector<Input>& in) {
                              const auto sum = tape.scratch(5, 3), copied = tape.scratch(5, 3), y = tape.scratch(5, 3);
                              add(tape, in[0].as(5, 3), in[1].as(5, 3), sum);
                              copy(tape, sum, copied);
                              add(tape, copied, in[0].as(5, 3), y);  // an input twice
                              return y;
                          });
    test::check_gradients({{random.numbers(9)}}, [](DoubleTape& tape, const std::vector<Input>& in) {
        const auto y = tape.scratch(3, 3);
        add(tape, in[0].as(3, 3), in[0].as(3, 3), y);
        return y;
    });
}

TEST(ElementwiseVjp, Activations) {
    for (const auto activation : {Activation::none, Activation::relu, Activation::leaky_relu, Activation::gelu})
        test::check_gradients({{{-9, -3, -1, -0.25, 0.25, 0.5, 1, 2, 4, 9}}},
                              [=](DoubleTape& tape, const std::vector<Input>& in) {
                                  const auto y = tape.scratch(2, 5);
                                  activate(tape, in[0].as(2, 5), activation, y);
                                  return y;
                              });
}

/// The vector form in float against the formula.
TEST(ElementwiseVjp, GeluSlopeInFloat) {
    Cpu cpu;
    constexpr int n = 4001;
    std::vector<float> x(n), dy(n, 1.0f), slope(n);
    for (int i = 0; i < n; ++i) x[std::size_t(i)] = -10 + 20.0f * float(i) / (n - 1);
    activate_gradient<float>(cpu, {x.data(), {1, n}}, Activation::gelu, {dy.data(), {1, n}}, {slope.data(), true});
    test::Numbers expected;
    for (const double v : x)
        expected.push_back(std::erfc(-v / std::sqrt(2.0)) / 2 + v * std::exp(-v * v / 2) / std::sqrt(8 * std::atan(1)));
    test::expect_near(slope, expected, 3e-7, "slope");
}

TEST(ElementwiseVjp, AnOverwrittenResultGetsNoGradient) {
    test::check_gradients({{{1, 2, 3, 4}}}, [](DoubleTape& tape, const std::vector<Input>& in) {
        const auto y = tape.scratch(2, 2), z = tape.scratch(2, 2);
        copy(tape, in[0].as(2, 2), y);
        fill_zero(tape, y);
        add(tape, y, in[0].as(2, 2), z);
        return z;
    });
}

TEST(ElementwiseVjp, Channels) {
    test::Random random(2);
    const test::Numbers mean = random.numbers(3), std = {0.5, 2, 0.25};
    test::check_gradients(
        {{random.numbers(4 * 3)}, {random.numbers(4 * 2)}, {random.numbers(4)}},
        [&](DoubleTape& tape, const std::vector<Input>& in) {
            const auto normed = tape.scratch(4, 3), all = tape.scratch(4, 6);
            normalize_channels(tape, in[0].as(4, 3), {mean.data(), {3}}, {std.data(), {3}}, normed);
            normalize_channels(tape, normed, {mean.data(), {3}}, {std.data(), {3}}, normed);  // in place
            concat_channels(tape, normed, in[1].as(4, 2), in[2].as(4, 1), all);
            return all;
        });
}

/// A detour through float, where gradients are floats too.
TEST(ElementwiseVjp, ConvertAndFlows) {
    test::Random random(3);
    test::check_gradients(
        {{random.numbers(12)}, {random.numbers(12)}},
        [](DoubleTape& tape, const std::vector<Input>& in) {
            const auto a = tape.scratch<float>(2, 3, 2), b = tape.scratch<float>(2, 3, 2),
                       sum = tape.scratch<float>(2, 3, 2);
            const auto y = tape.scratch(6, 2);
            convert(tape, in[0].as(6, 2), rows_of(a));
            convert(tape, in[1].as(6, 2), rows_of(b));
            add_flows(tape, a, b, sum);
            convert(tape, rows_of(sum), y);
            return y;
        },
        1e-4, 1 / 64.0);
}

TEST(ElementwiseVjp, WritingOverWhatAGradientNeedsIsAnError) {
    test::DoubleCpu cpu;
    DoubleTape tape(cpu, {}, {.check_writes = true});
    const auto x = tape.scratch(2, 2), y = tape.scratch(2, 2);
    fill_zero(tape, x);
    activate(tape, x, Activation::gelu, y);
    try {
        fill_zero(tape, x.slice(1, 1));
        FAIL() << "no error";
    } catch (const Error& error) {
        EXPECT_STREQ(
            error.what(),
            "Tape: a result of shape (1, 2) overwrites values that an earlier op's gradient needs; give the op "
            "scratch of its own");
    }
}

}  // namespace
}  // namespace mia
