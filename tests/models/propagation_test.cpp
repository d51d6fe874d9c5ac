#include "mia/models/propagation.hpp"

#include "mia/io/load_parameters.hpp"
#include "mia/models/spynet.hpp"
#include "mia/models/upsampler.hpp"
#include "reference/flow_warp.hpp"
#include "reference/patch_align.hpp"
#include "support/golden.hpp"

namespace mia {
namespace {

using test::Numbers;

TEST(Directions, NamesCountEachDirection) {
    constexpr auto published =
        directions(Direction::backward, Direction::forward, Direction::backward, Direction::forward);
    EXPECT_EQ(published.name(0), "backward_1");
    EXPECT_EQ(published.name(1), "forward_1");
    EXPECT_EQ(published.name(2), "backward_2");
    EXPECT_EQ(published.name(3), "forward_2");
    static_assert(published.has(Direction::backward) && !directions(Direction::forward).has(Direction::backward));
}

/// Keeps what it is given; its result is the stack's last frame times 2 plus the step.
struct RecordingBranch {
    struct State {};
    mutable std::vector<Numbers> stacks;
    mutable std::vector<int> steps;
    template <class Probe>
    void forward(Cpu&, View<const float, 4> stack, int step, State&, View<float, 3> out, Probe&&) const {
        stacks.emplace_back(stack.data, stack.data + stack.size());
        steps.push_back(step);
        const auto current = stack[stack.extent(0) - 1];
        for (int i = 0; i < out.size(); ++i) out.data[i] = 2 * current.data[i] + float(step);
    }
};

struct Order : NoProbe {
    std::vector<int> steps, frames, results;
    void step(int branch, int step, int frame) {
        EXPECT_EQ(branch, 5);
        steps.push_back(step);
        frames.push_back(frame);
    }
    template <class F>
    void features(int, int frame, const F&) {
        results.push_back(frame);
    }
};

void stacks_follow_the_specification(Direction direction, int frames_of_stack, int T) {
    SCOPED_TRACE(text(direction == Direction::forward ? "forward" : "backward", ", ", frames_of_stack, " of ", T));
    constexpr int H = 9, W = 13, C = 2, P = H * W;
    Cpu cpu(2, ScratchFill::nan);
    test::Random random(T);
    const auto in = random.numbers(T * P * C);
    Numbers flows(std::size_t((T - 1) * P * 2));
    for (std::size_t i = 0; i < flows.size(); ++i)
        flows[i] = double(i % 2 ? 2 : -1) + double((i / 2) / P % 3);  // whole pixels, another each frame
    const auto x = test::cast<float>(in), f = test::cast<float>(flows);
    auto out = test::unwritten<float>(T * P * C);
    RecordingBranch branch;
    RecordingBranch::State state;
    Order probe;
    propagate(
        cpu, branch, PatchAlignment<>(), 5, direction, T, frames_of_stack,
        [&](int frame) {
            return View<const float, 4>{x.data(), {T, H, W, C}}[frame];
        },
        View<const float, 4>{f.data(), {T - 1, H, W, 2}}, state, View<float, 4>{out.data(), {T, H, W, C}}, probe);

    const auto frame_of = [&](int j) { return direction == Direction::forward ? j : T - 1 - j; };
    const auto part = [](const Numbers& all, int i, int size) {
        return Numbers(all.begin() + i * size, all.begin() + (i + 1) * size);
    };
    const auto flow_of = [&](int j) {  // from the frame of step j to that of step j - 1
        return part(flows, direction == Direction::forward ? frame_of(j) - 1 : frame_of(j), P * 2);
    };
    std::vector<Numbers> results;
    for (int j = 0; j < T; ++j) {
        EXPECT_EQ(branch.steps[std::size_t(j)], j);
        EXPECT_EQ(probe.steps[std::size_t(j)], j);
        EXPECT_EQ(probe.frames[std::size_t(j)], frame_of(j));
        EXPECT_EQ(probe.results[std::size_t(j)], frame_of(j));
        const auto current = part(in, frame_of(j), P * C);
        std::vector<Numbers> stack{current};  // newest first
        Numbers flow;
        for (int age = 1; age < frames_of_stack; ++age) {
            if (j < age) {
                stack.push_back(stack.back());
                continue;
            }
            if (age == 1) {
                flow = flow_of(j);
            } else {
                const auto further = reference::flow_warp(flow_of(j - age + 1), flow, H, W, 2, false);
                for (std::size_t i = 0; i < flow.size(); ++i) flow[i] += further[i];
            }
            stack.push_back(reference::patch_align(results[std::size_t(j - age)], flow, H, W, C));
        }
        Numbers expected;
        for (auto it = stack.rbegin(); it != stack.rend(); ++it)
            expected.insert(expected.end(), it->begin(), it->end());
        EXPECT_EQ(branch.stacks[std::size_t(j)], expected) << "step " << j;
        Numbers result = current;
        for (double& v : result) v = double(2 * float(v) + float(j));
        results.push_back(result);
        const Numbers actual(out.begin() + frame_of(j) * P * C, out.begin() + (frame_of(j) + 1) * P * C);
        EXPECT_EQ(actual, result) << "step " << j;
    }
}

TEST(Propagate, Stacks) {
    for (const Direction direction : {Direction::forward, Direction::backward})
        for (const int T : {1, 2, 3, 5}) {
            stacks_follow_the_specification(direction, 3, T);
            stacks_follow_the_specification(direction, 2, T);
            stacks_follow_the_specification(direction, 1, T);
        }
}

/// The official unmasked file as it is: all four branches run backward in time, those called forward with the forward
/// flows, and only the results of those called backward are put back in order. A bug of that file, no option of ours.
struct LiteralIia {
    static constexpr int dim = 24, M = 16;
    using Branch = SwinIrfm<SwinIrfmConfig{{{dim, 2, {3, 8, 8}, true}, 2, {.kind = MaskKind::none}}, {{2, 2}}}, Cpu,
                            InterFrameAttention>;
    Conv2d<Conv2dConfig{.in_channels = 3, .out_channels = dim}> conv_first;
    SpyNet<> spynet;
    Branch branches[4];
    TwoStepUpsampler<UpsamplerConfig{.embed_dim = dim, .mid_channels = M}> upsampler;

