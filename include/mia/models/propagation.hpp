#pragma once
#include <string>

#include "mia/models/alignment.hpp"
#include "mia/models/clip_flows.hpp"
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

    constexpr bool has(Direction direction) const {
        for (int i = 0; i < count; ++i)
            if (value[i] == direction) return true;
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

/// One step of a branch: aligns the results of the steps before to the current frame and stacks them, oldest first,
/// current last. Older ones move by the sum of flows, each warped to where the newer one leads. While fewer are there,
/// the oldest is repeated; in step 0 the current frame stands for all.
///   current: (H, W, C); earlier(age): (H, W, C), the result of step - age; flow(age): (H, W, 2), from the frame of
///   step - age + 1 to the frame of step - age -> out: (H, W, C)
template <class Branch, class Alignment, class B, class Earlier, class Flow, class Probe>
void propagate_step(B& backend, const Branch& branch, const Alignment& alignment, int step, int frames_of_stack,
                    View<const typename B::Scalar, 3> current, Earlier&& earlier, Flow&& flow_of,
                    typename Branch::State& state, View<typename B::Scalar, 3> out, Probe&& probe) {
    const auto scope = backend.scope();
    const int H = current.extent(0), W = current.extent(1), C = current.extent(2);
    const auto stack = backend.scratch(frames_of_stack, H, W, C);
    // Taken in every step, used from the third on: then each step takes the same.
    const auto further = backend.template scratch<float>(H, W, 2);
    const auto sums = backend.template scratch<float>(frames_of_stack, H, W, 2);
    constexpr bool stores_kv = [] {
        if constexpr (requires { Branch::has_kv_cache; }) return Branch::has_kv_cache && TokenGather<Alignment, B>;
        return false;
    }();
    const auto sources = backend.template scratch<int>(stores_kv ? frames_of_stack - 1 : 0, H, W);
    if constexpr (stores_kv)
        if (step > 0) branch.store_kv(backend, earlier(1), step - 1, state);
    View<const float, 3> flow{};
    for (int age = 1; age < frames_of_stack; ++age) {
        const int f = frames_of_stack - 1 - age;
        const auto place = stack[f];
        if (step == 0) {
            copy(backend, rows_of(current), rows_of(place));
        } else if (age > step) {
            copy(backend, rows_of(stack[frames_of_stack - age]), rows_of(place));
        } else {
            if (age == 1) {
                flow = flow_of(1);
            } else {  // where the newer flow leads, the older frame's flow goes on
                flow_warp(backend, flow_of(age), flow, Padding::zeros, further);
                add_flows(backend, flow, further, sums[age]);
                flow = sums[age];
            }
            alignment.forward(backend, earlier(age), flow, place);
        }
        if constexpr (stores_kv)
            if (age <= step) alignment.source(backend, flow, sources[f]);
    }
    copy(backend, rows_of(current), rows_of(stack[frames_of_stack - 1]));
    probe.aligned(stack);
    if constexpr (stores_kv)
        branch.forward(backend, stack, step, state, out, probe, View<const int, 3>(sources));
    else
        branch.forward(backend, stack, step, state, out, probe);
}

/// Runs one branch over the first `steps` frames of a clip in the branch's order. in(frame): (H, W, C), called once for
/// each of them in turn; flows: of the branch's direction, (T - 1, H, W, 2) -> out: (T, H, W, C), by frame number;
/// frames not reached are left alone.
template <class Branch, class Alignment, class B, class In, class Probe>
void propagate(B& backend, const Branch& branch, const Alignment& alignment, int branch_number, Direction direction,
               int steps, int frames_of_stack, In&& in, View<const float, 4> flows, typename Branch::State& state,
               View<typename B::Scalar, 4> out, Probe&& probe) {
    const int T = out.extent(0);
    const bool onward = direction == Direction::forward;
    const auto frame_of = [&](int step) { return onward ? step : T - 1 - step; };
    for (int step = 0; step < steps; ++step) {
        const int frame = frame_of(step);
        const View<const typename B::Scalar, 3> current = in(frame);
        probe.step(branch_number, step, frame);
        propagate_step(
            backend, branch, alignment, step, frames_of_stack, current,
            [&](int age) { return View<const typename B::Scalar, 3>(out[frame_of(step - age)]); },
            [&](int age) { return flows[onward ? step - age : T - 1 - step + age - 1]; }, state, out[frame], probe);
        probe.features(branch_number, frame, out[frame]);
    }
}

}  // namespace mia
