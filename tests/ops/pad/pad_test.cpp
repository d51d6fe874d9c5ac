#include "mia/ops/pad/pad.hpp"

#include "reference/numbers.hpp"

namespace mia {
namespace {

template <class T>
class PadOp : public testing::Test {};
using Scalars = testing::Types<float, double>;
TYPED_TEST_SUITE(PadOp, Scalars);

TYPED_TEST(PadOp, RepeatsTheEdgeAndCropUndoes) {
    using T = TypeParam;
    const int sizes[][5] = {{1, 1, 8, 8, 3}, {5, 7, 5, 7, 2}, {3, 20, 40, 21, 1}, {6, 1, 6, 9, 4}};
    for (const int threads : {1, 2, 3})
        for (const auto& [H, W, to_H, to_W, C] : sizes) {
            BasicCpu<T> cpu(threads, ScratchFill::nan);
            const auto x = test::cast<T>(test::Random(1).numbers(H * W * C));
            auto y = test::unwritten<T>(to_H * to_W * C), back = test::unwritten<T>(H * W * C);
            pad_replicate<T>(cpu, {x.data(), {H, W, C}}, {y.data(), {to_H, to_W, C}});
            for (int i = 0; i < to_H; ++i)
                for (int j = 0; j < to_W; ++j)
                    for (int c = 0; c < C; ++c)
                        ASSERT_EQ(y[(i * to_W + j) * C + c], x[(std::min(i, H - 1) * W + std::min(j, W - 1)) * C + c]);
            crop_image<T>(cpu, {y.data(), {to_H, to_W, C}}, {back.data(), {H, W, C}});
            EXPECT_EQ(back, x);
        }
}

}  // namespace
}  // namespace mia
