#include "mia/ops/resize/resize.hpp"

#include "reference/resize.hpp"
#include "support/golden.hpp"

namespace mia {
namespace {

template <class T>
class ResizeOp : public testing::Test {};
using Scalars = testing::Types<float, double>;
TYPED_TEST_SUITE(ResizeOp, Scalars);

constexpr double coordinate_rounding = 1e-5;  // coordinates up to 50 are floats, whatever the element type

TYPED_TEST(ResizeOp, OddSizes) {
    using T = TypeParam;
    const int sizes[][4] = {{1, 1, 1, 1}, {1, 1, 4, 4},  {1, 5, 3, 2},   {5, 1, 7, 1},
                            {3, 4, 6, 8}, {7, 9, 5, 31}, {13, 50, 4, 7}, {2, 2, 9, 9}};
    for (const auto& [H, W, to_H, to_W] : sizes)
        for (const int C : {1, 2, 3, 5})
            for (const Corners corners : {Corners::apart, Corners::aligned}) {
                const auto x = test::Random(H * W + C).numbers(H * W * C);
                const auto in = test::cast<T>(x);
                auto expected = reference::resize(x, H, W, C, to_H, to_W, corners == Corners::aligned);
                for (std::size_t i = 0; i < expected.size(); ++i)
                    expected[i] *= int(i) % C == 0 ? 1.5 : int(i) % C == 1 ? -2 : 1;
                std::vector<T> first;
                for (const int threads : {1, 2, 3}) {
                    BasicCpu<T> cpu(threads, ScratchFill::nan);
                    auto y = test::unwritten<T>(to_H * to_W * C);
                    resize_bilinear<T>(cpu, {in.data(), {H, W, C}}, corners, {y.data(), {to_H, to_W, C}}, {1.5f, -2});
                    if (threads == 1) first = y;
                    EXPECT_TRUE(test::same_bytes(y, first));
                }
                test::expect_near(first, expected, coordinate_rounding,
                                  text(H, " x ", W, " to ", to_H, " x ", to_W, " corners ", int(corners)));
            }
}

TYPED_TEST(ResizeOp, TheSameSizeIsTheSameImage) {
    using T = TypeParam;
    BasicCpu<T> cpu(2, ScratchFill::nan);
    const auto x = test::cast<T>(test::Random(3).numbers(7 * 11 * 3));
    for (const Corners corners : {Corners::apart, Corners::aligned}) {
        auto y = test::unwritten<T>(7 * 11 * 3);
        resize_bilinear<T>(cpu, {x.data(), {7, 11, 3}}, corners, {y.data(), {7, 11, 3}});
        EXPECT_EQ(x, y);
    }
}

TEST(Resize, RefusesWhatDoesNotFit) {
    Cpu cpu;
    std::vector<float> x(64), y(64);
    EXPECT_THROW(resize_bilinear<float>(cpu, {x.data(), {2, 2, 3}}, Corners::apart, {y.data(), {4, 4, 2}}), Error);
    EXPECT_THROW(resize_bilinear<float>(cpu, {x.data(), {0, 2, 3}}, Corners::apart, {y.data(), {4, 4, 3}}), Error);
}

TEST(ResizeGolden, OpsBasic) {
    constexpr double bound = 1.4e-5;  // ten times what an independent float implementation reaches
    const test::Golden golden("ops_basic");
    Cpu cpu(2, ScratchFill::nan);
    test::Errors errors("ops_basic resize");
    const auto check = [&](const std::string& name, Corners corners, float factor) {
        const auto x = test::channels_last(golden(name + ".x"));
        const auto expected = golden(name + ".y");
        Tensor<float, 3> y(expected.extent(2), expected.extent(3), expected.extent(1));
        resize_bilinear<float>(cpu, x.view(), corners, y.view(), {factor, factor});
        errors.compare_image<float>(name, y.view(), expected, bound);
    };
    for (const char* name : {"bilinear_x4", "resize_ac0_up", "resize_ac0_down"}) check(name, Corners::apart, 1);
    for (const char* name : {"spy_up2_1x1", "spy_up2_1x3", "spy_up2_3x5"}) check(name, Corners::aligned, 2);
}

}  // namespace
}  // namespace mia
