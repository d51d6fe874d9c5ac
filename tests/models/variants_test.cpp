// Every part that a variant may replace is replaced here once, and the variant has to show a property that it alone
// has.
#include <gtest/gtest.h>

#include <cstring>

#include "mia/models/mia_vsr.hpp"
#include "support/random_model.hpp"
#include "support/toy_parts.hpp"

namespace mia {
namespace {

constexpr MiaVsrConfig toy{.embed_dim = 12,
                           .num_heads = 2,
                           .depths = {{2}},
                           .directions = directions(Direction::backward, Direction::forward),
                           .mask = {.kind = MaskKind::none},
                           .mid_channels = 8};

template <MiaVsrConfig C>
constexpr MiaVsrConfig with_mask(MaskConfig mask) {
    MiaVsrConfig c = C;
    c.mask = mask;
    return c;
}
constexpr MiaVsrConfig with_directions(Directions d) {
    MiaVsrConfig c = toy;
    c.directions = d;
    return c;
}
constexpr MiaVsrConfig with_scale(int scale) {
    MiaVsrConfig c = toy;
    c.scale = scale;
    return c;
}

using test::ToyParts;

template <MiaVsrConfig C, class Parts = ToyParts>
class Assembled {
public:
    using Model = MiaVsr<C, Cpu, Parts>;
    Cpu cpu{2, ScratchFill::nan};
    Network<Model> model{cpu};

