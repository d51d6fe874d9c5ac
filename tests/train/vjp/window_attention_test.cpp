#include "train/gradient_check.hpp"

namespace mia {
namespace {

using test::DoubleTape;
using test::Input;

struct Case {
    WindowGrid grid;
    WindowFrames frames;
    int heads, head_width;
};

/// Queries, keys, values and the bias table, with and without regions, padding and several query frames.
TEST(WindowAttentionVjp, CentralDifferences) {
    test::Random random(1);
    PackedPositionBias<DoubleTape> bias;
    for (const Case& c : {Case{{4, 6, {3, 2, 3}, Shift::none}, {3, 1}, 2, 3},
                          {{5, 7, {2, 4, 4}, Shift::half_window}, {2, 1}, 1, 5},
                          {{3, 3, {1, 2, 2}, Shift::half_window}, {1, 1}, 3, 1},
                          {{3, 5, {2, 2, 3}, Shift::half_window}, {2, 2}, 2, 2},
                          {{6, 6, {1, 6, 6}, Shift::none}, {1, 1}, 1, 9}}) {
        const int C = c.heads * c.head_width, tokens = c.frames.queries * c.grid.pixels();
        const int windows = c.grid.windows(), N = c.frames.keys * c.grid.window.tokens();
        const int offsets = bias_rows_in_time(c.frames) * c.grid.window.offsets();
        test::check_gradients(
            {{random.numbers(tokens * C)}, {random.numbers(windows * N * 2 * C)}, {random.numbers(offsets * c.heads)}},
            [&](DoubleTape& tape, const std::vector<Input>& in) {
                auto rows = make_active_rows(tape, c.grid, c.frames.queries);
                select_rows(tape, c.grid, c.frames.queries, {}, rows);
                pack_position_bias(tape, in[2].as(offsets, c.heads), c.grid.window, c.frames, bias);
                const auto y = tape.scratch(tokens, C);
                window_attention(tape, c.grid, rows, c.frames, c.heads, in[0].as(tokens, C),
                                 in[1].as(windows, N, 2 * C), bias, y);
                return y;
            });
    }
}

/// The images, both maps' parameters and the table.
TEST(ProjectedAttentionVjp, CentralDifferences) {
    test::Random random(2);
    PackedLinear<DoubleTape> query, key_value;
    PackedPositionBias<DoubleTape> bias;
    for (const Case& c : {Case{{4, 6, {3, 2, 3}, Shift::none}, {3, 1}, 2, 3},
                          {{5, 7, {2, 4, 4}, Shift::half_window}, {2, 1}, 1, 5},
                          {{3, 3, {1, 2, 2}, Shift::half_window}, {1, 1}, 3, 1},
                          {{3, 5, {3, 2, 3}, Shift::half_window}, {3, 2}, 2, 2}}) {
        const int C = c.heads * c.head_width, H = c.grid.height, W = c.grid.width, tokens = c.frames.queries * H * W;
        const int before = c.frames.keys - c.frames.queries;
        const int offsets = bias_rows_in_time(c.frames) * c.grid.window.offsets();
        test::check_gradients({{random.numbers(before * H * W * C)},
                               {random.numbers(tokens * C)},
                               {random.numbers(C * C)},
                               {random.numbers(C)},
                               {random.numbers(2 * C * C)},
                               {random.numbers(2 * C)},
                               {random.numbers(offsets * c.heads)}},
                              [&](DoubleTape& tape, const std::vector<Input>& in) {
                                  auto rows = make_active_rows(tape, c.grid, c.frames.queries);
                                  select_rows(tape, c.grid, c.frames.queries, {}, rows);
                                  pack_linear(tape, in[2].as(C, C), in[3].as(C), 0.5, query);
                                  pack_linear(tape, in[4].as(2 * C, C), in[5].as(2 * C), 1., key_value);
                                  pack_position_bias(tape, in[6].as(offsets, c.heads), c.grid.window, c.frames, bias);
                                  const auto y = tape.scratch(tokens, C);
                                  projected_attention(tape, c.grid, rows, c.frames, c.heads,
                                                      before > 0 ? in[0].as(before, H, W, C) : View<const double, 4>{},
                                                      in[1].as(c.frames.queries, H, W, C), query, key_value, bias, y);
                                  return y;
                              });
    }
}

}  // namespace
}  // namespace mia
