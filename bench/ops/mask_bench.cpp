#include "mia/ops/mask/mask.hpp"
#include "support/fixture.hpp"
#include "support/measure.hpp"

namespace {
using namespace mia;
using namespace mia::bench;

void add_mask(const std::string& model, int C) {
    const double bytes = double(pixels) * (2 * C * sizeof(float) + 1);
    add_case("predict_mask/" + model, {1, 2}, [=](benchmark::State& state, Device& device) {
        const auto q = on(device, random_tensor({pixels, C})),
                   previous = on(device, random_tensor({pixels, C}, -normed, normed, 8));
        const auto weight = on(device, random_tensor({1, C}));
        const auto bias = on(device, random_tensor({1}));
        auto keep = room<std::uint8_t>(device, pixels);
        measure(state, device, {.bytes = bytes},
                [&] { predict_mask(device, {}, q.view(), previous.view(), weight.view(), bias.view(), keep.view()); });
    });
    add_case("threshold_mask/" + model, 1, [=](benchmark::State& state, Device& device) {
        const auto q = on(device, random_tensor({pixels, C})),
                   previous = on(device, random_tensor({pixels, C}, -normed, normed, 8));
        auto keep = room<std::uint8_t>(device, pixels);
        measure(state, device, {.bytes = bytes},
                [&] { threshold_mask(device, q.view(), previous.view(), 0.2f, keep.view()); });
    });
    add_copy_baseline("predict_mask/" + model, bytes);
}
[[maybe_unused]] const bool mask_added = (add_mask("base", base.embed_dim), add_mask("lite", lite.embed_dim), true);

}  // namespace
