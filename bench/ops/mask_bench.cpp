#include "mia/ops/mask/mask.hpp"
#include "support/fixture.hpp"
#include "support/measure.hpp"

namespace {
using namespace mia;
using namespace mia::bench;

void add(const std::string& model, int C) {
    const double bytes = double(pixels) * (2 * C * sizeof(float) + 1);
    add_case("predict_mask/" + model, {1, 2}, [=](benchmark::State& state, Cpu& cpu) {
        const auto q = random_tensor({pixels, C}), previous = random_tensor({pixels, C}, -normed, normed, 8);
        const auto weight = random_tensor({1, C});
        const auto bias = random_tensor({1});
        Tensor<std::uint8_t, 1> keep(pixels);
        measure(state, cpu, {.bytes = bytes},
                [&] { predict_mask(cpu, {}, q.view(), previous.view(), weight.view(), bias.view(), keep.view()); });
    });
    add_case("threshold_mask/" + model, 1, [=](benchmark::State& state, Cpu& cpu) {
        const auto q = random_tensor({pixels, C}), previous = random_tensor({pixels, C}, -normed, normed, 8);
        Tensor<std::uint8_t, 1> keep(pixels);
        measure(state, cpu, {.bytes = bytes},
                [&] { threshold_mask(cpu, q.view(), previous.view(), 0.2f, keep.view()); });
    });
    add_copy_baseline("predict_mask/" + model, bytes);
}
[[maybe_unused]] const bool added = (add("base", base.embed_dim), add("lite", lite.embed_dim), true);

}  // namespace