    explicit Assembled(unsigned seed = 1) {
        test::randomize(*model, seed);
        prepare(cpu, *model);
    }
    std::vector<float> run(const Tensor<float, 4>& clip) {
        const int T = clip.extent(0), H = clip.extent(1), W = clip.extent(2);
        Tensor<float, 4> out(T, C.scale * H, C.scale * W, 3);
        model->forward(cpu, clip, out);
        return take(out);
    }
    std::vector<float> run(const Tensor<float, 4>& clip, const ClipFlows& flows) {
        const int T = clip.extent(0), H = clip.extent(1), W = clip.extent(2);
        Tensor<float, 4> out(T, C.scale * H, C.scale * W, 3);
        typename Model::State state;
        model->forward(cpu, clip, flows, out, state);
        return take(out);
    }

private:
    static std::vector<float> take(Tensor<float, 4>& out) {
        std::vector<float> values(out.data(), out.data() + out.size());
        for (const float v : values) EXPECT_TRUE(std::isfinite(v));
        return values;
    }
};

Tensor<float, 4> part_of(const Tensor<float, 4>& clip, int first, int count) {
    Tensor<float, 4> part(count, clip.extent(1), clip.extent(2), 3);
    std::copy_n(clip.view()[first].data, part.size(), part.data());
    return part;
}
std::vector<float> frame_of(const std::vector<float>& clip, int frames, int t) {
    const auto size = std::ptrdiff_t(clip.size()) / frames;
    return {clip.begin() + t * size, clip.begin() + (t + 1) * size};
}
double largest_difference(const std::vector<float>& a, const std::vector<float>& b) {
    double d = a.size() == b.size() ? 0 : INFINITY;
    for (std::size_t i = 0; i < std::min(a.size(), b.size()); ++i)
        d = std::max(d, std::abs(double(a[i]) - double(b[i])));
    return d;
}

const Tensor<float, 4>& clip() {
    static const Tensor<float, 4> c = test::random_clip(4, 13, 18);
    return c;
}
const std::vector<float>& plain_result() {
    static const std::vector<float> r = Assembled<toy>().run(clip());
    return r;
}

// Attention.

struct IntraParts : ToyParts {
    template <AttentionConfig C, class B>
    using Attention = IntraFrameAttention<C, B>;
};
TEST(Variants, IntraFrameAttentionSeesNoOtherFrame) {
    Assembled<toy, IntraParts> variant;
    const auto together = variant.run(clip());
    for (int t = 0; t < 4; ++t) EXPECT_EQ(frame_of(together, 4, t), variant.run(part_of(clip(), t, 1)));
}

struct JointParts : ToyParts {
    template <AttentionConfig C, class B>
    using Attention = JointAttention<C, B>;
};
TEST(Variants, JointAttentionSeesOtherFramesAndHasItsOwnTable) {
    Assembled<toy, JointParts> variant;
    const auto together = variant.run(clip());
    EXPECT_GT(largest_difference(frame_of(together, 4, 1), variant.run(part_of(clip(), 1, 1))), 1e-4);
    int tables = 0;
    for_each_parameter(std::as_const(*variant.model), [&](const std::string& name, const auto& p) {
        if (!name.ends_with("relative_position_bias_table")) return;
        EXPECT_EQ(p.shape[0], 1125);
        ++tables;
    });
    EXPECT_EQ(tables, 4);
}

TEST(Variants, OneEarlierFrame) {
    constexpr MiaVsrConfig two = [] {
        MiaVsrConfig c = toy;
        c.window.frames = 2;
        c.directions = directions(Direction::forward);
        return c;
    }();
    Assembled<two> variant;
    // Frame t is computed from frame t and the result of t - 1 alone, so a clip's first frame reaches all others ...
    auto changed = test::random_clip(4, 13, 18);
    changed.view()(0, 3, 3, 0) += 0.2f;
    EXPECT_GT(largest_difference(frame_of(variant.run(clip()), 4, 3), frame_of(variant.run(changed), 4, 3)), 0.0);
    // ... and with three frames the second step would read the same frame twice, which the table's shape forbids here.
    for_each_parameter(std::as_const(*variant.model), [&](const std::string& name, const auto& p) {
        if (!name.ends_with("relative_position_bias_table")) return;
        EXPECT_EQ(p.shape[0], 2 * 15 * 15);
    });
}

// Mask.

TEST(Variants, MasksThatKeepEverythingEqualNoMaskBitForBit) {
    EXPECT_EQ(Assembled<with_mask<toy>({.kind = MaskKind::threshold, .threshold = 0})>().run(clip()), plain_result());
    EXPECT_EQ(
        Assembled<with_mask<toy>({.kind = MaskKind::threshold, .threshold = 1e30f, .refresh_every = 1})>().run(clip()),
        plain_result());
    EXPECT_EQ(
        Assembled<with_mask<toy>({.kind = MaskKind::threshold, .threshold = 1e30f, .first_blocks = 2})>().run(clip()),
        plain_result());
}
TEST(Variants, RefreshEverySecondStep) {
    Assembled<with_mask<toy>({.kind = MaskKind::threshold, .threshold = 1e30f, .refresh_every = 2})> variant;
    (void)variant.run(clip());
    EXPECT_DOUBLE_EQ(variant.cpu.work().skipped_share(), 0.5);  // steps 1 and 3 of 0 ... 3 skip everything
    Assembled<with_mask<toy>({.kind = MaskKind::threshold, .threshold = 1e30f, .first_blocks = 1})> other;
    (void)other.run(clip());
    EXPECT_DOUBLE_EQ(other.cpu.work().skipped_share(), 0.375);  // one of two blocks, three of four steps
}
TEST(Variants, LearnedMaskSavesWork) {
    Assembled<with_mask<toy>({.kind = MaskKind::learned})> variant;
    (void)variant.run(clip());
    const WorkCount work = variant.cpu.work();
    EXPECT_GT(work.skipped_share(), 0.05);
    EXPECT_LT(work.macs, work.dense_macs);
}

// Propagation.

TEST(Variants, ForwardOnlyHasNoLookAhead) {
    Assembled<with_directions(directions(Direction::forward, Direction::forward))> variant;
    const auto whole = variant.run(clip()), first = variant.run(part_of(clip(), 0, 2));
    EXPECT_EQ(frame_of(whole, 4, 1), frame_of(first, 2, 1));
    EXPECT_FALSE(decltype(variant)::Model::config.directions.has(mia::Direction::backward));
}
struct PaddedFlowParts : ToyParts {
    template <class B>
    using Flow = SpyNet<SpyNetConfig{.levels = 4, .kernel_size = 3, .channels = {{4}}}, B>;
};
template <class Variant>
void expect_steps_equal_the_clip(Variant& variant, const Tensor<float, 4>& clip) {
    const int T = clip.extent(0), scale = Variant::Model::scale;
    const auto whole = variant.run(clip);
    typename Variant::Model::Stream stream;
    Tensor<float, 3> out(scale * clip.extent(1), scale * clip.extent(2), 3);
    for (int round = 0; round < 2; ++round) {  // a new clip begins like the first
        stream.steps = 0;
        for (int t = 0; t < T; ++t) {
            variant.model->step(variant.cpu, clip.view()[t], out, stream);
            EXPECT_EQ(std::vector(out.data(), out.data() + out.size()), frame_of(whole, T, t)) << "frame " << t;
        }
    }
    Tensor<float, 4> wider(1, clip.extent(1), clip.extent(2) + 64, 3);
    Tensor<float, 3> wider_out(scale * wider.extent(1), scale * wider.extent(2), 3);
    EXPECT_THROW(variant.model->step(variant.cpu, wider.view()[0], wider_out, stream), Error);
}
TEST(Variants, FrameByFrameIsTheWholeClip) {
    const auto frames = test::random_clip(6, 13, 18);
    {
        constexpr MiaVsrConfig masked = with_mask<with_directions(directions(Direction::forward, Direction::forward))>(
            {.kind = MaskKind::learned, .refresh_every = 4});
        Assembled<masked> variant;
        expect_steps_equal_the_clip(variant, frames);
    }
    {  // smaller than the flow network's least size: padded
        constexpr MiaVsrConfig online = with_directions(directions(Direction::forward));
        Assembled<online, PaddedFlowParts> variant;
        expect_steps_equal_the_clip(variant, frames);
    }
}
TEST(Variants, APartOfTheResultsIsThatOfAllAndCostsLess) {
    constexpr MiaVsrConfig three =
        with_directions(directions(Direction::forward, Direction::backward, Direction::forward));
    const auto check = [](auto& variant) {
        using Model = typename std::remove_reference_t<decltype(variant)>::Model;
        const auto all = variant.run(clip());
        const auto macs_of_all = variant.cpu.work().macs;
        for (int first = 0; first < 4; ++first)
            for (int count = 1; first + count <= 4; ++count) {
                Tensor<float, 4> part(count, Model::scale * 13, Model::scale * 18, 3);
                typename Model::State state;
                variant.cpu.reset_work();
                variant.model->forward(variant.cpu, clip(), part, state, NoProbe{}, first);
                for (int n = 0; n < count; ++n)
                    EXPECT_EQ(std::vector(part.view()[n].data, part.view()[n].data + part.size() / count),
                              frame_of(all, 4, first + n))
                        << first << " " << n;
                EXPECT_EQ(variant.cpu.work().macs < macs_of_all, count < 4);
            }
        Tensor<float, 4> part(2, Model::scale * 13, Model::scale * 18, 3);
        typename Model::State state;
        EXPECT_THROW(variant.model->forward(variant.cpu, clip(), part, state, NoProbe{}, 3), Error);
        EXPECT_THROW(variant.model->forward(variant.cpu, clip(), part, state, NoProbe{}, -1), Error);
    };
    Assembled<toy> two_branches;
    check(two_branches);
    Assembled<three> three_branches;
    check(three_branches);
}
TEST(Variants, BackwardOnlyHasNoPast) {
    Assembled<with_directions(directions(Direction::backward))> variant;
    EXPECT_EQ(frame_of(variant.run(clip()), 4, 2), frame_of(variant.run(part_of(clip(), 2, 2)), 2, 0));
}
TEST(Variants, NamesOfManyDirections) {
    constexpr Directions d =
        directions(Direction::forward, Direction::backward, Direction::forward, Direction::forward);
    EXPECT_EQ(d.name(0), "forward_1");
    EXPECT_EQ(d.name(1), "backward_1");
    EXPECT_EQ(d.name(3), "forward_3");
}

// Flow and alignment.

struct ZeroFlowParts : ToyParts {
    template <class B>
    using Flow = ZeroFlow<B>;
};
struct GivenFlowParts : ToyParts {
    template <class B>
    using Flow = GivenFlow<B>;
};
struct NoAlignmentParts : ToyParts {
    template <class B>
    using Alignment = NoAlignment<B>;
};
struct BilinearParts : ZeroFlowParts {
    template <class B>
    using Alignment = BilinearAlignment<B>;
};
struct SmallSpyNetParts : ToyParts {
    template <class B>
    using Flow = SpyNet<SpyNetConfig{.levels = 3, .kernel_size = 3, .channels = {{8, 4}}}, B>;
};

TEST(Variants, ZeroFlowEqualsGivenZerosAndNoAlignment) {
    const auto zero = Assembled<toy, ZeroFlowParts>().run(clip());
    Tensor<float, 4> flow(3, 13, 18, 2);
    std::fill(flow.data(), flow.data() + flow.size(), 0.0f);
    EXPECT_EQ(zero, (Assembled<toy, GivenFlowParts>().run(clip(), {flow, flow})));
    EXPECT_EQ(zero, (Assembled<toy, NoAlignmentParts>().run(clip())));
    EXPECT_LT(largest_difference(zero, Assembled<toy, BilinearParts>().run(clip())), 1e-4);  // the round trip's ulps
}
TEST(Variants, BlockMatchingEqualsItsFlowsGiven) {
    Cpu cpu;
    Tensor<float, 4> backward(3, 13, 18, 2), forward(3, 13, 18, 2);
    for (int i = 0; i < 3; ++i) {
        block_match(cpu, clip().view()[i], clip().view()[i + 1], backward.view()[i]);
        block_match(cpu, clip().view()[i + 1], clip().view()[i], forward.view()[i]);
    }
    EXPECT_EQ(plain_result(), (Assembled<toy, GivenFlowParts>().run(clip(), {backward, forward})));
}
TEST(Variants, GivenFlowMustBeGiven) {
    Assembled<toy, GivenFlowParts> variant;
    EXPECT_THROW((void)variant.run(clip()), Error);
    Tensor<float, 4> wrong(2, 13, 18, 2);
    EXPECT_THROW((void)variant.run(clip(), {wrong, wrong}), Error);
}
TEST(Variants, SmallerSpyNet) {
    Assembled<toy, SmallSpyNetParts> variant;
    EXPECT_EQ(variant.run(clip()).size(), plain_result().size());
    EXPECT_EQ((SpyNet<SpyNetConfig{.levels = 3}, Cpu>::least_size), 8);
}

// Upsampler: with weights of zero nothing is left but the frame, bilinear.

struct TwoStepParts : ToyParts {
    template <UpsamplerConfig C, class B>
    using Upsampler = TwoStepUpsampler<C, B>;
};
template <MiaVsrConfig C, class Parts>
void expect_bilinear_when_zero() {
    Cpu cpu;
    Network<MiaVsr<C, Cpu, Parts>> model(cpu);  // all zero
    prepare(cpu, *model);
    const auto one = part_of(clip(), 0, 1);
    Tensor<float, 4> out(1, 13 * C.scale, 18 * C.scale, 3);
    Tensor<float, 3> bilinear(13 * C.scale, 18 * C.scale, 3);
    model->forward(cpu, one, out);
    resize_bilinear(cpu, one.view()[0], Corners::apart, bilinear.view());
    EXPECT_EQ(0, std::memcmp(out.data(), bilinear.data(), std::size_t(out.size()) * 4)) << "scale " << C.scale;
}
TEST(Variants, UpsamplersOfEveryScale) {
    expect_bilinear_when_zero<with_scale(2), TwoStepParts>();
    expect_bilinear_when_zero<with_scale(3), TwoStepParts>();
    expect_bilinear_when_zero<with_scale(4), TwoStepParts>();
    expect_bilinear_when_zero<with_scale(1), ToyParts>();
    expect_bilinear_when_zero<with_scale(5), ToyParts>();
}

// Sizes.

TEST(Variants, AnyLegalWidthHeadsWindowAndDepths) {
    constexpr MiaVsrConfig odd{.embed_dim = 21,
                               .num_heads = 3,
                               .window = {3, 4, 6},
                               .depths = {{1, 3}},
                               .mlp_ratio = 3,
                               .qkv_bias = false,
                               .directions = directions(Direction::forward),
                               .mask = {.kind = MaskKind::learned},
                               .mid_channels = 5,
                               .scale = 3};
    Assembled<odd> variant;
    EXPECT_EQ(variant.run(clip()).size(), 4u * 39 * 54 * 3);
}
TEST(Variants, AnySizeOfFramesAndClips) {
    Assembled<toy> variant;
    constexpr int sizes[][3] = {{1, 1, 1}, {2, 1, 9}, {3, 7, 2}, {1, 8, 8}, {2, 17, 1}};
    for (const auto& [T, H, W] : sizes)
        EXPECT_EQ(variant.run(test::random_clip(T, H, W)).size(), std::size_t(T) * 4 * H * 4 * W * 3);
}
TEST(Variants, WrongClipsAreErrors) {
    Assembled<toy> variant;
    Tensor<float, 4> four_channels(1, 8, 8, 4), out(1, 32, 32, 3), small(1, 31, 32, 3), good(1, 8, 8, 3);
    EXPECT_THROW(variant.model->forward(variant.cpu, four_channels, out), Error);
    EXPECT_THROW(variant.model->forward(variant.cpu, good, small), Error);
    Network<decltype(variant)::Model> unprepared(variant.cpu);
    EXPECT_THROW(unprepared->forward(variant.cpu, good, out), Error);
}

}  // namespace
}  // namespace mia
