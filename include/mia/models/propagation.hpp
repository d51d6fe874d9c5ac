#pragma once
#include <string>

#include "mia/models/alignment.hpp"
#include "mia/nn/swin_irfm.hpp"

namespace mia {

enum class Direction {
    forward,  ///< first frame to last: no look-ahead
    backward  ///< last frame to first
};

/// The branches of a model, one after the other, each on the result of the one before. At most 8.
struct Directions {
    static constexpr int most = 8;
    int count = 0;
    Direction value[most] = {};

    constexpr bool has_backward() const {
        for (int i = 0; i < count; ++i)
            if (value[i] == Direction::backward) return true;
        return false;
    }
    /// Name in the checkpoint: the n-th of its direction, backward_1, forward_1, backward_2, ...
    std::string name(int branch) const {
        int n = 0;
        for (int i = 0; i <= branch; ++i) n += value[i] == value[branch];
        std::string name = value[branch] == Direction::forward ? "forward_" : "backward_";
        name += std::to_string(n);
        return name;
    }
};

/// directions(Direction::backward, Direction::forward).
template <class... D>
constexpr Directions directions(D... d) {
    static_assert(sizeof...(D) >= 1 && sizeof...(D) <= Directions::most, "directions: list 1 to 8 of them");
    return {int(sizeof...(D)), {d...}};
}

/// The flows of a clip of T frames: backward[i] from frame i to i + 1, forward[i] from frame i + 1 to i;
/// (T - 1, H, W, 2) float, in pixels. Only those that the model's directions use need data.
struct ClipFlows {
    View<const float, 4> backward, forward;
};

/// Runs one branch over a clip. Frames are processed in the branch's order; step j aligns the results of the steps
/// j - 1, j - 2, ... to the current frame and stacks them, oldest first, current last. Older ones move by the sum of
/// flows, each warped to where the newer one leads. While fewer are there, the oldest is repeated; in the first step
/// the current frame stands for all. in: (T, H, W, C), flows: of the branch's direction, (T - 1, H, W, 2) -> out: (T,
/// H, W, C), both by frame number.
template <class Branch, class Alignment, class B, class Probe>
void propagate(B& backend, const Branch& branch, const Alignment& alignment, int branch_number, Direction direction,
               int frames_of_stack, View<const typename B::Scalar, 4> in, View<const float, 4> flows,
               typename Branch::State& state, View<typename B::Scalar, 4> out, Probe&& probe) {
    const int T = in.extent(0), H = in.extent(1), W = in.extent(2), C = in.extent(3);
    const auto frame_of = [&](int step) { return direction == Direction::forward ? step : T - 1 - step; };
    // From the frame of step j to the frame of step j - 1.
    const auto flow_of = [&](int step) { return flows[direction == Direction::forward ? step - 1 : T - 1 - step]; };
    for (int step = 0; step < T; ++step) {
        const auto scope = backend.scope();
        const auto stack = backend.scratch(frames_of_stack, H, W, C);
        // Taken in every step, used from the third on: then each step takes the same.
        const auto further = backend.template scratch<float>(H, W, 2);
        const auto sums = backend.template scratch<float>(frames_of_stack, H, W, 2);
        const auto current = in[frame_of(step)];
        probe.step(branch_number, step, frame_of(step));
        View<const float, 3> flow{};
        for (int age = 1; age < frames_of_stack; ++age) {
            const auto place = stack[frames_of_stack - 1 - age];
            if (step == 0) {
                copy(backend, rows_of(current), rows_of(place));
            } else if (age > step) {
                copy(backend, rows_of(stack[frames_of_stack - age]), rows_of(place));
            } else {
                if (age == 1) {
                    flow = flow_of(step);
                } else {  // where the newer flow leads, the older frame's flow goes on
                    flow_warp(backend, flow_of(step - age + 1), flow, Padding::zeros, further);
                    add_flows(backend, flow, further, sums[age]);
                    flow = sums[age];
                }
                alignment.forward(backend, out[frame_of(step - age)], flow, place);
            }
        }
        copy(backend, rows_of(current), rows_of(stack[frames_of_stack - 1]));
        branch.forward(backend, stack, step, state, out[frame_of(step)], probe);
        probe.features(branch_number, frame_of(step), out[frame_of(step)]);
    }
}

}  // namespace mia
