#include "mia/ops/resize/resize.hpp"

#include "reference/resize.hpp"
#include "support/backends.hpp"
#include "support/golden.hpp"

namespace mia {
namespace {

template <class B>
class ResizeOp : public testing::Test {};
TYPED_TEST_SUITE(ResizeOp, test::Backends);
template <class B>
class ResizeFloat : public testing::Test {};
TYPED_TEST_SUITE(ResizeFloat, test::FloatBackends);

constexpr double resize_rounding = 1e-5;  // coordinates up to 50 are floats, whatever the element type

TYPED_TEST(ResizeOp, OddSizes) {
    using T = typename TypeParam::Scalar;
    const int sizes[][4] = {{1, 1, 1, 1}, {1, 1, 4, 4},  {1, 5, 3, 2},   {5, 1, 7, 1},
                            {3, 4, 6, 8}, {7, 9, 5, 31}, {13, 50, 4, 7}, {2, 2, 9, 9}};
    for (const auto& [H, W, to_H, to_W] : sizes)
        for (const int C : {1, 2, 3, 5})
            for (const Corners corners : {Corners::apart, Corners::aligned}) {
                const auto x = test::Random(H * W + C).numbers(H * W * C);
                auto expected = reference::resize(x, H, W, C, to_H, to_W, corners == Corners::aligned);
                for (std::size_t i = 0; i < expected.size(); ++i)
                    expected[i] *= int(i) % C == 0 ? 1.5 : int(i) % C == 1 ? -2 : 1;
                std::vector<T> first;
                for (const int threads : test::thread_counts<TypeParam>()) {
                    auto backend = test::make_backend<TypeParam>(threads);
                    auto out = test::place<3>(backend, {to_H, to_W, C});
                    resize_bilinear<T>(backend, test::place<3>(backend, x, {H, W, C}), corners, out, {1.5f, -2});
                    const auto y = out.values();
                    if (threads == 1) first = y;
                    EXPECT_TRUE(test::same_bytes(y, first));
                }
                test::expect_near(first, expected, resize_rounding,
                                  text(H, " x ", W, " to ", to_H, " x ", to_W, " corners ", int(corners)));
            }
}

TYPED_TEST(ResizeOp, TheSameSizeIsTheSameImage) {
    using T = typename TypeParam::Scalar;
    auto backend = test::make_backend<TypeParam>();
    const auto x = test::place<3>(backend, test::Random(3).numbers(7 * 11 * 3), {7, 11, 3});
    for (const Corners corners : {Corners::apart, Corners::aligned}) {
        auto y = test::place<3>(backend, {7, 11, 3});
        resize_bilinear<T>(backend, x, corners, y);
        EXPECT_EQ(x.values(), y.values());
    }
}

TYPED_TEST(ResizeFloat, RefusesWhatDoesNotFit) {
    auto backend = test::make_backend<TypeParam>();
    auto x = test::place<1>(backend, {64}), y = test::place<1>(backend, {64});
    const auto resize = [&](int H, int C) {
        resize_bilinear<float>(backend, x.view().reshape(H, 2, 3), Corners::apart, y.view().reshape(4, 4, C));
    };
    EXPECT_THROW(resize(2, 2), Error);
    EXPECT_THROW(resize(0, 3), Error);
}

TYPED_TEST(ResizeFloat, OpsBasicGolden) {
    constexpr double bound = 1.4e-5;  // ten times what an independent float implementation reaches
    const test::Golden golden("ops_basic");
    auto backend = test::make_backend<TypeParam>();
    test::Errors errors("ops_basic resize");
    const auto check = [&](const std::string& name, Corners corners, float factor) {
        const auto expected = golden(name + ".y");
        auto y = test::place<3>(backend, {expected.extent(2), expected.extent(3), expected.extent(1)});
        resize_bilinear<float>(backend, test::place(backend, test::channels_last(golden(name + ".x"))), corners, y,
                               {factor, factor});
        errors.compare_image<float>(name, y.on_host(), expected, bound);
    };
    for (const char* name : {"bilinear_x4", "resize_ac0_up", "resize_ac0_down"}) check(name, Corners::apart, 1);
    for (const char* name : {"spy_up2_1x1", "spy_up2_1x3", "spy_up2_3x5"}) check(name, Corners::aligned, 2);
}

}  // namespace
}  // namespace mia
