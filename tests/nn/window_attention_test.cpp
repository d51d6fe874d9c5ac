#include "mia/nn/window_attention.hpp"

#include <map>

#include "mia/io/load_parameters.hpp"
#include "mia/nn/mask_predictor.hpp"
#include "mia/ops/elementwise/elementwise.hpp"
#include "mia/ops/mask/masked_rows.hpp"
#include "reference/linear.hpp"
#include "reference/windows.hpp"
#include "support/backends.hpp"
#include "support/golden.hpp"

namespace mia {
namespace {

using test::Errors;
using test::Golden;

/// Attention with its mask predictor, under the official names.
template <AttentionConfig C, class B = Cpu>
struct MaskedAttention {
    InterFrameAttention<C, B> attention;
    MaskPredictor<MaskConfig{}, C.embed_dim, B> mask;

    template <class Self, class Visit>
    static constexpr void each_member(Self& self, Visit&& visit) {
        visit("", self.attention);
        visit("predmask", self.mask);
    }
};

template <class>
class WindowAttentionGolden : public testing::Test {};
TYPED_TEST_SUITE(WindowAttentionGolden, test::FloatBackends);

/// Runs a golden's frames; the state, pred_q and x_pred in image layout, is kept here. bound: ten times what an
/// independent float implementation reaches, but never below 2e-6.
template <class B, AttentionConfig C>
void run_attention(const std::string& file, Shift shift, int frames, double bound) {
    constexpr int dim = C.embed_dim;
    const Golden golden(file);
    B backend = test::make_backend<B>();
    Network<MaskedAttention<C, B>, B> module(backend);
    load_parameters(backend, module, golden.file(), {.prefix = "param."});
    prepare(backend, *module);
    Errors errors(file);
    Tensor<float, 2, B> previous, x_pred;
    for (int t = 0; t < frames; ++t) {
        const auto name = "t" + std::to_string(t);
        const auto x = golden(name + ".x"), out = golden(name + ".out");  // (1, 3, H, W, C), (1, Hp, Wp, C + 1)
        const int H = x.extent(2), W = x.extent(3), P = H * W, padded_W = out.extent(2);
        const auto all = test::place<4>(backend, x.data, {3, H, W, dim});
        const View<const float, 4> cond = all.view().slice(0, 2), current = all.view().slice(2, 1);
        const WindowGrid grid{H, W, C.window, shift};
        test::Placed<B, std::uint8_t, 1> keep(backend, std::vector<std::uint8_t>(std::size_t(P), 1), {P});
        const auto scope = backend.scope();
        if (t == 0)
            x_pred.resize(backend, P, dim);
        else
            module->mask.forward(backend, grid, rows_of(current), previous, keep);
        previous.resize(backend, P, dim);
        copy<float>(backend, rows_of(current), previous);
        auto rows = make_active_rows(backend, grid, 1);
        select_rows(backend, grid, 1, keep.view().reshape(1, H, W), rows);
        masked_rows(backend, rows, keep, P, dim, &x_pred, [&] {
            const auto result = backend.scratch(P, dim);
            module->attention.forward(backend, grid, rows, cond, current, result);
            return result;
        });
        std::vector<float> expected, expected_keep;
        for (int p = 0; p < P; ++p) {
            const float* token = &out.data[std::size_t((p / W * padded_W + p % W) * (dim + 1))];
            expected.insert(expected.end(), token, token + dim);
            expected_keep.push_back(token[dim]);
        }
        errors.compare(name + ".out", test::values_of(backend, x_pred.view()).data(), expected, bound);
        const auto kept = keep.values();
        EXPECT_EQ(std::vector<float>(kept.begin(), kept.end()), expected_keep) << name << ": mask";
    }
}

TYPED_TEST(WindowAttentionGolden, NoShift) {
    run_attention<TypeParam, AttentionConfig{24, 2, {3, 8, 8}, true}>("attn_noshift", Shift::none, 3, 4.6e-6);
}
TYPED_TEST(WindowAttentionGolden, Shift) {
    run_attention<TypeParam, AttentionConfig{24, 2, {3, 8, 8}, true}>("attn_shift", Shift::half_window, 3, 3.7e-6);
}
TYPED_TEST(WindowAttentionGolden, ShiftWithoutPadding) {
    run_attention<TypeParam, AttentionConfig{30, 3, {3, 8, 8}, true}>("attn_shift_aligned", Shift::half_window, 3,
                                                                      3.2e-6);
}
TYPED_TEST(WindowAttentionGolden, WindowOf4) {
    run_attention<TypeParam, AttentionConfig{20, 4, {3, 4, 4}, true}>("attn_win4", Shift::half_window, 3, 2.2e-6);
}
TYPED_TEST(WindowAttentionGolden, MaskedKeysThatWin) {
    // Scores of 106 are rounded by 4e-6, in the golden before the -100 is added, here (added to the bias) after it.
    constexpr double score_rounding = 8e-6;  // a wrong penalty is off by 0.17 or more
    run_attention<TypeParam, AttentionConfig{16, 2, {3, 8, 8}, true}>("attn_mask100", Shift::half_window, 2,
                                                                      score_rounding);
}

#ifndef MIA_TEST_CUDA
/// All frames of the window ask and answer; the bias table counts both ways in time.
TEST(JointAttention, AgreesWithPlainLoops) {
    constexpr int F = 2, H = 5, W = 4, wh = 2, ww = 3, C = 6, heads = 2, d = C / heads, N = wh * ww, tokens = F * N;
    constexpr double rounding = 1e-5;  // sums of up to 18 terms
    using test::Numbers;
    for (const Shift shift : {Shift::none, Shift::half_window}) {
        Cpu cpu(2, ScratchFill::nan);
        Network<JointAttention<AttentionConfig{C, heads, {F, wh, ww}, true}>> module(cpu);
        test::Random random(1);
        std::map<std::string, Numbers> p;
        for_each_parameter(*module, [&](const std::string& name, auto&& parameter) {
            p[name] = random.numbers(parameter.size);
            std::copy(p[name].begin(), p[name].end(), parameter.data);
        });
        prepare(cpu, *module);
        const auto x = random.numbers(F * H * W * C);
        const auto in = test::cast<float>(x);
        const WindowGrid grid{H, W, {F, wh, ww}, shift};
        auto rows = make_active_rows(cpu, grid, F);
        select_rows(cpu, grid, F, {}, rows);
        auto result = test::unwritten<float>(F * H * W * C), y = result;
        module->forward(cpu, grid, rows, {}, {in.data(), {F, H, W, C}}, {result.data(), {F * H * W, C}});
        scatter_rows<float>(cpu, {result.data(), {F * H * W, C}}, rows, {y.data(), {F * H * W, C}});

        const reference::Windows windows{H, W, wh, ww, shift == Shift::half_window};
        const int all = windows.count() * tokens;
        const auto qkv = reference::linear(windows.partition(x, F, C), p["qkv.weight"], p["qkv.bias"], all, C, 3 * C);
        Numbers attended(std::size_t(all * C));
        for (int w = 0; w < windows.count(); ++w)
            for (int h = 0; h < heads; ++h)
                for (int i = 0; i < tokens; ++i) {
                    Numbers e(tokens);
                    double sum = 0;
                    for (int j = 0; j < tokens; ++j) {
                        const int dt = i / N - j / N + F - 1, dy = i % N / ww - j % N / ww + wh - 1,
                                  dx = i % ww - j % ww + ww - 1;
                        const int row = (dt * (2 * wh - 1) + dy) * (2 * ww - 1) + dx;
                        double s = p["relative_position_bias_table"][row * heads + h];
                        for (int c = h * d; c < (h + 1) * d; ++c)
                            s += qkv[(w * tokens + i) * 3 * C + c] * qkv[(w * tokens + j) * 3 * C + C + c] /
                                 std::sqrt(double(d));
                        if (windows.region(w, i % N) != windows.region(w, j % N)) s -= 100;
                        sum += e[j] = std::exp(s);
                    }
                    for (int c = h * d; c < (h + 1) * d; ++c)
                        for (int j = 0; j < tokens; ++j)
                            attended[(w * tokens + i) * C + c] +=
                                e[j] / sum * qkv[(w * tokens + j) * 3 * C + 2 * C + c];
                }
        const auto out = reference::linear(attended, p["proj.weight"], p["proj.bias"], all, C, C);
        Numbers expected;
        for (int f = 0; f < F; ++f) {
            Numbers frame;
            for (int w = 0; w < windows.count(); ++w)
                frame.insert(frame.end(), &out[(w * F + f) * N * C], &out[(w * F + f) * N * C] + N * C);
            const auto image = windows.reverse(frame, C);
            expected.insert(expected.end(), image.begin(), image.end());
        }
        test::expect_near(y, expected, rounding, text("shift ", int(shift)));
    }
}

TEST(WindowAttention, ParameterNamesAndShapes) {
    const InterFrameAttention<AttentionConfig{12, 3, {3, 4, 4}, true}> inter;
    const IntraFrameAttention<AttentionConfig{12, 3, {3, 4, 4}, false}> intra;
    const JointAttention<AttentionConfig{12, 3, {3, 4, 4}, true}> joint;
    const auto names = [](const auto& module) {
        std::string all;
        for_each_parameter(module, [&](const std::string& name, const auto& p) {
            all += name;
            for (const int extent : p.shape) all += " " + std::to_string(extent);
            all += "\n";
        });
        return all;
    };
    EXPECT_EQ(names(inter),
              "relative_position_bias_table 147 3\nqkv.weight 36 12\nqkv.bias 36\nproj.weight 12 12\nproj.bias 12\n");
    EXPECT_EQ(names(intra), "relative_position_bias_table 49 3\nqkv.weight 36 12\nproj.weight 12 12\nproj.bias 12\n");
    EXPECT_EQ(names(joint),
              "relative_position_bias_table 245 3\nqkv.weight 36 12\nqkv.bias 36\nproj.weight 12 12\nproj.bias 12\n");
}

#endif

}  // namespace
}  // namespace mia
