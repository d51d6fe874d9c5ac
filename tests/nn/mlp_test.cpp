#include "mia/nn/mlp.hpp"

#include "reference/activation.hpp"
#include "reference/linear.hpp"

namespace mia {
namespace {

template <class T>
class MlpOf : public testing::Test {};
using Scalars = testing::Types<float, double>;
TYPED_TEST_SUITE(MlpOf, Scalars);

TYPED_TEST(MlpOf, TwoMapsWithGeluBetween) {
    using T = TypeParam;
    BasicCpu<T> cpu(2, ScratchFill::nan);
    Network<Mlp<MlpConfig{.in_features = 5, .hidden_features = 11}, BasicCpu<T>>, BasicCpu<T>> mlp(cpu);
    test::Random random(1);
    std::map<std::string, test::Numbers> parameters;
    for_each_parameter(*mlp, [&](const std::string& name, auto&& p) {
        parameters[name] = random.numbers(p.size);
        std::copy(parameters[name].begin(), parameters[name].end(), p.data);
    });
    prepare(cpu, *mlp);
    for (const int R : {1, 7, 40}) {
        const auto x = random.numbers(R * 5);
        auto hidden = reference::linear(x, parameters["fc1.weight"], parameters["fc1.bias"], R, 5, 11);
        for (double& v : hidden) v = reference::gelu(v);
        const auto in = test::cast<T>(x);
        auto y = test::unwritten<T>(R * 5);
        mlp->forward(cpu, {in.data(), {R, 5}}, {y.data(), {R, 5}});
        test::expect_near(y, reference::linear(hidden, parameters["fc2.weight"], parameters["fc2.bias"], R, 11, 5),
                          test::sum_rounding<T>, text(R, " rows"));
    }
}

TYPED_TEST(MlpOf, LinearWithoutBiasHasOneParameter) {
    using T = TypeParam;
    BasicCpu<T> cpu(1, ScratchFill::nan);
    Network<Linear<LinearConfig{.in_features = 3, .out_features = 2, .bias = false}, BasicCpu<T>>, BasicCpu<T>> map(
        cpu);
    EXPECT_EQ(parameter_count(*map), 6);
    for (int i = 0; i < 6; ++i) map.flat()(i) = T(i);
    prepare(cpu, *map);
    const std::vector<T> x{1, 10, 100};
    auto y = test::unwritten<T>(2);
    map->forward(cpu, {x.data(), {1, 3}}, {y.data(), {1, 2}});
    EXPECT_EQ(y, (std::vector<T>{210, 543}));
}

}  // namespace
}  // namespace mia
