#include "mia/ops/pad/pad.hpp"

#include "support/backends.hpp"

namespace mia {
namespace {

template <class B>
class PadOp : public testing::Test {};
TYPED_TEST_SUITE(PadOp, test::Backends);

TYPED_TEST(PadOp, RepeatsTheEdgeAndCropUndoes) {
    using T = typename TypeParam::Scalar;
    const int sizes[][5] = {{1, 1, 8, 8, 3}, {5, 7, 5, 7, 2}, {3, 20, 40, 21, 1}, {6, 1, 6, 9, 4}};
    for (const int threads : test::thread_counts<TypeParam>())
        for (const auto& [H, W, to_H, to_W, C] : sizes) {
            auto backend = test::make_backend<TypeParam>(threads);
            const auto in = test::place<3>(backend, test::Random(1).numbers(H * W * C), {H, W, C});
            auto out = test::place<3>(backend, {to_H, to_W, C}), back = test::place<3>(backend, {H, W, C});
            pad_replicate<T>(backend, in, out);
            const auto x = in.values(), y = out.values();
            for (int i = 0; i < to_H; ++i)
                for (int j = 0; j < to_W; ++j)
                    for (int c = 0; c < C; ++c)
                        ASSERT_EQ(y[(i * to_W + j) * C + c], x[(std::min(i, H - 1) * W + std::min(j, W - 1)) * C + c]);
            crop_image<T>(backend, out, back);
            EXPECT_EQ(back.values(), x);
        }
}

}  // namespace
}  // namespace mia
