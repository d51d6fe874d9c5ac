#include "mia/ops/mask/mask.hpp"

#include "mia/ops/mask/masked_rows.hpp"
#include "reference/numbers.hpp"
#include "support/golden.hpp"

namespace mia {
namespace {

template <class T>
class MaskOp : public testing::Test {};
using Scalars = testing::Types<float, double>;
TYPED_TEST_SUITE(MaskOp, Scalars);

template <class T>
struct Change {
    int P, C;
    test::Numbers q, previous;
    std::vector<T> now, before;
    Change(int tokens, int channels) : P(tokens), C(channels) {
        test::Random random(P * C);
        q = random.numbers(P * C);
        previous = random.numbers(P * C);
        now = test::cast<T>(q);
        before = test::cast<T>(previous);
    }
    double change(int p, int c) const { return std::abs(q[p * C + c] - previous[p * C + c]); }
};

TYPED_TEST(MaskOp, LearnedMask) {
    using T = TypeParam;
    constexpr double margin = 1e-4;  // a logit nearer to the threshold may round to either side
    for (const int C : {1, 3, 16, 24, 33})
        for (const int threads : {1, 2, 3}) {
            const Change<T> change(1031, C);
            test::Random random(7);
            const auto weight = random.numbers(C);
            test::Numbers bias(1);  // |q - previous| is 2/3 in the mean: about half of the tokens are kept
            for (const double w : weight) bias[0] = double(float(bias[0] - w * 2 / 3));
            const auto w = test::cast<T>(weight), b = test::cast<T>(bias);
            BasicCpu<T> cpu(threads, ScratchFill::nan);
            std::vector<std::uint8_t> keep(std::size_t(change.P), 7);
            predict_mask<T>(cpu, {}, {change.now.data(), {change.P, C}}, {change.before.data(), {change.P, C}},
                            {w.data(), {1, C}}, {b.data(), {1}}, {keep.data(), {change.P}});
            EXPECT_EQ(cpu.work().macs, change.P * C);
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
    using T = TypeParam;
    for (const int C : {1, 5, 32}) {
        const Change<T> change(517, C);
        BasicCpu<T> cpu(2, ScratchFill::nan);
        std::vector<std::uint8_t> keep(std::size_t(change.P), 7);
        threshold_mask<T>(cpu, {change.now.data(), {change.P, C}}, {change.before.data(), {change.P, C}}, 0.625f,
                          {keep.data(), {change.P}});
        for (int p = 0; p < change.P; ++p) {
            double mean = 0;
            for (int c = 0; c < C; ++c) mean += change.change(p, c) / C;
            if (std::abs(mean - 0.625) > 1e-5) {
                ASSERT_EQ(keep[p], mean >= 0.625) << p << ", mean " << mean;
            }
        }
        threshold_mask<T>(cpu, {change.now.data(), {change.P, C}}, {change.now.data(), {change.P, C}}, 0,
                          {keep.data(), {change.P}});
        EXPECT_EQ(keep, std::vector<std::uint8_t>(std::size_t(change.P), 1)) << "a mean equal to the threshold is kept";
    }
}

TYPED_TEST(MaskOp, MaskedRowsKeepsWhatIsNotActive) {
    using T = TypeParam;
    BasicCpu<T> cpu(2, ScratchFill::nan);
    const WindowGrid grid{5, 7, {1, 4, 4}, Shift::half_window};
    const auto keep = test::Random(3).bits(35, 0.4);
    auto rows = make_active_rows(cpu, grid, 1);
    select_rows(cpu, grid, 1, {keep.data(), {1, 5, 7}}, rows);
    Tensor<T, 2, BasicCpu<T>> kept(35, 3);
    std::fill(kept.data(), kept.data() + kept.size(), T(-1));
    const auto y = masked_rows(cpu, rows, {keep.data(), {35}}, 35, 3, &kept, [&] {
        const auto result = cpu.scratch(35, 3);
        for (int r = 0; r < rows.counts[0]; ++r)
            for (int c = 0; c < 3; ++c) result(r, c) = T(10 * rows.pixel[r] + c);
        return result;
    });
    EXPECT_EQ(y.data, kept.data());
    for (int p = 0; p < 35; ++p)
        for (int c = 0; c < 3; ++c) EXPECT_EQ(y(p, c), keep[p] ? T(10 * p + c) : T(-1)) << p;
}

TEST(MaskGolden, OpsBasicThreshold) {
    const test::Golden golden("ops_basic");
    const auto logit = golden("mask_threshold.x"), expected = golden("mask_threshold.y");
    Cpu cpu;
    std::vector<float> keep;
    const float zero = 0;
    for (const float bias : logit.data) {
        std::uint8_t bit = 7;
        predict_mask<float>(cpu, {}, {&zero, {1, 1}}, {&zero, {1, 1}}, {&zero, {1, 1}}, {&bias, {1}}, {&bit, {1}});
        keep.push_back(bit);
    }
    EXPECT_EQ(keep, expected.data);
}

}  // namespace
}  // namespace mia
