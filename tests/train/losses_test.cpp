#include "mia/train/losses.hpp"

#include "support/golden.hpp"
#include "train/gradient_check.hpp"

namespace mia {
namespace {

using test::DoubleTape;
using test::Input;

/// A loss as one number in the tape's memory, so that gradients can be checked: its value, and its own slope.
template <class Loss>
void check_loss(Loss loss, double (*formula)(double)) {
    test::Random random(1);
    const auto output = random.numbers(3 * 5), target = random.numbers(3 * 5);
    test::DoubleCpu cpu(2);
    DoubleTape tape(cpu);
    const auto value = [&](const test::Numbers& x) {
        double sum = 0;
        for (int i = 0; i < 15; ++i) sum += formula(x[std::size_t(i)] - target[std::size_t(i)]);
        return 0.5 * sum / 15;
    };
    const auto in = tape.variable(View<const double, 2>{output.data(), {3, 5}});
    EXPECT_NEAR(loss(tape, in, View<const double, 2>{target.data(), {3, 5}}, 0.5), value(output), 1e-12);
    tape.backward();
    test::Numbers expected, moved = output;
    for (double& x : moved) {
        const double at = x;
        x = at + 1e-6;
        const double above = value(moved);
        x = at - 1e-6;
        expected.push_back((above - value(moved)) / 2e-6);
        x = at;
    }
    const auto g = tape.gradient_of(in);
    test::expect_near(std::vector<double>(g.data, g.data + 15), expected, 1e-8, "gradient");
}

TEST(Losses, ValuesAndGradients) {
    check_loss([](auto&&... args) { return l1_loss(args...); }, [](double d) { return std::abs(d); });
    check_loss([](auto&&... args) { return mse_loss(args...); }, [](double d) { return d * d; });
    check_loss([](auto& tape, auto output, auto target,
                  double weight) { return charbonnier_loss(tape, output, target, weight, 0.3); },
               [](double d) { return std::sqrt(d * d + 0.09); });
}

TEST(Losses, CharbonnierGolden) {
    const test::Golden golden("ops_basic");
    const auto output = golden("charbonnier.pred"), target = golden("charbonnier.target");
    const int size = int(output.data.size());
    Cpu cpu;
    Tape<Cpu> tape(cpu);
    const auto in = tape.variable(View<const float, 1>{output.data.data(), {size}});
    const double loss = charbonnier_loss(tape, in, View<const float, 1>{target.data.data(), {size}});
    tape.backward();
    EXPECT_NEAR(loss, golden("charbonnier.loss").data[0], 1e-6 * loss);
    test::Errors errors("ops_basic charbonnier");
    errors.compare("grad_pred", tape.gradient_of(in).data, golden("charbonnier.grad_pred").data, 2e-6);
}

TEST(Losses, SparsityIsTheMeanOverBlocks) {
    const test::Golden golden("ops_basic");
    const auto shares = golden("sparsity.maskloss");  // (4, 5, 8): branches, steps, blocks; step 0 is not counted
    Cpu cpu;
    Tape<Cpu> tape(cpu);
    EXPECT_EQ(sparsity_loss(tape), 0) << "without masks";
    for (int branch = 0; branch < 4; ++branch)
        for (int i = 8; i < 40; ++i) tape.count_share(shares.data[std::size_t(branch * 40 + i)]);
    EXPECT_NEAR(sparsity_loss(tape), golden("sparsity.loss").data[0], 1e-6 * golden("sparsity.loss").data[0]);
    EXPECT_DOUBLE_EQ(tape.share_gradient(), 1e-4 / 128);
}

TEST(Losses, Errors) {
    Cpu cpu;
    Tape<Cpu> tape(cpu);
    Tensor<float, 1> outside(3);
    const auto inside = tape.scratch(4);
    const auto message = [&](auto f) {
        try {
            f();
        } catch (const Error& error) {
            return std::string(error.what());
        }
        return std::string("no error");
    };
    EXPECT_EQ(message([&] { l1_loss(tape, inside, outside.view()); }),
              "loss: output (4) and target (3); give both one shape, with elements");
    EXPECT_EQ(message([&] { l1_loss(tape, outside.view(), outside.view()); }),
              "loss: the output does not lie in the tape's memory and would get no gradient; take it from "
              "tape.scratch()");
}

}  // namespace
}  // namespace mia
