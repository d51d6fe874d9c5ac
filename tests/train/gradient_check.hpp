#pragma once
#include <gtest/gtest.h>

#include <functional>
#include <string>
#include <vector>

#include "mia/train/losses.hpp"
#include "reference/numbers.hpp"

namespace mia::test {

using DoubleCpu = BasicCpu<double>;
using DoubleTape = Tape<DoubleCpu>;

/// One input of an op under test: its numbers, and the shape under which the op sees them.
struct Input {
    Numbers numbers;
    View<double, 1> on_tape{};  ///< the variable of the run at hand
    template <class... I>
    View<const double, int(sizeof...(I))> as(I... extents) const {
        return View<const double, 1>(on_tape).reshape(extents...);
    }
};

/// Compares the gradient of sum(weights * result) that a tape gives with central differences, for every input and
/// number. run(tape, inputs) does the forward pass and returns its result in the tape's memory. An input may be used
/// as a parameter too: variables have gradients.
template <class Run>
void check_gradients(std::vector<Input> inputs, Run run, double bound = 1e-7, double step = 1e-5, int threads = 2) {
    DoubleCpu cpu(threads, ScratchFill::nan);
    DoubleTape tape(cpu, {}, {.check_writes = true, .fill = ScratchFill::nan});
    const auto start = [&] {
        tape.restart();
        for (Input& input : inputs)
            input.on_tape = tape.variable(View<const double, 1>{input.numbers.data(), {int(input.numbers.size())}});
    };
    start();
    Numbers weights;
    std::vector<Numbers> targets(2);
    for (Numbers& target : targets) {  // twice: the second time a vjp adds to what the first has left
        const auto y = run(tape, inputs);
        const int size = int(y.size());
        weights = Random(99).numbers(size);
        // mse_loss against y - weights has the gradient 2 / size * weights.
        for (int i = 0; i < size; ++i) target.push_back(y.data[i] - weights[std::size_t(i)]);
        mse_loss(tape, y.reshape(size), View<const double, 1>{target.data(), {size}}, size / 2.0);
    }
    tape.backward();
    std::vector<Numbers> gradients;
    for (Input& input : inputs) {
        const auto g = tape.gradient_of(input.on_tape);
        gradients.emplace_back(g.data, g.data + g.size());
        for (double& x : gradients.back()) x /= 2;
    }
    const auto value = [&] {
        start();
        const auto y = run(tape, inputs);
        double sum = 0;
        for (std::size_t i = 0; i < weights.size(); ++i) sum += weights[i] * y.data[i];
        return sum;
    };
    for (std::size_t k = 0; k < inputs.size(); ++k) {
        Numbers expected;
        for (double& x : inputs[k].numbers) {
            const double at = x;
            x = at + step;
            const double above = value();
            x = at - step;
            const double below = value();
            x = at;
            expected.push_back((above - below) / (2 * step));
        }
        expect_near(gradients[k], expected, bound, "gradient of input " + std::to_string(k));
    }
}

}  // namespace mia::test