    template <class Self, class Visit>
    static constexpr void each_member(Self& self, Visit&& visit) {
        visit("conv_first", self.conv_first);
        visit("spynet", self.spynet);
        visit("patch_align.backward_1", self.branches[0]);
        visit("patch_align.forward_1", self.branches[1]);
        visit("patch_align.backward_2", self.branches[2]);
        visit("patch_align.forward_2", self.branches[3]);
        visit("", self.upsampler);
    }

    void forward(Cpu& cpu, View<const float, 4> lqs, View<float, 4> out) const {
        const auto scope = cpu.scope();
        const int T = lqs.extent(0), H = lqs.extent(1), W = lqs.extent(2);
        auto features = cpu.scratch(T, H, W, dim), next = cpu.scratch(T, H, W, dim);
        const auto backward = cpu.scratch(T - 1, H, W, 2), forward = cpu.scratch(T - 1, H, W, 2);
        for (int i = 0; i + 1 < T; ++i) {
            spynet.forward(cpu, lqs[i], lqs[i + 1], backward[i]);
            spynet.forward(cpu, lqs[i + 1], lqs[i], forward[i]);
        }
        for (int t = 0; t < T; ++t) conv_first.forward(cpu, lqs[t], features[t]);
        for (int i = 0; i < 4; ++i) {
            Branch::State state;
            propagate(
                cpu, branches[i], PatchAlignment<>(), i, Direction::backward, T, 3,
                [&](int frame) { return View<const float, 3>(features[frame]); },
                View<const float, 4>(i % 2 == 0 ? backward : forward), state, next, NoProbe());
            for (int t = 0; t < T; ++t)  // a forward branch's results stay in the order of processing
                copy(cpu, rows_of(View<const float, 3>(next[i % 2 == 0 ? t : T - 1 - t])), rows_of(features[t]));
        }
        for (int t = 0; t < T; ++t) upsampler.forward(cpu, features[t], lqs[t], out[t]);
    }
};

TEST(PropagateGolden, OfficialUnmaskedFileAsItIs) {
    constexpr double bound = 7.4e-6;  // ten times what an independent float implementation reaches
    constexpr int T = 3, H = 64, W = 76;
    const auto clip = test::Golden("e2e_mia")("lqs");
    Cpu cpu(2, ScratchFill::nan);
    Network<LiteralIia> model(cpu);
    load_parameters(*model, test::Golden("e2e_weights").file(), {.prefix = "", .mask = MaskTensors::optional});
    prepare(cpu, *model);
    Tensor<float, 4> lqs(T, H, W, 3), out(T, 4 * H, 4 * W, 3);
    for (int t = 0; t < T; ++t) {
        const auto frame = test::channels_last(clip, t);
        std::copy(frame.data(), frame.data() + frame.size(), lqs.view()[t].data);
    }
    model->forward(cpu, lqs, out);
    std::vector<float> third;  // (T, 3, 85, 101): every third pixel from 1
    for (int t = 0; t < T; ++t)
        for (int c = 0; c < 3; ++c)
            for (int y = 1; y < 4 * H; y += 3)
                for (int x = 1; x < 4 * W; x += 3) third.push_back(out.view()(t, y, x, c));
    const auto expected = test::Golden("e2e_iia_literal")("out_sub");
    ASSERT_EQ(third.size(), expected.data.size());
    test::Errors("e2e_iia_literal").compare("out_sub", third.data(), expected.data, bound);
}

}  // namespace
}  // namespace mia
