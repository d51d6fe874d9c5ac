#include "mia/ops/patch_align/patch_align.hpp"

#include "reference/patch_align.hpp"
#include "support/backends.hpp"
#include "support/golden.hpp"

namespace mia {
namespace {

template <class B>
class PatchAlignOp : public testing::Test {};
TYPED_TEST_SUITE(PatchAlignOp, test::Backends);
template <class B>
class PatchAlignFloat : public testing::Test {};
TYPED_TEST_SUITE(PatchAlignFloat, test::FloatBackends);

template <class B, class T = typename B::Scalar>
std::vector<T> align(int threads, const std::vector<T>& x, const std::vector<float>& flow, int H, int W, int C) {
    auto backend = test::make_backend<B>(threads);
    auto y = test::place<3>(backend, {H, W, C});
    patch_align<T>(backend, test::place<3>(backend, x, {H, W, C}),
                   test::Placed<B, float, 3>(backend, flow, {H, W, 2}).view(), y);
    return y.values();
}

TYPED_TEST(PatchAlignOp, OddSizes) {
    using T = typename TypeParam::Scalar;
    const int sizes[][3] = {{5, 5, 1}, {7, 6, 2}, {8, 8, 3}, {9, 15, 5}, {16, 5, 1}, {23, 40, 2}, {33, 17, 4}};
    for (const auto& [H, W, C] : sizes)
        for (const double reach : {2.0, 40.0}) {
            test::Random random(H * W);
            const auto x = random.numbers(H * W * C);
            test::Numbers flow(std::size_t(H * W * 2));
            for (double& f : flow) f = std::round(16 * random.number(-reach, reach)) / 16;  // means are exact
            const auto in = test::cast<T>(x);
            const auto f = test::cast<float>(flow);
            const auto y = align<TypeParam>(1, in, f, H, W, C);
            EXPECT_EQ(test::Numbers(y.begin(), y.end()), reference::patch_align(x, flow, H, W, C)) << H << " x " << W;
            for (const int threads : test::thread_counts<TypeParam>())
                EXPECT_TRUE(test::same_bytes(align<TypeParam>(threads, in, f, H, W, C), y));
        }
}

TYPED_TEST(PatchAlignOp, ZeroFlowGivesTheInputAndWholePixelsMoveIt) {
    using T = typename TypeParam::Scalar;
    constexpr int H = 11, W = 21, C = 2;
    const auto x = test::cast<T>(test::Random(1).numbers(H * W * C));
    EXPECT_EQ(align<TypeParam>(2, x, std::vector<float>(H * W * 2), H, W, C), x);
    std::vector<float> flow(H * W * 2);
    for (int p = 0; p < H * W; ++p) {
        flow[2 * p] = 3;
        flow[2 * p + 1] = -2;
    }
    const auto y = align<TypeParam>(2, x, flow, H, W, C);
    for (int i = 0; i < H; ++i)
        for (int j = 0; j < W; ++j)
            for (int c = 0; c < C; ++c) {
                const bool inside = i >= 2 && j + 3 < W;
                ASSERT_EQ(y[(i * W + j) * C + c], inside ? x[((i - 2) * W + j + 3) * C + c] : T(0)) << i << ", " << j;
            }
}

TYPED_TEST(PatchAlignFloat, TheSpecificationsExampleOfTies) {
    const auto columns = [](int W, float move) {
        std::vector<float> x(std::size_t(5 * W)), flow(std::size_t(5 * W * 2));
        for (int i = 0; i < 5 * W; ++i) {
            x[i] = float(i % W + 1);
            flow[2 * i] = move;
        }
        auto y = align<TypeParam>(1, x, flow, 5, W, 1);
        y.resize(std::size_t(W));
        for (float& v : y) v -= 1;  // -1: outside
        return y;
    };
    EXPECT_EQ(columns(16, 0.5f), (std::vector<float>{0, 1, 3, 4, 4, 6, 6, 8, 8, 10, 10, 12, 12, 14, 14, -1}));
    EXPECT_EQ(columns(16, -0.5f), (std::vector<float>{-1, 0, 1, 3, 4, 4, 6, 6, 8, 8, 10, 10, 12, 12, 14, 14}));
    EXPECT_EQ(columns(9, 0.5f), (std::vector<float>{0, 2, 2, 4, 4, 6, 6, 8, 8}));
}

TYPED_TEST(PatchAlignFloat, RefusesWhatDoesNotFit) {
    auto backend = test::make_backend<TypeParam>();
    auto x = test::place<3>(backend, {8, 9, 3}), y = test::place<3>(backend, {8, 9, 3}),
         flow = test::place<3>(backend, {8, 9, 2});
    const auto run = [&](int H, int W, int C) {
        patch_align<float>(backend, x, {flow.view().data, {H, W, 2}}, {y.view().data, {8, 9, C}});
    };
    EXPECT_THROW(run(9, 8, 3), Error);
    EXPECT_THROW(run(8, 9, 2), Error);
    try {
        const View<float, 3> small{x.view().data, {4, 9, 3}};
        patch_align<float>(backend, small, {flow.view().data, {4, 9, 2}}, small);
        FAIL();
    } catch (const Error& error) {
        EXPECT_STREQ(error.what(),
                     "patch_align: a flow of 4 x 9 cannot be reflected to multiples of 8; give at least 5 x 5 pixels "
                     "(pad the frames)");
    }
}

TYPED_TEST(PatchAlignFloat, OpsWarpGolden) {
    const test::Golden golden("ops_warp");
    test::Errors errors("ops_warp patch_align");
    auto backend = test::make_backend<TypeParam>();
    for (const std::string size : {"16x24", "13x18", "9x15", "10x12", "5x8"}) {
        const auto name = "avg_patch_" + size;
        const auto image = test::channels_last(golden(name + ".x"));
        const auto x = test::place(backend, image),
                   flow = test::place(backend, test::channels_last(golden(name + ".flow")));
        const auto expected_mean = golden(name + ".patch_mean");
        auto mean = test::place<3>(backend, {expected_mean.extent(2), expected_mean.extent(3), 2}),
             y = test::place<3>(backend, {image.extent(0), image.extent(1), image.extent(2)});
        detail::patch_mean<float>(backend, flow, mean);
        errors.compare_image<float>(name + ".patch_mean", mean.on_host(), expected_mean, 4e-6);  // sums of 64
        patch_align<float>(backend, x, flow, y);
        errors.compare_image<float>(name + ".y", y.on_host(), golden(name + ".y"), 0);
    }
}

TYPED_TEST(PatchAlignFloat, OpsTiesGolden) {
    const test::Golden golden("ops_ties");
    test::Errors errors("ops_ties nearest");
    auto backend = test::make_backend<TypeParam>();
    for (const std::string size : {"5x8", "7x9", "8x16", "9x13", "16x8", "6x65", "21x6"}) {
        const auto name = "tie_" + size;
        const auto image = test::channels_last(golden(name + ".x"));
        const auto moves = golden(name + ".disp"), expected = golden(name + ".y");
        const int H = image.extent(0), W = image.extent(1);
        const auto x = test::place(backend, image);
        std::vector<float> flow(std::size_t(2 * H * W));
        for (int k = 0; k < 24; ++k) {
            for (std::size_t i = 0; i < flow.size(); ++i) flow[i] = moves.data[std::size_t(2 * k) + i % 2];
            auto y = test::place<3>(backend, {H, W, 1});
            patch_align<float>(backend, x, test::place<3>(backend, flow, {H, W, 2}), y);
            errors.compare_image<float>(name, y.on_host(), expected, 0, k);
        }
    }
    auto y = test::place<3>(backend, {24, 32, 1});
    patch_align<float>(backend, test::place(backend, test::channels_last(golden("tieblocks.x"))),
                       test::place(backend, test::channels_last(golden("tieblocks.flow"))), y);
    errors.compare_image<float>("tieblocks", y.on_host(), golden("tieblocks.y"), 0);
}

}  // namespace
}  // namespace mia
