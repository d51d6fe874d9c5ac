#include "train/gradient_check.hpp"

namespace mia {
namespace {

using test::DoubleTape;
using test::Input;

struct Case {
    int height, width, in, out, kernel;
    Activation activation;
    bool residual;
};

TEST(Conv2dVjp, CentralDifferences) {
    test::Random random(1);
    PackedConv2d<DoubleTape> packed;
    for (const Case& c : {Case{1, 1, 1, 1, 1, Activation::none, false},
                          {5, 7, 3, 4, 3, Activation::none, true},
                          {4, 3, 5, 3, 3, Activation::leaky_relu, false},
                          {3, 9, 2, 2, 7, Activation::relu, false},
                          {2, 3, 4, 9, 3, Activation::gelu, false},
                          {3, 2, 1, 2, 3, Activation::leaky_relu, true},
                          {40, 9, 1, 1, 3, Activation::none, false}})  // more than one piece of rows
        test::check_gradients({{random.numbers(c.height * c.width * c.in)},
                               {random.numbers(c.out * c.in * c.kernel * c.kernel)},
                               {random.numbers(c.out)},
                               {random.numbers(c.height * c.width * c.out)}},
                              [&](DoubleTape& tape, const std::vector<Input>& in) {
                                  pack_conv2d(tape, in[1].as(c.out, c.in, c.kernel, c.kernel), in[2].as(c.out), packed);
                                  const auto y = tape.scratch(c.height, c.width, c.out);
                                  conv2d(tape, in[0].as(c.height, c.width, c.in), packed, y, c.activation,
                                         c.residual ? in[3].as(c.height, c.width, c.out) : View<const double, 3>{});
                                  return y;
                              });
}

}  // namespace
}  // namespace mia
