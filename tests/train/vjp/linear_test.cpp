#include "train/gradient_check.hpp"

namespace mia {
namespace {

using test::DoubleTape;
using test::Input;

struct Case {
    int rows, in, out;
    Activation activation;
    bool bias, residual;
    double scale;
};

TEST(LinearVjp, CentralDifferences) {
    PackedLinear<DoubleTape> packed;
    test::Random random(1);
    for (const Case& c : {Case{1, 1, 1, Activation::none, true, false, 1},
                          {7, 3, 5, Activation::none, true, true, 1},
                          {261, 9, 4, Activation::none, true, false, 1},
                          {5, 4, 17, Activation::gelu, true, false, 1},
                          {6, 5, 3, Activation::gelu, false, false, 1},
                          {9, 2, 11, Activation::leaky_relu, true, false, 1},
                          {4, 3, 6, Activation::relu, true, true, 1},
                          {5, 8, 3, Activation::none, false, false, 0.25}})
        test::check_gradients({{random.numbers(c.rows * c.in)},
                               {random.numbers(c.out * c.in)},
                               {random.numbers(c.out)},
                               {random.numbers(c.rows * c.out)}},
                              [&](DoubleTape& tape, const std::vector<Input>& in) {
                                  packed.ready = false;
                                  pack_linear(tape, in[1].as(c.out, c.in),
                                              c.bias ? in[2].as(c.out) : View<const double, 1>{}, c.scale, packed);
                                  const auto y = tape.scratch(c.rows, c.out);
                                  linear(tape, in[0].as(c.rows, c.in), packed, y, c.activation,
                                         c.residual ? in[3].as(c.rows, c.out) : View<const double, 2>{});
                                  return y;
                              });
}

TEST(LinearVjp, FirstRowsOnly) {
    test::Random random(2);
    const int used = 3;
    PackedLinear<DoubleTape> packed;
    test::check_gradients({{random.numbers(7 * 4)}, {random.numbers(5 * 4)}, {random.numbers(5)}},
                          [&](DoubleTape& tape, const std::vector<Input>& in) {
                              pack_linear(tape, in[1].as(5, 4), in[2].as(5), 1.0, packed);
                              const auto y = tape.scratch(7, 5);
                              linear(tape, in[0].as(7, 4), packed, y, Activation::none, {}, {&used, 2});
                              return y.slice(0, 6);
                          });
}

}  // namespace
}  // namespace mia
