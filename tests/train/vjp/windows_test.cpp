#include "train/gradient_check.hpp"

namespace mia {
namespace {

using test::DoubleTape;
using test::Input;

ActiveRows all_rows(DoubleTape& tape, const WindowGrid& grid, int frames) {
    auto rows = make_active_rows(tape, grid, frames);
    select_rows(tape, grid, frames, {}, rows);
    return rows;
}

const WindowGrid grids[] = {{5, 7, {3, 4, 4}, Shift::half_window}, {4, 6, {3, 2, 3}, Shift::none}, {1, 1, {3, 2, 2}}};

TEST(WindowsVjp, GatherAndScatterRows) {
    test::Random random(1);
    for (const auto& grid : grids) {
        const int tokens = 2 * grid.pixels();
        test::check_gradients({{random.numbers(tokens * 3)}}, [&](DoubleTape& tape, const std::vector<Input>& in) {
            const auto rows = all_rows(tape, grid, 2);
            const auto gathered = tape.scratch(tokens, 3), twice = tape.scratch(tokens, 3);
            gather_rows(tape, in[0].as(tokens, 3), rows, gathered);
            gather_rows(tape, gathered, rows, twice);  // a permutation that is not its own inverse
            const auto y = tape.scratch(tokens, 3);
            scatter_rows(tape, twice, rows, y);
            return y;
        });
    }
}

TEST(WindowsVjp, GatherWindows) {
    test::Random random(2);
    for (const auto& grid : grids)
        for (const int before : {0, 2}) {
            const int P = grid.pixels(), H = grid.height, W = grid.width;
            test::check_gradients({{random.numbers(2 * P * 3)}, {random.numbers(P * 3)}},
                                  [&](DoubleTape& tape, const std::vector<Input>& in) {
                                      const auto rows = all_rows(tape, grid, 1);
                                      const auto y = tape.scratch(grid.windows(), before + 1, grid.window.tokens(), 3);
                                      const auto cond = before > 0 ? in[0].as(2, H, W, 3) : View<const double, 4>{};
                                      gather_windows(tape, grid, rows, cond, in[1].as(1, H, W, 3), y);
                                      return y;
                                  });
        }
}

TEST(WindowsVjp, AMaskLeavesNoTokenOut) {
    test::DoubleCpu cpu;
    DoubleTape tape(cpu);
    const WindowGrid& grid = grids[0];
    const std::vector<std::uint8_t> none(std::size_t(grid.pixels()), 0);
    auto rows = make_active_rows(tape, grid, 1);
    select_rows(tape, grid, 1, {none.data(), {1, grid.height, grid.width}}, rows);
    EXPECT_EQ(rows.counts[0], grid.pixels());
    EXPECT_EQ(rows.counts[1], grid.windows());
}

}  // namespace
}  // namespace mia
