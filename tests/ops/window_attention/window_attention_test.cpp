#include "mia/ops/window_attention/window_attention.hpp"

#include "reference/window_attention.hpp"
#include "support/backends.hpp"
#include "support/golden.hpp"

namespace mia {
namespace {

using test::Numbers;

template <class B>
class WindowAttentionOp : public testing::Test {};
TYPED_TEST_SUITE(WindowAttentionOp, test::Backends);
template <class B>
class WindowAttentionFloat : public testing::Test {};
TYPED_TEST_SUITE(WindowAttentionFloat, test::FloatBackends);
template <class B>
class WindowAttentionBf16 : public testing::Test {};
TYPED_TEST_SUITE(WindowAttentionBf16, test::NarrowBackends);

void round_to_bf16(Numbers& x) {
    for (double& v : x) v = Bf16(float(v));
}

template <class B>
std::vector<int> read(B& backend, View<int, 1> from, int count) {
    std::vector<int> values(static_cast<std::size_t>(count));
    download(backend, View<const int, 1>(from.slice(0, count)), View<int, 1>{values.data(), {count}});
    synchronize(backend);
    return values;
}

/// The attention of random q, k, v and bias on a grid; q and result as images (P, C).
template <class B>
struct Case {
    using T = typename B::Scalar;
    WindowGrid grid;
    int F, heads, C, P = grid.pixels(), N = grid.window.tokens();
    Numbers q, kv, table;
    PackedPositionBias<B> bias;

