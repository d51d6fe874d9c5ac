#include "mia/nn/swin_irfm.hpp"

#include <functional>
#include <map>

#include "reference/conv2d.hpp"
#include "reference/layer_norm.hpp"
#include "reference/windows.hpp"
#include "support/golden.hpp"

namespace mia {
namespace {

using test::Errors;
using test::Golden;

static_assert(Depths{{6, 6, 6, 6}}.groups() == 4 && Depths{{6, 6, 6, 6}}.blocks() == 24);
static_assert(Depths{{2}}.is_valid() && !Depths{}.is_valid() && !Depths{{2, 0, 1}}.is_valid() &&
              !Depths{{-1}}.is_valid());

struct Blocks : NoProbe {
    std::vector<std::vector<float>> masks, outs;
    std::vector<std::pair<int, int>> places;
    void mask(View<const std::uint8_t, 3> keep) {
        masks.emplace_back(keep.data, keep.data + (keep.data ? keep.size() : 0));
    }
    template <class F>
    void block(int group, int k, const F& y) {
        places.emplace_back(group, k);
        outs.emplace_back(y.data, y.data + y.size());
    }
};

/// A state of the golden, (windows, tokens, C), as an image; what padding holds is nobody's result.
std::vector<float> as_image(const WindowGrid& grid, const test::Array& a) {
    const reference::Windows windows{grid.height, grid.width, grid.window.height, grid.window.width,
                                     grid.shift == Shift::half_window};
    return test::cast<float>(windows.reverse({a.data.begin(), a.data.end()}, a.extent(2)));
}

template <SwinIrfmConfig C>
void run_golden(const std::string& file, int frames, bool has_states, double bound) {
    using Branch = SwinIrfm<C, Cpu, InterFrameAttention>;
    constexpr int dim = C.block.attention.embed_dim;
    const Golden golden(file);
    Cpu cpu(2, ScratchFill::nan);
    Network<Branch> branch(cpu);
    for_each_parameter(*branch, [&](const std::string& name, auto&& p) {
        const auto a = golden("param." + name);
        ASSERT_EQ(std::ptrdiff_t(a.data.size()), p.size) << name;
        std::copy(a.data.begin(), a.data.end(), p.data);
    });
    prepare(cpu, *branch);
    Errors errors(file);
    typename Branch::State state;
    int H = 0, W = 0;
    for (int t = 0; t < frames; ++t) {
        const auto frame = "t" + std::to_string(t) + ".";
        const auto x = golden(frame + "x");  // (1, 3, C, H, W)
        H = x.extent(3);
        W = x.extent(4);
        Tensor<float, 4> stack(3, H, W, dim);
        for (int f = 0; f < 3; ++f) {
            const auto image = test::channels_last(x, f);
            std::copy(image.data(), image.data() + image.size(), stack.view()[f].data);
        }
        Tensor<float, 3> out(H, W, dim);
        Blocks probe;
        branch->forward(cpu, stack, t, state, out, probe);
        errors.compare_image<float>(frame + "out", out.view(), golden(frame + "out"), bound);
        ASSERT_EQ(probe.outs.size(), std::size_t(Branch::blocks));
        for (std::size_t n = 0; n < probe.outs.size(); ++n) {
            const auto [group, k] = probe.places[n];
            const auto name = text(frame, "L", group, "B", k, ".");
            errors.compare(name + "out", probe.outs[n].data(), golden(name + "out").data, bound);
            if (t > 0) {
                EXPECT_EQ(probe.masks[n], golden(name + "mask").data) << name;
            } else {
                EXPECT_TRUE(probe.masks[n].empty());
            }
        }
        if (!has_states || t + 1 < frames) continue;
        if constexpr (C.block.kernel == BlockKernel::composed)
            for (std::size_t n = 0; n < probe.outs.size(); ++n) {
                const auto [group, k] = probe.places[n];
                const auto name = text(frame, "L", group, "B", k, ".");
                const WindowGrid grid{H, W, C.block.attention.window, k % 2 ? Shift::half_window : Shift::none};
                const auto& s = state.block[n];
                errors.compare(name + "pred_q", s.pred_q.data(), as_image(grid, golden(name + "state0_pred_q")), bound);
                errors.compare(name + "x_pred", s.x_pred.data(), as_image(grid, golden(name + "state1_x_pred")), bound);
                errors.compare(name + "hidden", s.hidden.data(), golden(name + "state2_hidden").data, bound);
            }
    }
}

// Bounds: ten times what an independent float implementation reaches.
TEST(SwinIrfmGolden, TwoGroupsOfTwoBlocks) {
    run_golden<SwinIrfmConfig{{{24, 2, {3, 8, 8}, true}, 2, {}, BlockKernel::fused}, {{2, 2}}}>("irfm", 4, false,
                                                                                                6.8e-6);
}
TEST(SwinIrfmGolden, TwoGroupsOfTwoComposedBlocksAndTheirStates) {
    run_golden<SwinIrfmConfig{{{24, 2, {3, 8, 8}, true}, 2, {}, BlockKernel::composed}, {{2, 2}}}>("irfm", 4, true,
                                                                                                   6.8e-6);
}
TEST(SwinIrfmGolden, Width64HasAConvolutionBefore) {
    run_golden<SwinIrfmConfig{{{64, 4, {3, 8, 8}, true}, 2, {}}, {{1}}}>("irfm_c64", 2, false, 9e-6);
}

/// What fusion gives to the blocks.
struct Fused : NoProbe {
    std::vector<float> result;
    void fused(const View<const float, 4>& x) { result.assign(x.data, x.data + x.size()); }
};

template <Fusion fusion>
void fuse(int kernel_size) {
    constexpr int H = 5, W = 6, C = 4, frames = 3;
    constexpr SwinIrfmConfig config{{{C, 2, {frames, 4, 4}, true}, 2, {}}, {{1}}, fusion};
    using Branch = SwinIrfm<config, Cpu, InterFrameAttention>;
    Cpu cpu(2, ScratchFill::nan);
    Network<Branch> branch(cpu);
    test::Random random(1);
    std::map<std::string, test::Numbers> weights;
    for_each_parameter(*branch, [&](const std::string& name, const auto& p) {
        // The group's own convolution is zero: nothing of its blocks is seen.
        for (std::ptrdiff_t i = 0; i < p.size; ++i)
            p.data[i] = name.starts_with("layers.0.conv.") ? 0.f : float(random.number(-1, 1));
        weights[name].assign(p.data, p.data + p.size);
    });
    prepare(cpu, *branch);
    const auto stack = random.numbers(frames * H * W * C);
    const auto x = test::cast<float>(stack);
    std::vector<float> out(H * W * C);
    typename Branch::State state;
    Fused probe;
    branch->forward(cpu, {x.data(), {frames, H, W, C}}, 0, state, {out.data(), {H, W, C}}, probe);

    const auto normed = [&](const test::Numbers& v, const std::string& name, int rows) {
        return reference::layer_norm(v, weights.at(name + ".weight"), weights.at(name + ".bias"), rows, C);
    };
    const auto convolved = [&](const test::Numbers& v, const std::string& name, int k) {
        return reference::conv2d(v, weights.at(name + ".weight"), weights.at(name + ".bias"), H, W, C, C, k);
    };
    const auto frame = [&](const test::Numbers& v, int f) {
        return test::Numbers(v.begin() + f * H * W * C, v.begin() + (f + 1) * H * W * C);
    };
    const auto add = [](test::Numbers a, const test::Numbers& b) {
        std::transform(a.begin(), a.end(), b.begin(), a.begin(), std::plus());
        return a;
    };
    const auto all = normed(stack, "patch_embed.norm", frames * H * W);
    test::Numbers fused = frame(all, frames - 1);
    for (int f = 0; f < frames; ++f) fused = add(fused, convolved(frame(all, f), text("fusion.", f), kernel_size));
    test::expect_near(probe.result, fused, 1e-5, "for the blocks");
    const auto expected = add(convolved(normed(fused, "norm", H * W), "conv_after_body", 3), frame(stack, frames - 1));
    test::expect_near(out, expected, 1e-5, "out");
}
TEST(SwinIrfm, FusionBeginsWithAMapOfAllFrames) {
    fuse<Fusion::linear>(1);
    fuse<Fusion::convolution>(3);
}

constexpr SwinIrfmConfig small(MaskConfig mask) { return {{{4, 2, {3, 4, 4}, true}, 2, mask}, {{2, 1}}}; }

/// Which blocks were asked for a mask in each of `steps` steps: '1' for each that was.
template <SwinIrfmConfig C>
std::vector<std::string> masked_blocks(int steps) {
    using Branch = SwinIrfm<C, Cpu, InterFrameAttention>;
    Cpu cpu(1, ScratchFill::nan);
    Network<Branch> branch(cpu);
    test::Random random(1);
    for (int i = 0; i < branch.flat().extent(0); ++i) branch.flat()(i) = float(random.number(-1, 1));
    prepare(cpu, *branch);
    typename Branch::State state;
    std::vector<std::string> all;
    for (int step = 0; step < steps; ++step) {
        const auto x = test::cast<float>(random.numbers(3 * 5 * 6 * 4));
        Tensor<float, 3> out(5, 6, 4);
        Blocks probe;
        branch->forward(cpu, {x.data(), {3, 5, 6, 4}}, step, state, out, probe);
        std::string asked;
        for (const auto& mask : probe.masks) asked += mask.empty() ? '0' : '1';
        all.push_back(asked);
    }
    return all;
}

TEST(SwinIrfm, FirstBlocksAndRefresh) {
    using S = std::vector<std::string>;
    EXPECT_EQ(masked_blocks<small({})>(3), (S{"000", "111", "111"}));
    EXPECT_EQ(masked_blocks<small({.kind = MaskKind::none})>(2), (S{"000", "000"}));
    EXPECT_EQ(masked_blocks<small({.kind = MaskKind::threshold, .first_blocks = 2, .refresh_every = 2})>(5),
              (S{"000", "001", "000", "001", "000"}));
}

}  // namespace
}  // namespace mia
