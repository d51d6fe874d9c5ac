#include "mia/ops/window/windows.hpp"

#include <numeric>

#include "reference/windows.hpp"
#include "support/golden.hpp"

namespace mia {
namespace {

struct Size {
    int H, W;
    WindowSize window;
};
constexpr Size sizes[] = {{1, 1, {3, 8, 8}}, {13, 18, {3, 8, 8}}, {16, 8, {3, 8, 8}}, {7, 10, {3, 4, 4}},
                          {5, 5, {2, 5, 5}}, {11, 6, {3, 5, 5}},  {1, 17, {3, 2, 6}}, {9, 7, {1, 2, 6}}};

std::string name_of(const Size& s, Shift shift) {
    return text(s.H, " x ", s.W, ", window ", s.window.height, " x ", s.window.width, ", shift ", int(shift));
}

template <class F>
void each_grid(F f) {
    for (const Size& s : sizes)
        for (const Shift shift : {Shift::none, Shift::half_window}) {
            SCOPED_TRACE(name_of(s, shift));
            f(WindowGrid{s.H, s.W, s.window, shift},
              reference::Windows{s.H, s.W, s.window.height, s.window.width, shift == Shift::half_window});
        }
}

TEST(WindowGrid, EveryPixelHasOnePlaceThatPartitionGivesIt) {
    each_grid([](const WindowGrid& grid, const reference::Windows& windows) {
        ASSERT_EQ(grid.windows(), windows.count());
        test::Numbers image(std::size_t(grid.pixels()));
        std::iota(image.begin(), image.end(), 1.0);
        const auto expected = windows.partition(image, 1, 1);
        for (int w = 0; w < grid.windows(); ++w)
            for (int n = 0; n < windows.tokens(); ++n)
                ASSERT_EQ(grid.pixel(w, n) + 1, expected[w * windows.tokens() + n]) << w << ", " << n;
        EXPECT_EQ(windows.reverse(expected, 1), image);
    });
}

TEST(WindowGrid, RegionsFollowTheOfficialRule) {
    each_grid([](const WindowGrid& grid, const reference::Windows& windows) {
        for (int w = 0; w < grid.windows(); ++w) {
            bool several = false;
            for (int n = 0; n < windows.tokens(); ++n) {
                several = several || windows.region(w, n) != windows.region(w, 0);
                for (int m = 0; m < windows.tokens(); ++m)
                    ASSERT_EQ(grid.region(w, n) == grid.region(w, m), windows.region(w, n) == windows.region(w, m))
                        << "window " << w << ", tokens " << n << " and " << m;
            }
            EXPECT_TRUE(grid.has_regions(w) || !several) << w;
        }
    });
}

template <class T>
class WindowsOp : public testing::Test {};
using Scalars = testing::Types<float, double>;
TYPED_TEST_SUITE(WindowsOp, Scalars);

TYPED_TEST(WindowsOp, SelectGatherAndScatter) {
    using T = TypeParam;
    each_grid([](const WindowGrid& grid, const reference::Windows& windows) {
        for (const double share : {0.0, 0.05, 0.5, 1.0})
            for (const int frames : {1, 3}) {
                BasicCpu<T> cpu(1 + frames % 3, ScratchFill::nan);
                constexpr int C = 3;
                const int P = grid.pixels(), N = windows.tokens();
                test::Random random(5);
                const auto keep = random.bits(frames * P, share);
                auto rows = make_active_rows(cpu, grid, frames);
                select_rows(cpu, grid, frames, {keep.data(), {frames, grid.height, grid.width}}, rows);

                int at = 0, used = 0;  // ordered by window, frame and token
                for (int w = 0; w < grid.windows(); ++w) {
                    const int first = at;
                    for (int f = 0; f < frames; ++f)
                        for (int n = 0; n < N; ++n) {
                            const int p = grid.pixel(w, n);
                            if (p < 0 || !keep[f * P + p]) continue;
                            ASSERT_LT(at, rows.counts[0]);
                            ASSERT_EQ(rows.pixel[at], f * P + p);
                            ASSERT_EQ(rows.token[at++], f * N + n);
                        }
                    if (at == first) continue;
                    ASSERT_LT(used, rows.counts[1]);
                    ASSERT_EQ(rows.window[used], w);
                    ASSERT_EQ(rows.begin[used++], first);
                }
                ASSERT_EQ(rows.counts[0], at);
                ASSERT_EQ(rows.counts[1], used);
                ASSERT_EQ(rows.begin[used], at);

                const auto x = test::cast<T>(random.numbers(frames * P * C));
                auto picked = test::unwritten<T>(frames * P * C);
                std::vector<T> back(x.size(), T(9));
                gather_rows<T>(cpu, {x.data(), {frames * P, C}}, rows, {picked.data(), {frames * P, C}});
                scatter_rows<T>(cpu, {picked.data(), {frames * P, C}}, rows, {back.data(), {frames * P, C}});
                for (int i = 0; i < frames * P * C; ++i) ASSERT_EQ(back[i], keep[i / C] ? x[i] : T(9));
            }
    });
}

TYPED_TEST(WindowsOp, GatherWindowsIsThePartitionOfWindowsWithAnActiveToken) {
    using T = TypeParam;
    each_grid([](const WindowGrid& grid, const reference::Windows& windows) {
        for (const int before : {0, 2}) {
            BasicCpu<T> cpu(2, ScratchFill::nan);
            constexpr int C = 2;
            const int P = grid.pixels(), F = before + 1, N = windows.tokens();
            test::Random random(8);
            const auto cond = random.numbers(before * P * C), x = random.numbers(P * C);
            auto stack = cond;
            stack.insert(stack.end(), x.begin(), x.end());
            const auto expected = test::cast<T>(windows.partition(stack, F, C));
            const auto a = test::cast<T>(cond), b = test::cast<T>(x);
            const auto keep = random.bits(P, 0.1);
            auto rows = make_active_rows(cpu, grid, 1);
            select_rows(cpu, grid, 1, {keep.data(), {1, grid.height, grid.width}}, rows);
            auto y = test::unwritten<T>(grid.windows() * F * N * C);
            gather_windows<T>(cpu, grid, rows, {before ? a.data() : nullptr, {before, grid.height, grid.width, C}},
                              {b.data(), {1, grid.height, grid.width, C}}, {y.data(), {grid.windows(), F, N, C}});
            const int size = F * N * C;
            for (int w = 0; w < rows.counts[1]; ++w)
                ASSERT_TRUE(std::equal(&y[w * size], &y[w * size] + size, &expected[rows.window[w] * size])) << w;
        }
    });
}

TEST(WindowsGolden, PartitionAndRoundTrip) {
    const test::Golden golden("ops_window");
    const auto frames = golden("window.x");  // (1, 3, H, W, C), already channels last
    constexpr int H = 13, W = 18, C = 3;
    Cpu cpu(2, ScratchFill::nan);
    for (const Shift shift : {Shift::none, Shift::half_window}) {
        const WindowGrid grid{H, W, {3, 8, 8}, shift};
        const std::string name = shift == Shift::none ? "window.shift0" : "window.shift1";
        auto rows = make_active_rows(cpu, grid, 1);
        select_rows(cpu, grid, 1, {}, rows);
        const float* current = frames.data.data() + 2 * H * W * C;
        auto windows = test::unwritten<float>(6 * 192 * C), picked = test::unwritten<float>(H * W * C),
             back = test::unwritten<float>(H * W * C);
        gather_windows<float>(cpu, grid, rows, {frames.data.data(), {2, H, W, C}}, {current, {1, H, W, C}},
                              {windows.data(), {6, 3, 64, C}});
        EXPECT_EQ(windows, golden(name + ".windows").data);
        gather_rows<float>(cpu, {current, {H * W, C}}, rows, {picked.data(), {H * W, C}});
        scatter_rows<float>(cpu, {picked.data(), {H * W, C}}, rows, {back.data(), {H * W, C}});
        EXPECT_EQ(back, golden(name + ".roundtrip").data);
    }
}

TEST(WindowsGolden, RegionMask) {
    const test::Golden golden("ops_window");
    const auto check = [&](const std::string& name, int H, int W, WindowSize window) {
        const auto expected = golden("shift_mask." + name);  // (windows, N, F N)
        const WindowGrid grid{H, W, window, Shift::half_window};
        const int N = window.tokens(), keys = window.frames * N;
        std::vector<float> mask;
        for (int w = 0; w < grid.windows(); ++w)
            for (int q = 0; q < N; ++q)
                for (int k = 0; k < keys; ++k)
                    mask.push_back(grid.region(w, q) == grid.region(w, k % N) ? 0 : region_penalty);
        EXPECT_EQ(mask, expected.data) << name;
    };
    check("13x18", 13, 18, {3, 8, 8});
    check("8x8", 8, 8, {3, 8, 8});
    check("16x8", 16, 8, {3, 8, 8});
    check("win4.7x10", 7, 10, {3, 4, 4});
}

}  // namespace
}  // namespace mia
