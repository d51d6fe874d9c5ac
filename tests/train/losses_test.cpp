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

/// Flows that reach over the frame's edges and stay away from the pixels' centres, where bilinear sampling has a
/// corner.
std::vector<float> flow_over_the_edges(int H, int W) {
    test::Random random(4);
    std::vector<float> flow;
    for (int i = 0; i < 2 * H * W; ++i)
        flow.push_back(float(std::floor(random.number(-2, 2)) + random.number(0.2, 0.8)));
    return flow;
}

/// The slope of value(flow) by central differences; steps are binary fractions, as flows are float.
template <class Value>
test::Numbers flow_slope(std::vector<float> flow, Value value, float step = 1 / 1024.f) {
    test::Numbers slope;
    for (float& x : flow) {
        const float at = x;
        x = at + step;
        const double above = value(flow), high = x;
        x = at - step;
        slope.push_back((above - value(flow)) / (high - double(x)));
        x = at;
    }
    return slope;
}

template <class Loss, class Value>
void check_flow_loss(int H, int W, Loss loss, Value value, double bound) {
    const std::vector<float> flow = flow_over_the_edges(H, W);
    test::DoubleCpu cpu(2, ScratchFill::nan);
    DoubleTape tape(cpu, {}, {.check_writes = true, .fill = ScratchFill::nan});
    const auto in = tape.variable(View<const float, 3>{flow.data(), {H, W, 2}});
    EXPECT_NEAR(loss(tape, in), value(flow), 1e-6) << H << " x " << W;
    tape.backward();
    const auto g = tape.gradient_of(in);
    test::expect_near(std::vector<double>(g.data, g.data + g.size()), flow_slope(flow, value), bound, "gradient");
}

TEST(Losses, EndPointErrorIsTheMeanLength) {
    for (const auto& [H, W] : {std::pair(3, 5), {1, 1}}) {
        const auto target = test::cast<float>(test::Random(5).numbers(2 * H * W));
        check_flow_loss(
            H, W,
            [&, H = H, W = W](DoubleTape& tape, View<const float, 3> flow) {
                return end_point_error(tape, flow, {target.data(), {H, W, 2}}, 0.5, 0.5);
            },
            [&](const std::vector<float>& flow) {
                double sum = 0;
                for (std::size_t p = 0; p < flow.size(); p += 2)
                    sum += std::hypot(double(flow[p]) - double(target[p]), double(flow[p + 1]) - double(target[p + 1]),
                                      0.5);
                return sum / double(flow.size());
            },
            2e-6);
    }
}

/// The mean Charbonnier distance over the pixels that stay, mixed by hand.
double warped_distance(const std::vector<float>& flow, const test::Numbers& ref, const test::Numbers& supp, int H,
                       int W, double eps) {
    double sum = 0;
    int count = 0;
    for (int i = 0; i < H; ++i)
        for (int j = 0; j < W; ++j) {
            const double x = j + double(flow[std::size_t(2 * (i * W + j))]),
                         y = i + double(flow[std::size_t(2 * (i * W + j) + 1)]);
            if (x < 0 || x > W - 1 || y < 0 || y > H - 1) continue;
            const int left = int(x), top = int(y);
            for (int c = 0; c < 3; ++c, ++count) {
                double mixed = 0;
                for (int a = 0; a < 2; ++a)
                    for (int b = 0; b < 2; ++b)
                        mixed += (a ? y - top : top + 1 - y) * (b ? x - left : left + 1 - x) *
                                 supp[std::size_t(((top + a) * W + left + b) * 3 + c)];
                const double d = mixed - ref[std::size_t((i * W + j) * 3 + c)];
                sum += std::sqrt(d * d + eps * eps);
            }
        }
    return count == 0 ? 0 : sum / count;
}

TEST(Losses, PhotometricCountsWhatStaysInTheFrame) {
    test::Random random(6);
    for (const auto& [H, W] : {std::pair(5, 7), {2, 9}}) {
        const auto ref = random.numbers(H * W * 3, 0, 1), supp = random.numbers(H * W * 3, 0, 1);
        check_flow_loss(
            H, W,
            [&, H = H, W = W](DoubleTape& tape, View<const float, 3> flow) {
                return photometric_loss(tape, {ref.data(), {H, W, 3}}, {supp.data(), {H, W, 3}}, flow, 0.5, 0.1);
            },
            [&, H = H, W = W](const std::vector<float>& flow) {
                return 0.5 * warped_distance(flow, ref, supp, H, W, 0.1);
            },
            2e-5);
    }
}

TEST(Losses, PhotometricIsZeroWhereAllPixelsLeave) {
    Cpu cpu;
    Tape<Cpu> tape(cpu);
    const std::vector<float> frame(2 * 3 * 3, 0.5f), away(2 * 3 * 2, 5.f);
    const View<const float, 3> picture{frame.data(), {2, 3, 3}};
    const auto flow = tape.variable(View<const float, 3>{away.data(), {2, 3, 2}});
    EXPECT_EQ(photometric_loss(tape, picture, picture, flow), 0);
    tape.backward();
    for (int i = 0; i < 12; ++i) EXPECT_EQ(tape.gradient_of(flow).data[i], 0);
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
    Tensor<float, 3> flow(2, 3, 2), frame(2, 3, 3);
    EXPECT_EQ(message([&] { end_point_error(tape, flow.view(), frame.view()); }),
              "loss: output (2, 3, 2) and target (2, 3, 3); give both one shape, with elements");
    EXPECT_EQ(message([&] { photometric_loss(tape, frame.view(), frame.view(), flow.view()); }),
              "photometric_loss: the flow does not lie in the tape's memory and would get no gradient; take it from "
              "tape.scratch<float>()");
}

}  // namespace
}  // namespace mia