    Case(B& backend, WindowGrid g, int frames, int num_heads, int head_width, double score = 1)
        : grid(g), F(frames), heads(num_heads), C(num_heads * head_width) {
        test::Random random(P + 10 * C);
        const int rows = F * grid.window.offsets();
        q = random.numbers(P * C, -2, 2);
        kv = random.numbers(grid.windows() * F * N * 2 * C);
        table = random.numbers(rows * heads, -score, score);
        if (narrow<T>)
            for (auto* numbers : {&q, &kv, &table}) round_to_bf16(*numbers);
        pack_position_bias<T>(backend, test::place<2>(backend, table, {rows, heads}), grid.window,
                              {.keys = F, .queries = 1}, bias);
    }
    /// (P, C); pixels without a result stay NaN.
    std::vector<T> run(B& backend, const std::vector<std::uint8_t>& keep = {}) const {
        const auto scope = backend.scope();
        auto rows = make_active_rows(backend, grid, 1);
        const test::Placed<B, std::uint8_t, 1> mask(backend, keep, {int(keep.size())});
        select_rows(backend, grid, 1,
                    keep.empty() ? View<const std::uint8_t, 3>{} : mask.view().reshape(1, grid.height, grid.width),
                    rows);
        const auto picked = backend.scratch(P, C), result = backend.scratch(P, C);
        gather_rows<T>(backend, test::place<2>(backend, q, {P, C}), rows, picked);
        Numbers windows_kv;  // of the windows with an active token
        const int size = F * N * 2 * C, used = read(backend, rows.counts, 2)[1];
        for (const int w : read(backend, rows.window, used))
            windows_kv.insert(windows_kv.end(), kv.begin() + w * size, kv.begin() + (w + 1) * size);
        window_attention<T>(backend, grid, rows, {.keys = F, .queries = 1}, heads, picked,
                            test::place<3>(backend, windows_kv, {used, F * N, 2 * C}), bias, result);
        auto y = test::place<2>(backend, test::unwritten<T>(P * C), {P, C});
        scatter_rows<T>(backend, result, rows, y);
        return y.values();
    }
    Numbers expected(void (*weighting)(Numbers&) = [](Numbers&) {}) const {
        const reference::Windows windows{grid.height, grid.width, grid.window.height, grid.window.width,
                                         grid.shift == Shift::half_window};
        return windows.reverse(
            reference::window_attention(windows, windows.partition(q, 1, C), kv, table, F, C, heads, weighting), C);
    }
};

TYPED_TEST(WindowAttentionOp, HeadWidthsAndWindows) {
    using T = typename TypeParam::Scalar;
    struct Shape {
        WindowGrid grid;
        int frames, heads, width;
    };
    const Shape shapes[] = {
        {{9, 10, {3, 8, 8}, Shift::half_window}, 3, 2, 1},  {{1, 1, {3, 8, 8}, Shift::half_window}, 3, 2, 3},
        {{7, 10, {3, 4, 4}, Shift::half_window}, 3, 4, 5},  {{6, 11, {2, 5, 5}, Shift::half_window}, 2, 1, 8},
        {{5, 13, {3, 2, 6}, Shift::half_window}, 3, 2, 16}, {{8, 9, {3, 8, 8}, Shift::none}, 3, 3, 20},
        {{5, 5, {1, 5, 5}, Shift::none}, 1, 1, 32},         {{4, 12, {3, 2, 6}, Shift::none}, 3, 5, 3},
        {{4, 5, {2, 4, 4}, Shift::half_window}, 2, 1, 64}};
    for (const auto& [grid, frames, heads, width] : shapes) {
        auto backend = test::make_backend<TypeParam>(1);
        const Case<TypeParam> c(backend, grid, frames, heads, width);
        const auto y = c.run(backend);
        const auto name = text("window ", grid.window.height, " x ", grid.window.width, ", head width ", width);
        test::expect_near(y, c.expected(), test::sum_rounding<T>, name);
        for (const int threads : test::thread_counts<TypeParam>()) {
            auto more = test::make_backend<TypeParam>(threads);
            EXPECT_TRUE(test::same_bytes(c.run(more), y)) << name << ", threads " << threads;
        }
    }
}

TYPED_TEST(WindowAttentionOp, AnActiveTokensResultDoesNotDependOnTheMask) {
    auto backend = test::make_backend<TypeParam>();
    for (const Shift shift : {Shift::none, Shift::half_window}) {
        const Case<TypeParam> c(backend, {13, 18, {3, 8, 8}, shift}, 3, 2, 5);
        const auto all = c.run(backend);
        const auto ones = std::vector<std::uint8_t>(13 * 18, 1);
        EXPECT_TRUE(test::same_bytes(c.run(backend, ones), all)) << "a mask of ones is no mask";
        for (const double share : {0.02, 0.3, 0.9}) {
            const auto keep = test::Random(100 * share).bits(13 * 18, share);
            const auto some = c.run(backend, keep);
            for (int i = 0; i < 13 * 18 * 10; ++i) {
                if (keep[i / 10]) {
                    ASSERT_EQ(some[i], all[i]) << i;
                } else {
                    ASSERT_TRUE(std::isnan(some[i])) << i;
                }
            }
        }
    }
}

TYPED_TEST(WindowAttentionOp, SoftmaxRowsSumToOne) {
    using T = typename TypeParam::Scalar;
    auto backend = test::make_backend<TypeParam>();
    Case<TypeParam> c(backend, {11, 9, {3, 4, 4}, Shift::half_window}, 3, 2, 4);
    for (std::size_t i = 0; i < c.kv.size(); ++i)
        if (i % 16 >= 8) c.kv[i] = double(i % 8) + 1;  // the same value at every key
    const auto y = c.run(backend);
    for (std::size_t i = 0; i < y.size(); ++i) ASSERT_NEAR(y[i], double(i % 8 + 1), 8 * test::sum_rounding<T>);
}

TYPED_TEST(WindowAttentionOp, ScoresFarApart) {
    using T = typename TypeParam::Scalar;
    auto backend = test::make_backend<TypeParam>();
    // Scores of +-110 compete across the regions' -100 and drive most terms of softmax below every float.
    const Case<TypeParam> c(backend, {13, 8, {3, 8, 8}, Shift::half_window}, 3, 2, 8, 110);
    test::expect_near(c.run(backend), c.expected(), 20 * test::sum_rounding<T>, "far apart");  // exp(s) of s = 110
}

TYPED_TEST(WindowAttentionOp, NothingActive) {
    using T = typename TypeParam::Scalar;
    auto backend = test::make_backend<TypeParam>();
    const Case<TypeParam> c(backend, {5, 5, {1, 4, 4}, Shift::none}, 1, 1, 2);
    const std::vector<std::uint8_t> none(25);
    for (const T v : c.run(backend, none)) EXPECT_TRUE(std::isnan(v));
    if (TypeParam::memory_is_host) {
        EXPECT_EQ(backend.work().macs, 0);  // a device keeps the count to itself
    }
    EXPECT_EQ(backend.work().dense_macs, 2 * 25 * 16 * 2);
}

/// Errors are at most twice those of exact scores, whose softmax and result are rounded.
template <class B>
void expect_errors_of_bf16(const Case<B>& c, const std::vector<Bf16>& y, const std::vector<std::uint8_t>& keep = {}) {
    const Numbers expected = c.expected();
    Numbers straight = c.expected(round_to_bf16);
    round_to_bf16(straight);
    double largest[2] = {}, squares[2] = {};
    for (std::size_t i = 0; i < y.size(); ++i) {
        if (!keep.empty() && !keep[i / std::size_t(c.C)]) {
            ASSERT_TRUE(std::isnan(float(y[i]))) << i;
            continue;
        }
        const double errors[] = {std::abs(float(y[i]) - expected[i]), std::abs(straight[i] - expected[i])};
        for (const int k : {0, 1}) {
            largest[k] = std::isnan(errors[k]) ? errors[k] : std::max(largest[k], errors[k]);
            squares[k] += errors[k] * errors[k];
        }
    }
    EXPECT_LE(largest[0], 2 * largest[1]);
    EXPECT_LE(std::sqrt(squares[0]), 2 * std::sqrt(squares[1]));
}

TYPED_TEST(WindowAttentionBf16, ErrorsAreThoseOfItsNumbers) {
    struct Shape {
        WindowGrid grid;
        int frames, heads, width;
        double score = 1;
    };
    const Shape shapes[] = {
        {{9, 10, {3, 8, 8}, Shift::half_window}, 3, 2, 20},    {{13, 9, {3, 4, 4}, Shift::half_window}, 3, 3, 16},
        {{7, 10, {3, 4, 4}, Shift::half_window}, 3, 6, 20},    {{7, 6, {3, 5, 5}, Shift::half_window}, 3, 2, 9},
        {{6, 11, {2, 5, 5}, Shift::half_window}, 2, 1, 8},     {{4, 12, {3, 2, 6}, Shift::none}, 3, 5, 3},
        {{5, 13, {3, 2, 6}, Shift::half_window}, 3, 2, 6},     {{4, 9, {2, 8, 8}, Shift::half_window}, 2, 1, 40},
        {{5, 12, {1, 5, 12}, Shift::none}, 1, 1, 32},          {{9, 9, {1, 9, 9}, Shift::none}, 1, 1, 12},
        {{13, 8, {3, 8, 8}, Shift::half_window}, 3, 2, 8, 110}};  // scores that compete across regions
    for (const auto& [grid, frames, heads, width, score] : shapes) {
        SCOPED_TRACE(text("window ", grid.window.height, " x ", grid.window.width, ", heads ", heads, " x ", width));
        auto backend = test::make_backend<TypeParam>();
        const Case<TypeParam> c(backend, grid, frames, heads, width, score);
        expect_errors_of_bf16(c, c.run(backend));
    }
}
TYPED_TEST(WindowAttentionBf16, WithMasks) {
    auto backend = test::make_backend<TypeParam>();
    const WindowGrid grids[] = {{13, 18, {3, 8, 8}, Shift::half_window}, {9, 14, {3, 4, 4}, Shift::half_window}};
    for (const WindowGrid& grid : grids) {
        const Case<TypeParam> c(backend, grid, 3, 2, 20);
        const auto all = c.run(backend);
        for (const double share : {0.0, 0.03, 0.5}) {
            const auto keep = test::Random(int(100 * share)).bits(grid.pixels(), share);
            const auto some = c.run(backend, keep);
            expect_errors_of_bf16(c, some, keep);
            for (std::size_t i = 0; i < some.size(); ++i)
                if (keep[i / std::size_t(c.C)]) {
                    ASSERT_EQ(some[i].bits, all[i].bits) << i;
                }
        }
    }
}

#if defined(__SSE2__)
TEST(WindowAttention, TheRegionPenaltyLeavesNoDenormals) {
    using Panel = detail::AttentionPanel<float, detail::KvOrder::tokens_first>;
    constexpr int D = 3, N = 12, width = Panel::width;
    std::vector<float> kv(N * 2 * D, 0.5f), query(D * width, 0.25f), bias(N * width), scores(N * width), out(D * width);
    for (int i = 0; i < N * width; ++i)  // exp(-100) is 4e-44, a denormal
        bias[i] = i / width % 3 == 0 ? 0 : region_penalty;
    constexpr unsigned underflow = 0x10;
    const unsigned before = _mm_getcsr();
    ASSERT_EQ(before & 0x8040u, 0u) << "denormals are not flushed here";
    _mm_setcsr(before & ~underflow);
    Panel{.D = D,
          .N = N,
          .vectors = 2,
          .keys = kv.data(),
          .values = kv.data() + D,
          .kv_stride = 2 * D,
          .query = query.data(),
          .bias = bias.data(),
          .bias_stride = width,
          .scores = scores.data(),
          .out = out.data()}
        .run();
    EXPECT_EQ(_mm_getcsr() & underflow, 0u);
    for (const float s : scores) EXPECT_TRUE(std::isnormal(s)) << s;
    for (const float y : out) EXPECT_NEAR(y, 0.5, 1e-6);
    _mm_setcsr(before);
}
#endif

TYPED_TEST(WindowAttentionFloat, RefusesAnUnpackedTable) {
    auto backend = test::make_backend<TypeParam>();
    Case<TypeParam> c(backend, {4, 4, {1, 4, 4}, Shift::none}, 1, 1, 2);
    c.bias.ready = false;
    try {
        c.run(backend);
        FAIL();
    } catch (const Error& error) {
        EXPECT_STREQ(error.what(),
                     "window_attention: the bias table is not packed; call prepare(backend, model) after loading or "
                     "changing parameters");
    }
}

TEST(RelativePosition, FollowsTheRule) {
    for (const WindowSize window : {WindowSize{3, 8, 8}, WindowSize{2, 5, 5}, WindowSize{1, 2, 6}})
        for (int q = 0; q < window.tokens(); ++q)
            for (int k = 0; k < window.frames * window.tokens(); ++k)
                ASSERT_EQ(relative_position_index(window, {.keys = window.frames, .queries = 1}, q, k),
                          reference::relative_position(window.frames, window.height, window.width, q, k));
    // Joint attention counts both ways in time: (tq - tk + frames - 1) offsets.
    constexpr WindowSize window{3, 2, 2};
    static_assert(bias_rows_in_time({.keys = 3, .queries = 3}) == 5 && bias_rows_in_time({.keys = 3}) == 3);
    EXPECT_EQ(relative_position_index(window, {.keys = 3, .queries = 3}, 0, 11), 0 * 9 + 0 * 3 + 0);
    EXPECT_EQ(relative_position_index(window, {.keys = 3, .queries = 3}, 11, 0), 4 * 9 + 2 * 3 + 2);
    EXPECT_EQ(relative_position_index(window, {.keys = 3, .queries = 3}, 5, 5), 2 * 9 + 1 * 3 + 1);
}

TEST(RelativePositionGolden, OpsWindow) {
    const test::Golden golden("ops_window");
    for (const int side : {8, 4}) {
        const auto name = text("relpos.win", side);
        const auto index = golden(name + ".index"), table = golden(name + ".table"), bias = golden(name + ".bias");
        const WindowSize window{3, side, side};
        const int N = window.tokens(), keys = 3 * N;
        for (int q = 0; q < N; ++q)
            for (int k = 0; k < keys; ++k) {
                const int row = relative_position_index(window, {.keys = 3, .queries = 1}, q, k);
                ASSERT_EQ(float(row), index.data[std::size_t(q * keys + k)]) << name << ": " << q << ", " << k;
                for (int h = 0; h < 2; ++h)
                    ASSERT_EQ(table.data[std::size_t(row * 2 + h)], bias.data[std::size_t((h * N + q) * keys + k)]);
            }
    }
}

TYPED_TEST(WindowAttentionFloat, GoldenOfOneWindowOfAttnShift) {
    constexpr double bound = 3.7e-6;  // ten times what an independent float implementation reaches
    constexpr int H = 13, W = 18, C = 24, heads = 2, d = C / heads, N = 64, keys = 192;
    const test::Golden golden("attn_shift");
    const auto q = golden("debug.q_unscaled"), k = golden("debug.k"), v = golden("debug.v"),
               table = golden("param.relative_position_bias_table"), expected = golden("debug.av");
    const int window = int(golden("debug.window_index").data[0]);
    const WindowGrid grid{H, W, {3, 8, 8}, Shift::half_window};
    std::vector<std::uint8_t> keep(H * W);
    for (int n = 0; n < N; ++n)
        if (grid.pixel(window, n) >= 0) keep[std::size_t(grid.pixel(window, n))] = 1;
    auto backend = test::make_backend<TypeParam>();
    const auto scope = backend.scope();
    PackedPositionBias<TypeParam> bias;
    pack_position_bias<float>(backend, test::place<2>(backend, table.data, {675, heads}), grid.window,
                              {.keys = 3, .queries = 1}, bias);
    auto rows = make_active_rows(backend, grid, 1);
    const test::Placed<TypeParam, std::uint8_t, 3> mask(backend, keep, {1, H, W});
    select_rows(backend, grid, 1, mask, rows);
    const auto counts = read(backend, rows.counts, 2);
    ASSERT_EQ(counts[1], 1);
    const auto tokens = read(backend, rows.token, counts[0]);
    const auto of = [&](const test::Array& a, int in_window, int n, int c) {
        return a.data[std::size_t((c / d * in_window + n) * d + c % d)];
    };
    std::vector<float> rows_q, kv, e;
    for (const int token : tokens)
        for (int c = 0; c < C; ++c) {
            rows_q.push_back(of(q, N, token, c));
            e.push_back(expected.data[std::size_t(token * C + c)]);
        }
    for (int n = 0; n < keys; ++n)
        for (int c = 0; c < 2 * C; ++c) kv.push_back(of(c < C ? k : v, keys, n, c % C));
    auto y = test::place<2>(backend, {counts[0], C});
    window_attention<float>(backend, grid, rows, {.keys = 3, .queries = 1}, heads,
                            test::place<2>(backend, rows_q, {counts[0], C}),
                            test::place<3>(backend, kv, {1, keys, 2 * C}), bias, y);
    test::Errors("attn_shift debug").compare("av", y.values().data(), e, bound);
}

}  // namespace
}  // namespace mia
