#include "train/gradient_check.hpp"

namespace mia {
namespace {

using test::DoubleTape;
using test::Input;

TEST(ImagesVjp, PadAndCrop) {
    test::Random random(1);
    for (const auto& [H, W, to_H, to_W] : {std::tuple(3, 4, 5, 9), {1, 1, 3, 3}, {4, 2, 4, 2}, {2, 5, 6, 5}})
        test::check_gradients({{random.numbers(H * W * 2)}},
                              [=, H = H, W = W, to_H = to_H, to_W = to_W](DoubleTape& tape, const auto& in) {
                                  const auto y = tape.scratch(to_H, to_W, 2);
                                  pad_replicate(tape, in[0].as(H, W, 2), y);
                                  return y;
                              });
    test::check_gradients({{random.numbers(5 * 6 * 3)}}, [](DoubleTape& tape, const std::vector<Input>& in) {
        const auto y = tape.scratch(4, 2, 3);
        crop_image(tape, in[0].as(5, 6, 3), y);
        return y;
    });
}

TEST(ImagesVjp, PixelShuffle) {
    test::Random random(2);
    for (const int r : {1, 2, 3})
        for (const bool residual : {false, true})
            for (const auto activation : {Activation::none, Activation::leaky_relu})
                test::check_gradients({{random.numbers(2 * 3 * r * r * 2)}, {random.numbers(2 * 3 * r * r * 2)}},
                                      [=](DoubleTape& tape, const std::vector<Input>& in) {
                                          const auto y = tape.scratch(2 * r, 3 * r, 2);
                                          pixel_shuffle(tape, in[0].as(2, 3, r * r * 2), r, y, activation,
                                                        residual ? in[1].as(2 * r, 3 * r, 2) : View<const double, 3>{});
                                          return y;
                                      });
}

TEST(ImagesVjp, Resize) {
    test::Random random(3);
    for (const auto corners : {Corners::apart, Corners::aligned})
        for (const auto& [H, W, to_H, to_W] :
             {std::tuple(3, 4, 12, 16), {5, 7, 3, 2}, {1, 1, 4, 3}, {40, 2, 37, 3}, {2, 3, 1, 1}})
            test::check_gradients({{random.numbers(H * W * 3)}}, [=, H = H, W = W, to_H = to_H, to_W = to_W](
                                                                     DoubleTape& tape, const std::vector<Input>& in) {
                const auto y = tape.scratch(to_H, to_W, 3);
                resize_bilinear(tape, in[0].as(H, W, 3), corners, y, {2, 0.5f});
                return y;
            });
}

TEST(ImagesVjp, AveragePooling) {
    test::Random random(4);
    for (const int k : {1, 2, 3})
        test::check_gradients({{random.numbers(7 * 9 * 2)}}, [=](DoubleTape& tape, const std::vector<Input>& in) {
            const auto y = tape.scratch(7 / k, 9 / k, 2);
            avg_pool2d(tape, in[0].as(7, 9, 2), k, y);
            return y;
        });
}

}  // namespace
}  // namespace mia
