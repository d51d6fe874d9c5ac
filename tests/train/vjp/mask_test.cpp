#include "support/golden.hpp"
#include "train/gradient_check.hpp"

namespace mia {
namespace {

using test::DoubleTape;
using test::Input;
using test::Numbers;

double gumbel(double u) { return -std::log(-std::log(u + 1e-8) + 1e-8); }

/// Gives out the same numbers in each run.
Uniform repeated(const std::vector<float>& numbers, std::size_t& at) {
    return [&](std::span<float> to) {
        for (float& x : to) x = numbers[at++ % numbers.size()];
    };
}

/// The predictor and both places where its mask decides, against the formulas in double loops.
TEST(MaskVjp, StraightThroughEstimator) {
    const WindowGrid grid{5, 7, {3, 4, 4}, Shift::half_window};
    const int P = grid.pixels(), C = 3, windows = grid.windows(), N = grid.window.tokens();
    test::Random random(1);
    const Numbers q = random.numbers(P * C), before = random.numbers(P * C), weight = random.numbers(C);
    const Numbers result = random.numbers(P * C), old = random.numbers(P * C), target = random.numbers(P * C);
    const double bias = -0.1, sparsity = 0.7;
    std::vector<float> noise;
    for (const double u : random.numbers(2 * windows * N, 0, 1)) noise.push_back(float(u));
    std::size_t drawn = 0;

    test::DoubleCpu cpu(2, ScratchFill::nan);
    DoubleTape tape(cpu, {}, {.check_writes = true, .fill = ScratchFill::nan}, repeated(noise, drawn));
    const auto variable = [&](const Numbers& x, int rows, int columns) {
        return tape.variable(View<const double, 2>{x.data(), {rows, columns}});
    };
    const auto q_in = variable(q, P, C), weight_in = variable(weight, 1, C), result_in = variable(result, P, C);
    const auto bias_in = tape.variable(View<const double, 1>{&bias, {1}});
    Tensor<double, 2, DoubleTape> kept;
    kept.resize(tape, P, C);
    std::copy(old.begin(), old.end(), kept.data());
    const auto keep = tape.scratch<std::uint8_t>(P);
    predict_mask(tape, grid, q_in, View<const double, 2>{before.data(), {P, C}}, weight_in, bias_in, keep);
    auto rows = make_active_rows(tape, grid, 1);
    select_rows(tape, grid, 1, View<const std::uint8_t, 3>(keep.reshape(1, 5, 7)), rows);
    const auto y = masked_rows(tape, rows, View<const std::uint8_t, 1>(keep), P, C, &kept, [&] {
        const auto gathered = tape.scratch(P, C);
        gather_rows(tape, result_in, rows, gathered);
        return View<const double, 2>(gathered);
    });
    EXPECT_EQ(drawn, noise.size());
    mse_loss(tape, y, View<const double, 2>{target.data(), {P, C}}, P * C);
    sparsity_loss(tape, sparsity);
    tape.backward();

    Numbers d_weight(C), d_bias(1), d_result(std::size_t(P * C), 0), expected;
    int keeps = 0;
    for (int w = 0; w < windows; ++w)
        for (int n = 0; n < N; ++n) {
            const int p = grid.pixel(w, n);
            double logit = bias, d_keep = sparsity / (windows * N);
            for (int c = 0; p >= 0 && c < C; ++c)
                logit += weight[std::size_t(c)] * std::abs(q[std::size_t(p * C + c)] - before[std::size_t(p * C + c)]);
            const auto u = std::size_t(w * N + n);
            const double noisy = logit + gumbel(noise[u]) - gumbel(noise[u + std::size_t(windows * N)]);
            const double soft = 1 / (1 + std::exp(-noisy * 1.5));
            keeps += soft >= 0.5;
            for (int c = 0; p >= 0 && c < C; ++c) {
                const auto at = std::size_t(p * C + c);
                const double now = soft >= 0.5 ? result[at] : old[at], slope = 2 * (now - target[at]);
                EXPECT_EQ(y.data[at], now);
                EXPECT_EQ(kept.data()[at], now) << "the new state";
                d_keep += slope * (result[at] - old[at]);
                d_result[at] = soft >= 0.5 ? slope : 0;
            }
            const double d_logit = d_keep * soft * (1 - soft) * 1.5;
            d_bias[0] += d_logit;
            for (int c = 0; p >= 0 && c < C; ++c)
                d_weight[std::size_t(c)] +=
                    d_logit * std::abs(q[std::size_t(p * C + c)] - before[std::size_t(p * C + c)]);
        }
    EXPECT_NEAR(tape.mask_share().mean(), double(keeps) / (windows * N), 1e-12);
    const auto gradient = [&](auto view) {
        const auto g = tape.gradient_of(view);
        return std::vector<double>(g.data, g.data + g.size());
    };
    test::expect_near(gradient(weight_in), d_weight, 1e-6, "weight");  // tau is a float
    test::expect_near(gradient(bias_in), d_bias, 1e-6, "bias");
    test::expect_near(gradient(result_in), d_result, 1e-12, "result");
    test::expect_near(gradient(q_in), Numbers(std::size_t(P * C), 0), 0, "q is detached");
}

TEST(MaskVjp, GoldenGumbel) {
    const test::Golden golden("ops_basic");
    const auto x = golden("gumbel.x"), u1 = golden("gumbel.U1"), u2 = golden("gumbel.U2");
    const WindowGrid grid{16, 24, {1, 8, 8}};  // (6, 64)
    std::vector<float> logit(6 * 64), noise = u1.data;
    noise.insert(noise.end(), u2.data.begin(), u2.data.end());
    for (int w = 0; w < 6; ++w)
        for (int n = 0; n < 64; ++n) logit[std::size_t(grid.pixel(w, n))] = x.data[std::size_t(w * 64 + n)];
    std::vector<float> soft(6 * 64), hard, slope;
    Cpu cpu;
    const float bias = 0;
    each_in_rows(cpu, "", 6, 64,
                 detail::SoftenMask<float>{grid, logit.data(), &bias, {noise.data(), {2, 6, 64}}, soft.data()});
    const auto upstream = golden("gumbel.grad_y");
    for (std::size_t i = 0; i < soft.size(); ++i) {
        hard.push_back(soft[i] >= 0.5f);
        slope.push_back(upstream.data[i] * soft[i] * (1 - soft[i]) / gumbel_temperature);
    }
    EXPECT_EQ(hard, golden("gumbel.hard").data);
    test::Errors errors("ops_basic gumbel");
    errors.compare("grad_x", slope.data(), golden("gumbel.grad_x").data, 1e-5);
}

TEST(MaskVjp, AThresholdHasNoGradient) {
    const WindowGrid grid{3, 4, {1, 2, 2}};
    test::Random random(2);
    const Numbers now = random.numbers(24), before = random.numbers(24), old = random.numbers(24);
    test::check_gradients({{random.numbers(24)}}, [&](DoubleTape& tape, const std::vector<Input>& in) {
        const auto keep = tape.scratch<std::uint8_t>(12);
        threshold_mask(tape, View<const double, 2>{now.data(), {12, 2}}, {before.data(), {12, 2}}, 0.6f, keep);
        auto rows = make_active_rows(tape, grid, 1);
        select_rows(tape, grid, 1, View<const std::uint8_t, 3>(keep.reshape(1, 3, 4)), rows);
        Tensor<double, 2, DoubleTape> kept;
        kept.resize(tape, 12, 2);
        std::copy(old.begin(), old.end(), kept.data());
        return masked_rows(tape, rows, View<const std::uint8_t, 1>(keep), 12, 2, &kept,
                           [&] { return in[0].as(12, 2); });
    });
}

TEST(MaskVjp, DropPath) {
    test::DoubleCpu cpu;
    const std::vector<float> draws{0.5f, 0.05f, 0.2f};
    std::size_t at = 0;
    DoubleTape tape(cpu, {}, {.drop_path = 0.4f}, repeated(draws, at));
    const Numbers numbers{1, -2, 3}, target{0, 0, 0};
    const auto x = tape.variable(View<const double, 2>{numbers.data(), {3, 1}});
    EXPECT_EQ(drop_path(tape, View<const double, 2>(x), 0.0f).data, x.data) << "the first block is never dropped";
    for (const auto& [depth, factor] : {std::pair(0.5f, 1 / 0.8), {0.5f, 0.0}, {1.0f, 0.0}}) {
        const auto y = drop_path(tape, View<const double, 2>(x), depth);  // kept: 0.8 + 0.5 >= 1; 0.85, 0.8 < 1
        for (int i = 0; i < 3; ++i) EXPECT_NEAR(y.data[i], factor * numbers[std::size_t(i)], 1e-6);
        mse_loss(tape, y, View<const double, 2>{target.data(), {3, 1}}, 3);
    }
    tape.backward();
    for (int i = 0; i < 3; ++i) EXPECT_NEAR(tape.gradient_of(x).data[i], 2 * numbers[std::size_t(i)] / 0.64, 1e-5);
}

}  // namespace
}  // namespace mia
