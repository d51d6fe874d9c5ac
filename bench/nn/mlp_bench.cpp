#include "mia/nn/mlp.hpp"
#include "support/fixture.hpp"
#include "support/measure.hpp"

namespace {
using namespace mia;
using namespace mia::bench;

template <int C>
void run(benchmark::State& state, Cpu& cpu) {
    const auto mlp = random_network<Mlp<MlpConfig{.in_features = C, .hidden_features = 2 * C}>>(cpu);
    const auto x = random_tensor({pixels, C});
    Tensor<float, 2> y(pixels, C);
    measure(state, cpu, {.macs = 4.0 * C * C * pixels}, [&] { mlp->forward(cpu, x, y); });
}
[[maybe_unused]] const bool added =
    (add_case("mlp/base", {1, 2}, run<base.embed_dim>), add_case("mlp/lite", {1, 2}, run<lite.embed_dim>), true);

}  // namespace
