#include "mia/ops/channels/channels.hpp"

#include "reference/numbers.hpp"

namespace mia {
namespace {

template <class T>
class ChannelsOp : public testing::Test {};
using Scalars = testing::Types<float, double>;
TYPED_TEST_SUITE(ChannelsOp, Scalars);

TYPED_TEST(ChannelsOp, NormalizeConcatConvert) {
    using T = TypeParam;
    for (const int threads : {1, 2, 3})
        for (const int P : {1, 7, 4097, 9000}) {
            BasicCpu<T> cpu(threads, ScratchFill::nan);
            test::Random random(P);
            const auto a = random.numbers(P * 3), b = random.numbers(P * 2), c = random.numbers(P);
            const auto A = test::cast<T>(a), B = test::cast<T>(b), C = test::cast<T>(c);
            const std::vector<T> mean{T(0.5), T(-0.25), 2}, deviation{T(0.25), 2, T(-0.5)};
            auto y = A;
            normalize_channels<T>(cpu, {y.data(), {P, 3}}, {mean.data(), {3}}, {deviation.data(), {3}},
                                  {y.data(), {P, 3}});
            for (int i = 0; i < P * 3; ++i) ASSERT_EQ(y[i], (A[i] - mean[i % 3]) / deviation[i % 3]);

            auto all = test::unwritten<T>(P * 6);
            concat_channels<T>(cpu, {A.data(), {P, 3}}, {B.data(), {P, 2}}, {C.data(), {P, 1}}, {all.data(), {P, 6}});
            for (int p = 0; p < P; ++p)
                for (int i = 0; i < 6; ++i)
                    ASSERT_EQ(all[6 * p + i], i < 3 ? A[3 * p + i] : i < 5 ? B[2 * p + i - 3] : C[p]) << p;

            auto converted = test::unwritten<float>(P * 3);
            convert(cpu, View<const T, 2>{A.data(), {P, 3}}, View<float, 2>{converted.data(), {P, 3}});
            EXPECT_EQ(converted, test::cast<float>(a));
        }
}

}  // namespace
}  // namespace mia
