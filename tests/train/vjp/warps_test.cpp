#include "train/gradient_check.hpp"

namespace mia {
namespace {

using test::DoubleTape;
using test::Input;

/// Flows whose sampled points stay away from the pixels' centres, where bilinear sampling has a corner.
std::vector<float> smooth_flow(int H, int W, double range) {
    test::Random random(5);
    std::vector<float> flow;
    for (int i = 0; i < 2 * H * W; ++i)
        flow.push_back(float(std::floor(random.number(-range, range)) + random.number(0.2, 0.8)));
    return flow;
}

TEST(WarpsVjp, FlowWarpInput) {
    test::Random random(1);
    for (const auto padding : {Padding::zeros, Padding::border})
        for (const auto& [H, W] : {std::pair(5, 6), {1, 4}, {37, 3}}) {
            const auto flow = smooth_flow(H, W, 4);
            test::check_gradients({{random.numbers(H * W * 3)}},
                                  [&, H = H, W = W](DoubleTape& tape, const std::vector<Input>& in) {
                                      const auto y = tape.scratch(H, W, 3);
                                      flow_warp(tape, in[0].as(H, W, 3), {flow.data(), {H, W, 2}}, padding, y);
                                      return y;
                                  });
        }
}

/// The flow is float, so the step is a binary fraction and the bound float's.
TEST(WarpsVjp, FlowWarpFlow) {
    test::Random random(2);
    for (const auto padding : {Padding::zeros, Padding::border})
        for (const auto& [H, W] : {std::pair(5, 7), {1, 4}, {11, 3}}) {
            const auto flow = smooth_flow(H, W, 4);
            const test::Numbers image = random.numbers(H * W * 3);
            test::check_gradients(
                {{test::Numbers(flow.begin(), flow.end())}},
                [&, H = H, W = W](DoubleTape& tape, const std::vector<Input>& in) {
                    const auto moved = tape.scratch<float>(H, W, 2);
                    convert(tape, in[0].as(H * W, 2), rows_of(moved));
                    const auto y = tape.scratch(H, W, 3);
                    flow_warp(tape, View<const double, 3>{image.data(), {H, W, 3}}, moved, padding, y);
                    return y;
                },
                1e-4, 1 / 64.0);
        }
}

TEST(WarpsVjp, SubpixelAlignInput) {
    test::Random random(4);
    for (const int factor : {1, 2, 4})
        for (const auto& [H, W] : {std::pair(1, 3), {7, 5}}) {
            const int C = 2 * factor * factor;
            const auto flow = smooth_flow(H, W, 2);
            test::check_gradients({{random.numbers(H * W * C)}},
                                  [&, H = H, W = W](DoubleTape& tape, const std::vector<Input>& in) {
                                      const auto y = tape.scratch(H, W, C);
                                      subpixel_align(tape, in[0].as(H, W, C), {flow.data(), {H, W, 2}}, factor, y);
                                      return y;
                                  });
        }
}

TEST(WarpsVjp, PatchAlignInput) {
    test::Random random(3);
    for (const auto& [H, W] : {std::pair(5, 8), {9, 11}, {40, 6}}) {
        const auto flow = smooth_flow(H, W, 3);
        test::check_gradients({{random.numbers(H * W * 3)}},
                              [&, H = H, W = W](DoubleTape& tape, const std::vector<Input>& in) {
                                  const auto y = tape.scratch(H, W, 3);
                                  patch_align(tape, in[0].as(H, W, 3), {flow.data(), {H, W, 2}}, y);
                                  return y;
                              });
    }
}

/// Flows that a nearest alignment uses get no gradient, nor do frames through a search.
TEST(WarpsVjp, NothingForFlowsOfPatchesNorForASearch) {
    test::DoubleCpu cpu;
    DoubleTape tape(cpu);
    test::Random random(4);
    const test::Numbers numbers = random.numbers(8 * 8 * 3, 0, 1), target(8 * 8 * 3);
    const auto frame = tape.variable(View<const double, 3>{numbers.data(), {8, 8, 3}});
    const auto flow = tape.scratch<float>(8, 8, 2);
    block_match(tape, frame, frame, flow);
    const auto given = tape.variable(View<const float, 3>(flow));
    const auto y = tape.scratch(8, 8, 3);
    patch_align(tape, View<const double, 3>{numbers.data(), {8, 8, 3}}, given, y);
    mse_loss(tape, y, View<const double, 3>{target.data(), {8, 8, 3}});
    tape.backward();
    for (int i = 0; i < 8 * 8 * 2; ++i) ASSERT_EQ(tape.gradient_of(given).data[i], 0);
    for (int i = 0; i < 8 * 8 * 3; ++i) ASSERT_EQ(tape.gradient_of(frame).data[i], 0);
}

}  // namespace
}  // namespace mia
