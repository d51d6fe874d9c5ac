#include "mia/ops/layer_norm/layer_norm.hpp"
#include "support/fixture.hpp"
#include "support/measure.hpp"

namespace {
using namespace mia;
using namespace mia::bench;

void add(const std::string& model, int C) {
    const double bytes = 2.0 * pixels * C * sizeof(float);
    add_case("layer_norm/" + model, {1, 2}, [=](benchmark::State& state, Cpu& cpu) {
        const auto x = random_tensor({pixels, C});
        const auto weight = random_tensor({C}, 0.9f, 1.1f), bias = random_tensor({C});
        Tensor<float, 2> y(pixels, C);
        measure(state, cpu, {.bytes = bytes}, [&] { layer_norm(cpu, x.view(), weight.view(), bias.view(), y.view()); });
    });
    add_copy_baseline("layer_norm/" + model, bytes);
}
[[maybe_unused]] const bool added = (add("base", base.embed_dim), add("lite", lite.embed_dim), true);

}  // namespace
