#include "mia/ops/channels/channels.hpp"

#include "support/backends.hpp"

namespace mia {
namespace {

template <class B>
class ChannelsOp : public testing::Test {};
TYPED_TEST_SUITE(ChannelsOp, test::Backends);

TYPED_TEST(ChannelsOp, NormalizeConcatConvert) {
    using T = typename TypeParam::Scalar;
    for (const int threads : test::thread_counts<TypeParam>())
        for (const int P : {1, 7, 4097, 9000}) {
            auto backend = test::make_backend<TypeParam>(threads);
            test::Random random(P);
            const auto a = random.numbers(P * 3), b = random.numbers(P * 2), c = random.numbers(P);
            const auto A = test::cast<T>(a), B = test::cast<T>(b), C = test::cast<T>(c);
            const std::vector<T> mean{T(0.5), T(-0.25), 2}, deviation{T(0.25), 2, T(-0.5)};
            auto normed = test::place<2>(backend, a, {P, 3});
            normalize_channels<T>(backend, normed, test::place<1>(backend, mean, {3}),
                                  test::place<1>(backend, deviation, {3}), normed);
            const auto y = normed.values();
            for (int i = 0; i < P * 3; ++i) ASSERT_EQ(y[i], (A[i] - mean[i % 3]) / deviation[i % 3]);

            const auto first = test::place<2>(backend, a, {P, 3});
            auto together = test::place<2>(backend, {P, 6});
            concat_channels<T>(backend, first, test::place<2>(backend, b, {P, 2}), test::place<2>(backend, c, {P, 1}),
                               together);
            const auto all = together.values();
            for (int p = 0; p < P; ++p)
                for (int i = 0; i < 6; ++i)
                    ASSERT_EQ(all[6 * p + i], i < 3 ? A[3 * p + i] : i < 5 ? B[2 * p + i - 3] : C[p]) << p;

            test::Placed<TypeParam, float, 2> converted(backend, {P, 3});
            convert(backend, first.view(), converted.view());
            EXPECT_EQ(converted.values(), test::cast<float>(a));
        }
}

}  // namespace
}  // namespace mia
