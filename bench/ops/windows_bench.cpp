#include "mia/ops/window/windows.hpp"
#include "support/fixture.hpp"
#include "support/measure.hpp"
#include "support/required_macs.hpp"

// Selecting the active tokens of a mask that keeps half of them, scattered; moving them, and whole windows.
namespace {
using namespace mia;
using namespace mia::bench;

/// Rows of a mask, with the memory that their views need.
struct Selection {
    WindowGrid grid;
    Tensor<std::uint8_t, 3, Device> mask;
    decltype(std::declval<Device&>().scope()) scope;
    ActiveRows rows;
    int active, windows;

    Selection(Device& device, const AttentionConfig& config, Shift shift, double share)
        : grid{height, width, config.window, shift},
          mask(on(device, make_mask(MaskShape::scattered, share))),
          scope(device.scope()),
          rows(make_active_rows(device, grid, 1)) {
        select_rows(device, grid, 1, mask.view(), rows);
        active = value(device, &rows.counts.data[0]);
        windows = value(device, &rows.counts.data[1]);
    }
    static constexpr double row_bytes(int C) { return double(C) * sizeof(float); }
};

void add_selection() {
    constexpr double bytes = double(pixels) + 0.5 * pixels * 2 * sizeof(int);  // the mask; pixel and token of each row
    add_case("select_rows/keep:0.5", 1, [](benchmark::State& state, Device& device) {
        Selection s(device, base, Shift::half_window, 0.5);
        measure(state, device, {.bytes = bytes}, [&] { select_rows(device, s.grid, 1, s.mask.view(), s.rows); });
    });
    add_copy_baseline("select_rows/keep:0.5", bytes);
}

void add_moves(const std::string& model, const AttentionConfig& config) {
    const int C = config.embed_dim;
    const double half = double(pixels) * Selection::row_bytes(C), whole = 2.0 * 3 * pixels * Selection::row_bytes(C);
    add_case("gather_rows/" + model + "/keep:0.5", 1, [=](benchmark::State& state, Device& device) {
        Selection s(device, config, Shift::half_window, 0.5);
        const auto x = on(device, random_tensor({pixels, C}));
        auto y = room(device, pixels, C);
        measure(state, device, {.bytes = 2 * s.active * Selection::row_bytes(C)},
                [&] { gather_rows(device, x.view(), s.rows, y.view()); });
    });
    add_case("scatter_rows/" + model + "/keep:0.5", 1, [=](benchmark::State& state, Device& device) {
        Selection s(device, config, Shift::half_window, 0.5);
        const auto x = on(device, random_tensor({pixels, C}));
        auto y = room(device, pixels, C);
        measure(state, device, {.bytes = 2 * s.active * Selection::row_bytes(C)},
                [&] { scatter_rows(device, x.view(), s.rows, y.view()); });
    });
    add_copy_baseline("gather_rows/" + model, half);
    add_case("gather_windows/" + model, {1, 2}, [=](benchmark::State& state, Device& device) {
        Selection s(device, config, Shift::half_window, 1);
        const auto x = on(device, random_tensor({1, height, width, C})),
                   cond = on(device, random_tensor({2, height, width, C}));
        auto y = room(device, s.grid.windows(), 3, config.window.tokens(), C);
        measure(state, device, {.bytes = whole},
                [&] { gather_windows(device, s.grid, s.rows, cond.view(), x.view(), y.view()); });
    });
    add_copy_baseline("gather_windows/" + model, whole);
}

[[maybe_unused]] const bool windows_added = (add_selection(), add_moves("base", base), add_moves("lite", lite), true);

}  // namespace
