#include "mia/nn/swin_irfm.hpp"

#include <functional>
#include <map>

#include "reference/conv2d.hpp"
#include "reference/layer_norm.hpp"
#include "reference/windows.hpp"
#include "support/backends.hpp"
#include "support/golden.hpp"
#include "support/random_model.hpp"

namespace mia {
namespace {

using test::Errors;
using test::Golden;

static_assert(Depths{{6, 6, 6, 6}}.groups() == 4 && Depths{{6, 6, 6, 6}}.blocks() == 24);
static_assert(Depths{{2}}.is_valid() && !Depths{}.is_valid() && !Depths{{2, 0, 1}}.is_valid() &&
              !Depths{{-1}}.is_valid());

template <class B>
struct Blocks : NoProbe {
    B& backend;
    std::vector<std::vector<float>> masks, outs;
    std::vector<std::pair<int, int>> places;
    explicit Blocks(B& b) : backend(b) {}
    void mask(View<const std::uint8_t, 3> keep) {
        const auto values = test::values_of(backend, keep);
        masks.emplace_back(values.begin(), values.end());
    }
    template <class F>
    void block(int group, int k, const F& y) {
        places.emplace_back(group, k);
        outs.push_back(test::values_of(backend, y));
    }
};

/// A state of the golden, (windows, tokens, C), as an image; what padding holds is nobody's result.
std::vector<float> as_image(const WindowGrid& grid, const test::Array& a) {
    const reference::Windows windows{grid.height, grid.width, grid.window.height, grid.window.width,
                                     grid.shift == Shift::half_window};
    return test::cast<float>(windows.reverse({a.data.begin(), a.data.end()}, a.extent(2)));
}

template <SwinIrfmConfig C, class B>
void run_golden(const std::string& file, int frames, bool has_states, double bound) {
    using Branch = SwinIrfm<C, B, InterFrameAttention>;
    constexpr int dim = C.block.attention.embed_dim;
    const Golden golden(file);
    auto backend = test::make_backend<B>();
    Network<Branch, B> branch(backend);
    branch.on_host(backend, [&](Branch& module) {
        for_each_parameter(module, [&](const std::string& name, auto&& p) {
            const auto a = golden("param." + name);
            ASSERT_EQ(std::ptrdiff_t(a.data.size()), p.size) << name;
            std::copy(a.data.begin(), a.data.end(), p.data);
        });
    });
    prepare(backend, *branch);
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
        const auto placed = test::place(backend, stack);
        auto out = test::place<3>(backend, {H, W, dim});
        Blocks<B> probe(backend);
        branch->forward(backend, placed.view(), t, state, out, probe);
        const auto result = out.on_host();
        errors.compare_image<float>(frame + "out", result.view(), golden(frame + "out"), bound);
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
        if constexpr (!has_fused_block<B> || C.block.kernel == BlockKernel::composed)
            for (std::size_t n = 0; n < probe.outs.size(); ++n) {
                const auto [group, k] = probe.places[n];
                const auto name = text(frame, "L", group, "B", k, ".");
                const WindowGrid grid{H, W, C.block.attention.window, k % 2 ? Shift::half_window : Shift::none};
                const auto compare = [&](const char* part, const auto& state_of, const std::vector<float>& expected) {
                    errors.compare(name + part, test::values_of(backend, state_of.view()).data(), expected, bound);
                };
                const auto& s = state.block[n];
                compare("pred_q", s.pred_q, as_image(grid, golden(name + "state0_pred_q")));
                compare("x_pred", s.x_pred, as_image(grid, golden(name + "state1_x_pred")));
                compare("hidden", s.hidden, golden(name + "state2_hidden").data);
            }
    }
}

// Bounds: ten times what an independent float implementation reaches.
template <class>
class SwinIrfmGolden : public testing::Test {};
TYPED_TEST_SUITE(SwinIrfmGolden, test::FloatBackends);

TYPED_TEST(SwinIrfmGolden, TwoGroupsOfTwoBlocks) {
    if (!has_fused_block<TypeParam>) GTEST_SKIP() << "blocks are composed: the next test";
    constexpr SwinIrfmConfig config{{{24, 2, {3, 8, 8}, true}, 2, {}, BlockKernel::fused}, {{2, 2}}};
    run_golden<config, TypeParam>("irfm", 4, false, 6.8e-6);
}
TYPED_TEST(SwinIrfmGolden, TwoGroupsOfTwoComposedBlocksAndTheirStates) {
    constexpr SwinIrfmConfig config{{{24, 2, {3, 8, 8}, true}, 2, {}, BlockKernel::composed}, {{2, 2}}};
    run_golden<config, TypeParam>("irfm", 4, true, 6.8e-6);
}
TYPED_TEST(SwinIrfmGolden, Width64HasAConvolutionBefore) {
    run_golden<SwinIrfmConfig{{{64, 4, {3, 8, 8}, true}, 2, {}}, {{1}}}, TypeParam>("irfm_c64", 2, false, 9e-6);
}

/// What fusion gives to the blocks.
template <class B>
struct Fused : NoProbe {
    B& backend;
    std::vector<float> result;
    explicit Fused(B& b) : backend(b) {}
    void fused(const View<const float, 4>& x) { result = test::values_of(backend, x); }
};

template <Fusion fusion, class B>
void fuse(int kernel_size) {
    constexpr int H = 5, W = 6, C = 4, frames = 3;
    constexpr SwinIrfmConfig config{{{C, 2, {frames, 4, 4}, true}, 2, {}}, {{1}}, fusion};
    using Branch = SwinIrfm<config, B, InterFrameAttention>;
    auto backend = test::make_backend<B>();
    Network<Branch, B> branch(backend);
    test::Random random(1);
    std::map<std::string, test::Numbers> weights;
    branch.on_host(backend, [&](Branch& module) {
        for_each_parameter(module, [&](const std::string& name, const auto& p) {
            // The group's own convolution is zero: nothing of its blocks is seen.
            for (std::ptrdiff_t i = 0; i < p.size; ++i)
                p.data[i] = name.starts_with("layers.0.conv.") ? 0.f : float(random.number(-1, 1));
            weights[name].assign(p.data, p.data + p.size);
        });
    });
    prepare(backend, *branch);
    const auto stack = random.numbers(frames * H * W * C);
    const auto x = test::place<4>(backend, stack, {frames, H, W, C});
    auto out = test::place<3>(backend, {H, W, C});
    typename Branch::State state;
    Fused<B> probe(backend);
    branch->forward(backend, x.view(), 0, state, out, probe);

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
    test::expect_near(out.values(), expected, 1e-5, "out");
}
template <class>
class SwinIrfmFusion : public testing::Test {};
TYPED_TEST_SUITE(SwinIrfmFusion, test::FloatBackends);
TYPED_TEST(SwinIrfmFusion, BeginsWithAMapOfAllFrames) {
    fuse<Fusion::linear, TypeParam>(1);
    fuse<Fusion::convolution, TypeParam>(3);
}

constexpr SwinIrfmConfig small(MaskConfig mask) { return {{{4, 2, {3, 4, 4}, true}, 2, mask}, {{2, 1}}}; }

/// Which blocks were asked for a mask in each of `steps` steps: '1' for each that was.
template <SwinIrfmConfig C, class B>
std::vector<std::string> masked_blocks(int steps) {
    using Branch = SwinIrfm<C, B, InterFrameAttention>;
    auto backend = test::make_backend<B>();
    Network<Branch, B> branch(backend);
    branch.on_host(backend, [](Branch& module) { test::randomize(module); });
    test::Random random(1);
    prepare(backend, *branch);
    typename Branch::State state;
    std::vector<std::string> all;
    for (int step = 0; step < steps; ++step) {
        const auto x = test::place<4>(backend, random.numbers(3 * 5 * 6 * 4), {3, 5, 6, 4});
        auto out = test::place<3>(backend, {5, 6, 4});
        Blocks<B> probe(backend);
        branch->forward(backend, x.view(), step, state, out, probe);
        std::string asked;
        for (const auto& mask : probe.masks) asked += mask.empty() ? '0' : '1';
        all.push_back(asked);
    }
    return all;
}

template <class>
class SwinIrfmMask : public testing::Test {};
TYPED_TEST_SUITE(SwinIrfmMask, test::FloatBackends);
TYPED_TEST(SwinIrfmMask, FirstBlocksAndRefresh) {
    using S = std::vector<std::string>;
    constexpr MaskConfig refreshed{.kind = MaskKind::threshold, .first_blocks = 2, .refresh_every = 2};
    EXPECT_EQ((masked_blocks<small({}), TypeParam>(3)), (S{"000", "111", "111"}));
    EXPECT_EQ((masked_blocks<small({.kind = MaskKind::none}), TypeParam>(2)), (S{"000", "000"}));
    EXPECT_EQ((masked_blocks<small(refreshed), TypeParam>(5)), (S{"000", "001", "000", "001", "000"}));
}

}  // namespace
}  // namespace mia
