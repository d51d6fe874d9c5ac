#include "mia/nn/mlp.hpp"

#include <map>
#include <numeric>

#include "reference/activation.hpp"
#include "reference/linear.hpp"
#include "support/backends.hpp"

namespace mia {
namespace {

template <class>
class MlpOf : public testing::Test {};
TYPED_TEST_SUITE(MlpOf, test::Backends);

TYPED_TEST(MlpOf, TwoMapsWithGeluBetween) {
    using B = TypeParam;
    B backend = test::make_backend<B>();
    Network<Mlp<MlpConfig{.in_features = 5, .hidden_features = 11}, B>, B> mlp(backend);
    test::Random random(1);
    std::map<std::string, test::Numbers> parameters;
    mlp.on_host(backend, [&](auto& module) {
        for_each_parameter(module, [&](const std::string& name, auto&& p) {
            parameters[name] = random.numbers(p.size);
            std::copy(parameters[name].begin(), parameters[name].end(), p.data);
        });
    });
    prepare(backend, *mlp);
    for (const int R : {1, 7, 40}) {
        const auto x = random.numbers(R * 5);
        auto hidden = reference::linear(x, parameters["fc1.weight"], parameters["fc1.bias"], R, 5, 11);
        for (double& v : hidden) v = reference::gelu(v);
        const auto in = test::place<2>(backend, x, {R, 5});
        auto y = test::place<2>(backend, {R, 5});
        mlp->forward(backend, in, y);
        test::expect_near(y.values(),
                          reference::linear(hidden, parameters["fc2.weight"], parameters["fc2.bias"], R, 11, 5),
                          test::sum_rounding<typename B::Scalar>, text(R, " rows"));
    }
}

TYPED_TEST(MlpOf, LinearWithoutBiasHasOneParameter) {
    using B = TypeParam;
    using T = typename B::Scalar;
    B backend = test::make_backend<B>(1);
    Network<Linear<LinearConfig{.in_features = 3, .out_features = 2, .bias = false}, B>, B> map(backend);
    EXPECT_EQ(parameter_count(*map), 6);
    map.on_host(backend, [](auto& module) {
        for_each_parameter(module, [](const std::string&, auto&& p) { std::iota(p.data, p.data + p.size, T(0)); });
    });
    prepare(backend, *map);
    const auto x = test::place<2>(backend, test::Numbers{1, 10, 100}, {1, 3});
    auto y = test::place<2>(backend, {1, 2});
    map->forward(backend, x, y);
    EXPECT_EQ(y.values(), (std::vector<T>{210, 543}));
}

}  // namespace
}  // namespace mia
