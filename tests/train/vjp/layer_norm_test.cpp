#include "train/gradient_check.hpp"

namespace mia {
namespace {

using test::DoubleTape;
using test::Input;

TEST(LayerNormVjp, CentralDifferences) {
    test::Random random(1);
    for (const auto& [rows, C] : {std::pair(1, 3), {7, 8}, {5, 13}, {259, 4}})
        test::check_gradients(
            {{random.numbers(rows * C)}, {random.numbers(C)}, {random.numbers(C)}},
            [rows = rows, C = C](DoubleTape& tape, const std::vector<Input>& in) {
                const auto y = tape.scratch(rows, C);
                layer_norm(tape, in[0].as(rows, C), in[1].as(C), in[2].as(C), y);
                return y;
            },
            1e-6);
}

TEST(LayerNormVjp, OfOneChannelIsZero) {  // y does not depend on x
    test::check_gradients({{{1, 2, 3}}, {{2}}, {{0.5}}}, [](DoubleTape& tape, const std::vector<Input>& in) {
        const auto y = tape.scratch(3, 1);
        layer_norm(tape, in[0].as(3, 1), in[1].as(1), in[2].as(1), y);
        return y;
    });
}

}  // namespace
}  // namespace mia
