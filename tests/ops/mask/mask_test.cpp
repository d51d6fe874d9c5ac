#include "mia/ops/mask/mask.hpp"

#include "mia/ops/elementwise/elementwise.hpp"
#include "mia/ops/mask/masked_rows.hpp"
#include "support/backends.hpp"
#include "support/golden.hpp"

namespace mia {
namespace {

template <class B>
class MaskOp : public testing::Test {};
TYPED_TEST_SUITE(MaskOp, test::Backends);
template <class B>
class MaskFloat : public testing::Test {};
TYPED_TEST_SUITE(MaskFloat, test::FloatBackends);

template <class B>
using Bytes = test::Placed<B, std::uint8_t, 1>;

struct Change {
    int P, C;
    test::Numbers q, previous;
    Change(int tokens, int channels) : P(tokens), C(channels) {
        test::Random random(P * C);
        q = random.numbers(P * C);
        previous = random.numbers(P * C);
    }
    double change(int p, int c) const { return std::abs(q[p * C + c] - previous[p * C + c]); }
};

TYPED_TEST(MaskOp, LearnedMask) {
    using T = typename TypeParam::Scalar;
    constexpr double margin = 1e-4;  // a logit nearer to the threshold may round to either side
    for (const int C : {1, 3, 16, 24, 33})
        for (const int threads : test::thread_counts<TypeParam>()) {
            const Change change(1031, C);
            test::Random random(7);
            const auto weight = random.numbers(C);
            test::Numbers bias(1);  // |q - previous| is 2/3 in the mean: about half of the tokens are kept
            for (const double w : weight) bias[0] = double(float(bias[0] - w * 2 / 3));
            auto backend = test::make_backend<TypeParam>(threads);
            Bytes<TypeParam> mask(backend, {change.P});
            predict_mask<T>(backend, {}, test::place<2>(backend, change.q, {change.P, C}),
                            test::place<2>(backend, change.previous, {change.P, C}),
                            test::place<2>(backend, weight, {1, C}), test::place<1>(backend, bias, {1}), mask);
            const auto keep = mask.values();
            EXPECT_EQ(backend.work().macs, change.P * C);
            int kept = 0;
            for (int p = 0; p < change.P; ++p) {
                double logit = bias[0];
                for (int c = 0; c < C; ++c) logit += weight[c] * change.change(p, c);
                if (std::abs(logit) > margin) {
                    ASSERT_EQ(keep[p], logit > 0) << p << ", logit " << logit;
                }
                kept += keep[p];
            }
            EXPECT_GT(kept, 0);
            EXPECT_LT(kept, change.P);
        }
}

TYPED_TEST(MaskOp, ThresholdMask) {
    using T = typename TypeParam::Scalar;
    for (const int C : {1, 5, 32}) {
        const Change change(517, C);
        auto backend = test::make_backend<TypeParam>();
        const auto now = test::place<2>(backend, change.q, {change.P, C}),
                   before = test::place<2>(backend, change.previous, {change.P, C});
        Bytes<TypeParam> mask(backend, {change.P});
        threshold_mask<T>(backend, now, before, 0.625f, mask);
        const auto keep = mask.values();
        for (int p = 0; p < change.P; ++p) {
            double mean = 0;
            for (int c = 0; c < C; ++c) mean += change.change(p, c) / C;
            if (std::abs(mean - 0.625) > 1e-5) {
                ASSERT_EQ(keep[p], mean >= 0.625) << p << ", mean " << mean;
            }
        }
        threshold_mask<T>(backend, now, now, 0, mask);
        EXPECT_EQ(mask.values(), std::vector<std::uint8_t>(std::size_t(change.P), 1))
            << "a mean equal to the threshold is kept";
    }
}

TYPED_TEST(MaskOp, MaskedRowsKeepsWhatIsNotActive) {
    using T = typename TypeParam::Scalar;
    auto backend = test::make_backend<TypeParam>();
    const WindowGrid grid{5, 7, {1, 4, 4}, Shift::half_window};
    const auto keep = test::Random(3).bits(35, 0.4);
    const Bytes<TypeParam> mask(backend, keep, {35});
    auto rows = make_active_rows(backend, grid, 1);
    select_rows(backend, grid, 1, mask.view().reshape(1, 5, 7), rows);
    std::vector<T> numbers(35 * 3);
    for (int i = 0; i < 35 * 3; ++i) numbers[i] = T(10 * (i / 3) + i % 3);
    const auto x = test::place<2>(backend, numbers, {35, 3});
    Tensor<T, 2, TypeParam> kept;
    kept.resize(backend, 35, 3);
    copy<T>(backend, test::place<2>(backend, std::vector<T>(35 * 3, T(-1)), {35, 3}), kept);
    const auto y = masked_map(backend, rows, mask.view(), x.view(), &kept,
                              [](View<const T, 2> active, RowCount) { return active; });
    EXPECT_EQ(y.data, kept.data());
    std::vector<T> result(35 * 3);
    download(backend, y, View<T, 2>{result.data(), {35, 3}});
    synchronize(backend);
    for (int i = 0; i < 35 * 3; ++i) EXPECT_EQ(result[i], keep[i / 3] ? numbers[i] : T(-1)) << i;
}

TYPED_TEST(MaskFloat, OpsBasicGoldenThreshold) {
    const test::Golden golden("ops_basic");
    const auto logit = golden("mask_threshold.x"), expected = golden("mask_threshold.y");
    auto backend = test::make_backend<TypeParam>();
    std::vector<float> keep;
    const auto zero = test::place<2>(backend, test::Numbers{0}, {1, 1});
    for (const float bias : logit.data) {
        Bytes<TypeParam> bit(backend, {1});
        predict_mask<float>(backend, {}, zero, zero, zero, test::place<1>(backend, std::vector<float>{bias}, {1}), bit);
        keep.push_back(bit.values()[0]);
    }
    EXPECT_EQ(keep, expected.data);
}

}  // namespace
}  // namespace mia
