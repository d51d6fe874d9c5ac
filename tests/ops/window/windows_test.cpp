#include "mia/ops/window/windows.hpp"

#include <numeric>

#include "reference/windows.hpp"
#include "support/backends.hpp"
#include "support/golden.hpp"

namespace mia {
namespace {

struct Size {
    int H, W;
    WindowSize window;
};
constexpr Size window_sizes[] = {{1, 1, {3, 8, 8}}, {13, 18, {3, 8, 8}}, {16, 8, {3, 8, 8}}, {7, 10, {3, 4, 4}},
                                 {5, 5, {2, 5, 5}}, {11, 6, {3, 5, 5}},  {1, 17, {3, 2, 6}}, {9, 7, {1, 2, 6}}};

std::string name_of(const Size& s, Shift shift) {
    return text(s.H, " x ", s.W, ", window ", s.window.height, " x ", s.window.width, ", shift ", int(shift));
}

template <class F>
void each_grid(F f) {
    for (const Size& s : window_sizes)
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

template <class B>
class WindowsOp : public testing::Test {};
TYPED_TEST_SUITE(WindowsOp, test::Backends);
template <class B>
class WindowsFloat : public testing::Test {};
TYPED_TEST_SUITE(WindowsFloat, test::FloatBackends);

/// The list of active tokens of a mask, in the backend's memory and read from there.
template <class B>
struct Selected {
    test::Placed<B, std::uint8_t, 3> keep;
    ActiveRows rows;
    std::vector<int> pixel, token, window, begin;

    Selected(B& backend, const WindowGrid& grid, int frames, const std::vector<std::uint8_t>& mask)
        : keep(backend, mask, {frames, grid.height, grid.width}), rows(make_active_rows(backend, grid, frames)) {
        select_rows(backend, grid, frames, keep, rows);
        const auto counts = read(backend, rows.counts, 2);
        pixel = read(backend, rows.pixel, counts[0]);
        token = read(backend, rows.token, counts[0]);
        window = read(backend, rows.window, counts[1]);
        begin = read(backend, rows.begin, counts[1] + 1);
    }
    static std::vector<int> read(B& backend, View<int, 1> from, int count) {
        std::vector<int> values(static_cast<std::size_t>(count));
        download(backend, View<const int, 1>(from.slice(0, count)), View<int, 1>{values.data(), {count}});
        synchronize(backend);
        return values;
    }
};

TYPED_TEST(WindowsOp, SelectGatherAndScatter) {
    using T = typename TypeParam::Scalar;
    each_grid([](const WindowGrid& grid, const reference::Windows& windows) {
        for (const double share : {0.0, 0.05, 0.5, 1.0})
            for (const int frames : {1, 3}) {
                auto backend = test::make_backend<TypeParam>(1 + frames % 3);
                const auto scope = backend.scope();
                constexpr int C = 3;
                const int P = grid.pixels(), N = windows.tokens();
                test::Random random(5);
                const auto keep = random.bits(frames * P, share);
                const Selected<TypeParam> list(backend, grid, frames, keep);

                std::vector<int> pixel, token, used, begin;  // ordered by window, frame and token
                for (int w = 0; w < grid.windows(); ++w) {
                    const auto first = pixel.size();
                    for (int f = 0; f < frames; ++f)
                        for (int n = 0; n < N; ++n) {
                            const int p = grid.pixel(w, n);
                            if (p < 0 || !keep[f * P + p]) continue;
                            pixel.push_back(f * P + p);
                            token.push_back(f * N + n);
                        }
                    if (pixel.size() == first) continue;
                    used.push_back(w);
                    begin.push_back(int(first));
                }
                begin.push_back(int(pixel.size()));
                ASSERT_EQ(list.pixel, pixel);
                ASSERT_EQ(list.token, token);
                ASSERT_EQ(list.window, used);
                ASSERT_EQ(list.begin, begin);

                const auto x = test::cast<T>(random.numbers(frames * P * C));
                auto picked = test::place<2>(backend, {frames * P, C}),
                     image = test::place<2>(backend, std::vector<T>(x.size(), T(9)), {frames * P, C});
                gather_rows<T>(backend, test::place<2>(backend, x, {frames * P, C}), list.rows, picked);
                scatter_rows<T>(backend, picked, list.rows, image);
                const auto back = image.values();
                for (int i = 0; i < frames * P * C; ++i) ASSERT_EQ(back[i], keep[i / C] ? x[i] : T(9));
            }
    });
}

TYPED_TEST(WindowsOp, GatherWindowsIsThePartitionOfWindowsWithAnActiveToken) {
    using T = typename TypeParam::Scalar;
    each_grid([](const WindowGrid& grid, const reference::Windows& windows) {
        for (const int before : {0, 2}) {
            auto backend = test::make_backend<TypeParam>();
            const auto scope = backend.scope();
            constexpr int C = 2;
            const int P = grid.pixels(), F = before + 1, N = windows.tokens();
            test::Random random(8);
            const auto cond = random.numbers(before * P * C), x = random.numbers(P * C);
            auto stack = cond;
            stack.insert(stack.end(), x.begin(), x.end());
            const auto expected = test::cast<T>(windows.partition(stack, F, C));
            const Selected<TypeParam> list(backend, grid, 1, random.bits(P, 0.1));
            auto windows_tokens =
                test::place<4>(backend, std::vector<T>(expected.size(), T(9)), {grid.windows(), F, N, C});
            gather_windows<T>(backend, grid, list.rows,
                              test::place<4>(backend, cond, {before, grid.height, grid.width, C}),
                              test::place<4>(backend, x, {1, grid.height, grid.width, C}), windows_tokens);
            const auto y = windows_tokens.values();
            const auto size = std::size_t(F * N * C), used = list.window.size();
            for (std::size_t w = 0; w < used; ++w)
                ASSERT_TRUE(std::equal(&y[w * size], &y[w * size] + size, &expected[list.window[w] * size])) << w;
            for (std::size_t i = used * size; i < y.size(); ++i) ASSERT_EQ(y[i], T(9)) << "beyond the used windows";
        }
    });
}

TYPED_TEST(WindowsFloat, GoldenOfPartitionAndRoundTrip) {
    const test::Golden golden("ops_window");
    const auto frames = golden("window.x");  // (1, 3, H, W, C), already channels last
    constexpr int H = 13, W = 18, C = 3;
    auto backend = test::make_backend<TypeParam>();
    const auto scope = backend.scope();
    const auto images = test::place<4>(backend, frames.data, {3, H, W, C});
    const View<const float, 4> all = images, current = all.slice(2, 1);
    for (const Shift shift : {Shift::none, Shift::half_window}) {
        const WindowGrid grid{H, W, {3, 8, 8}, shift};
        const std::string name = shift == Shift::none ? "window.shift0" : "window.shift1";
        auto rows = make_active_rows(backend, grid, 1);
        select_rows(backend, grid, 1, {}, rows);
        auto windows = test::place<4>(backend, {6, 3, 64, C});
        auto picked = test::place<2>(backend, {H * W, C}), back = test::place<2>(backend, {H * W, C});
        gather_windows<float>(backend, grid, rows, all.slice(0, 2), current, windows);
        EXPECT_EQ(windows.values(), golden(name + ".windows").data);
        gather_rows<float>(backend, rows_of(current), rows, picked);
        scatter_rows<float>(backend, picked, rows, back);
        EXPECT_EQ(back.values(), golden(name + ".roundtrip").data);
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
