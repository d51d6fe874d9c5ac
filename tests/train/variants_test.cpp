// Every part that a variant may replace is trained here once: forward, backward, and the gradient of its parameters
// against a difference of losses along it.
#include <gtest/gtest.h>

#include "mia/models/mia_vsr.hpp"
#include "mia/train/losses.hpp"
#include "support/random_model.hpp"
#include "support/toy_parts.hpp"

namespace mia {
namespace {

constexpr MiaVsrConfig toy{.embed_dim = 8,
                           .num_heads = 2,
                           .window = {3, 4, 4},
                           .depths = {{2}},
                           .directions = directions(Direction::backward, Direction::forward),
                           .mask = {.kind = MaskKind::none},
                           .mid_channels = 4,
                           .scale = 2};
constexpr MiaVsrConfig with(auto change) {
    MiaVsrConfig config = toy;
    change(config);
    return config;
}

using test::ToyParts;

using Back = BasicCpu<double>;

/// Moves the parameters a little along their gradient: the loss must change by the step times the gradient's square.
/// (In double; where a mask decides, the step is too small to turn a token.)
template <MiaVsrConfig C, class Parts = ToyParts>
void train_once(double bound = 1e-5, double distance = 1e-6) {
    Back cpu(2, ScratchFill::nan);
    Network<MiaVsr<C, Tape<Back>, Parts>, Back> model(cpu);
    test::randomize(*model);
    const auto parameters = model.flat();
    const auto frames = test::random_clip(3, 9, 11);
    Tensor<double, 4> clip(3, 9, 11, 3), target(3, 9 * C.scale, 11 * C.scale, 3);
    std::copy(frames.data(), frames.data() + frames.size(), clip.data());
    std::fill(target.data(), target.data() + target.size(), 0.5);
    const auto loss = [&](Tape<Back>& tape) {
        prepare(tape, *model);
        const auto out = tape.scratch(3, 9 * C.scale, 11 * C.scale, 3);
        model->forward(tape, View<const double, 4>(clip.view()), out);
        return mse_loss(tape, out, View<const double, 4>(target.view()));
    };
    std::vector<double> gradient;
    double square = 0;
    {
        Tape<Back> tape(cpu, parameters, {.check_writes = true, .fill = ScratchFill::nan});
        loss(tape);
        tape.backward();
        const auto g = tape.parameter_gradients();
        gradient.assign(g.data, g.data + g.size());
        for (const double x : gradient) square += x * x;
    }
    ASSERT_GT(square, 0);
    const double step = distance / std::sqrt(square);
    const auto moved = [&](double by) {
        for (std::ptrdiff_t i = 0; i < parameters.size(); ++i) parameters(i) += by * gradient[std::size_t(i)];
        Tape<Back> tape(cpu, parameters);  // the same noise
        return loss(tape);
    };
    const double above = moved(step), below = moved(-2 * step);
    EXPECT_NEAR((above - below) / (2 * step), square, bound * square);
}

TEST(TrainedVariants, Plain) { train_once<toy>(); }

struct Joint : ToyParts {
    template <AttentionConfig C, class B>
    using Attention = JointAttention<C, B>;
};
TEST(TrainedVariants, JointAttention) { train_once<toy, Joint>(); }

struct Intra : ToyParts {
    template <AttentionConfig C, class B>
    using Attention = IntraFrameAttention<C, B>;
};
TEST(TrainedVariants, IntraFrameAttention) { train_once<toy, Intra>(); }

/// Bilinear warps, whose flow comes from a network that learns with them; two-step tail.
struct Learned : PublishedParts {
    template <class B>
    using Flow = SpyNet<SpyNetConfig{.levels = 2, .kernel_size = 3, .channels = {{4, 4}}}, B>;
    template <class B>
    using Alignment = BilinearAlignment<B>;
};
TEST(TrainedVariants, SpyNetWithBilinearAlignmentAndTwoSteps) {
    // The flow is float, so the slope of the loss is known to float's rounding over the step only.
    train_once<with([](auto& c) { c.scale = 4; }), Learned>(0.05, 1e-3);
}

struct Still : ToyParts {
    template <class B>
    using Flow = ZeroFlow<B>;
    template <class B>
    using Alignment = NoAlignment<B>;
};
TEST(TrainedVariants, NoFlowThreeTimesTwoFramesForwardOnly) {
    train_once<with([](auto& c) {
                   c.scale = 3;
                   c.window.frames = 2;
                   c.qkv_bias = false;
                   c.directions = directions(Direction::forward);
               }),
               Still>();
}

struct Subpixel : ToyParts {
    template <class B>
    using Flow = BlockMatching<B, MatchPrecision::quarter>;
    template <class B>
    using Alignment = SubpixelAlignment<2, B>;
};
TEST(TrainedVariants, SubpixelAlignmentAndFusion) {
    train_once<with([](auto& c) { c.fusion = Fusion::linear; }), Subpixel>();
    train_once<with([](auto& c) { c.fusion = Fusion::convolution; }), Subpixel>();
}

TEST(TrainedVariants, ThresholdMaskWithRefresh) {
    train_once<with([](auto& c) {
        c.mask = {.kind = MaskKind::threshold, .threshold = 0.4f, .first_blocks = 1, .refresh_every = 2};
        c.directions = directions(Direction::forward, Direction::forward, Direction::forward);
    })>(0.02);  // State is detached: what it carries on is not in the gradient
}

}  // namespace
}  // namespace mia
