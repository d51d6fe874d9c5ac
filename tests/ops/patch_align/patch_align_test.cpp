#include "mia/ops/patch_align/patch_align.hpp"

#include "reference/patch_align.hpp"
#include "support/golden.hpp"

namespace mia {
namespace {

template <class T>
class PatchAlignOp : public testing::Test {};
using Scalars = testing::Types<float, double>;
TYPED_TEST_SUITE(PatchAlignOp, Scalars);

template <class T>
std::vector<T> align(int threads, const std::vector<T>& x, const std::vector<float>& flow, int H, int W, int C) {
    BasicCpu<T> cpu(threads, ScratchFill::nan);
    auto y = test::unwritten<T>(H * W * C);
    patch_align<T>(cpu, {x.data(), {H, W, C}}, {flow.data(), {H, W, 2}}, {y.data(), {H, W, C}});
    return y;
}

TYPED_TEST(PatchAlignOp, OddSizes) {
    using T = TypeParam;
    const int sizes[][3] = {{5, 5, 1}, {7, 6, 2}, {8, 8, 3}, {9, 15, 5}, {16, 5, 1}, {23, 40, 2}, {33, 17, 4}};
    for (const auto& [H, W, C] : sizes)
        for (const double reach : {2.0, 40.0}) {
            test::Random random(H * W);
            const auto x = random.numbers(H * W * C);
            test::Numbers flow(std::size_t(H * W * 2));
            for (double& f : flow) f = std::round(16 * random.number(-reach, reach)) / 16;  // means are exact
            const auto in = test::cast<T>(x);
            const auto f = test::cast<float>(flow);
            const auto y = align<T>(1, in, f, H, W, C);
            EXPECT_EQ(test::Numbers(y.begin(), y.end()), reference::patch_align(x, flow, H, W, C)) << H << " x " << W;
            for (const int threads : {2, 3}) EXPECT_TRUE(test::same_bytes(align<T>(threads, in, f, H, W, C), y));
        }
}

TYPED_TEST(PatchAlignOp, ZeroFlowGivesTheInputAndWholePixelsMoveIt) {
    using T = TypeParam;
    constexpr int H = 11, W = 21, C = 2;
    const auto x = test::cast<T>(test::Random(1).numbers(H * W * C));
    EXPECT_EQ(align<T>(2, x, std::vector<float>(H * W * 2), H, W, C), x);
    std::vector<float> flow(H * W * 2);
    for (int p = 0; p < H * W; ++p) {
        flow[2 * p] = 3;
        flow[2 * p + 1] = -2;
    }
    const auto y = align<T>(2, x, flow, H, W, C);
    for (int i = 0; i < H; ++i)
        for (int j = 0; j < W; ++j)
            for (int c = 0; c < C; ++c) {
                const bool inside = i >= 2 && j + 3 < W;
                ASSERT_EQ(y[(i * W + j) * C + c], inside ? x[((i - 2) * W + j + 3) * C + c] : T(0)) << i << ", " << j;
            }
}

TEST(PatchAlign, TheSpecificationsExampleOfTies) {
    const auto columns = [](int W, float move) {
        std::vector<float> x(std::size_t(5 * W)), flow(std::size_t(5 * W * 2));
        for (int i = 0; i < 5 * W; ++i) {
            x[i] = float(i % W + 1);
            flow[2 * i] = move;
        }
        auto y = align<float>(1, x, flow, 5, W, 1);
        y.resize(std::size_t(W));
        for (float& v : y) v -= 1;  // -1: outside
        return y;
    };
    EXPECT_EQ(columns(16, 0.5f), (std::vector<float>{0, 1, 3, 4, 4, 6, 6, 8, 8, 10, 10, 12, 12, 14, 14, -1}));
    EXPECT_EQ(columns(16, -0.5f), (std::vector<float>{-1, 0, 1, 3, 4, 4, 6, 6, 8, 8, 10, 10, 12, 12, 14, 14}));
    EXPECT_EQ(columns(9, 0.5f), (std::vector<float>{0, 2, 2, 4, 4, 6, 6, 8, 8}));
}

TEST(PatchAlign, RefusesWhatDoesNotFit) {
    Cpu cpu;
    Tensor<float, 3> x(8, 9, 3), y(8, 9, 3), flow(8, 9, 2), other(9, 8, 2), small(4, 9, 3), small_flow(4, 9, 2);
    EXPECT_THROW(patch_align<float>(cpu, x.view(), other.view(), y.view()), Error);
    EXPECT_THROW(patch_align<float>(cpu, x.view(), flow.view(), flow.view()), Error);
    try {
        patch_align<float>(cpu, small.view(), small_flow.view(), small.view());
        FAIL();
    } catch (const Error& error) {
        EXPECT_STREQ(error.what(),
                     "patch_align: a flow of 4 x 9 cannot be reflected to multiples of 8; give at least 5 x 5 pixels "
                     "(pad the frames)");
    }
}

TEST(PatchAlignGolden, OpsWarp) {
    const test::Golden golden("ops_warp");
    test::Errors errors("ops_warp patch_align");
    Cpu cpu(2, ScratchFill::nan);
    for (const std::string size : {"16x24", "13x18", "9x15", "10x12", "5x8"}) {
        const auto name = "avg_patch_" + size;
        const auto x = test::channels_last(golden(name + ".x")), flow = test::channels_last(golden(name + ".flow"));
        const auto expected_mean = golden(name + ".patch_mean");
        Tensor<float, 3> mean(expected_mean.extent(2), expected_mean.extent(3), 2),
            y(x.extent(0), x.extent(1), x.extent(2));
        detail::patch_mean<float>(cpu, flow.view(), mean.view());
        errors.compare_image<float>(name + ".patch_mean", mean.view(), expected_mean, 4e-6);  // sums of 64
        patch_align<float>(cpu, x.view(), flow.view(), y.view());
        errors.compare_image<float>(name + ".y", y.view(), golden(name + ".y"), 0);
    }
}

TEST(PatchAlignGolden, OpsTies) {
    const test::Golden golden("ops_ties");
    test::Errors errors("ops_ties nearest");
    Cpu cpu(2, ScratchFill::nan);
    for (const std::string size : {"5x8", "7x9", "8x16", "9x13", "16x8", "6x65", "21x6"}) {
        const auto name = "tie_" + size;
        const auto x = test::channels_last(golden(name + ".x"));
        const auto moves = golden(name + ".disp"), expected = golden(name + ".y");
        const int H = x.extent(0), W = x.extent(1);
        Tensor<float, 3> flow(H, W, 2), y(H, W, 1);
        for (int k = 0; k < 24; ++k) {
            for (int i = 0; i < 2 * H * W; ++i) flow.data()[i] = moves.data[std::size_t(2 * k + i % 2)];
            patch_align<float>(cpu, x.view(), flow.view(), y.view());
            errors.compare_image<float>(name, y.view(), expected, 0, k);
        }
    }
    const auto x = test::channels_last(golden("tieblocks.x")), flow = test::channels_last(golden("tieblocks.flow"));
    Tensor<float, 3> y(24, 32, 1);
    patch_align<float>(cpu, x.view(), flow.view(), y.view());
    errors.compare_image<float>("tieblocks", y.view(), golden("tieblocks.y"), 0);
}

}  // namespace
}  // namespace mia
