#include "mia/ops/layer_norm/layer_norm.hpp"
#include "support/fixture.hpp"
#include "support/measure.hpp"

namespace {
using namespace mia;
using namespace mia::bench;

void add_layer_norm(const std::string& model, int C) {
    const double bytes = 2.0 * pixels * C * sizeof(float);
    add_case("layer_norm/" + model, {1, 2}, [=](benchmark::State& state, Device& device) {
        const auto x = on(device, random_tensor({pixels, C}));
        const auto weight = on(device, random_tensor({C}, 0.9f, 1.1f)), bias = on(device, random_tensor({C}));
        auto y = room(device, pixels, C);
        measure(state, device, {.bytes = bytes},
                [&] { layer_norm(device, x.view(), weight.view(), bias.view(), y.view()); });
    });
    add_copy_baseline("layer_norm/" + model, bytes);
}
[[maybe_unused]] const bool layer_norm_added =
    (add_layer_norm("base", base.embed_dim), add_layer_norm("lite", lite.embed_dim), true);

}  // namespace
