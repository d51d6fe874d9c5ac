#ifndef MIA_BENCH_CUDA
#include <Eigen/Dense>
#endif

#include "mia/ops/window_attention/window_attention.hpp"
#include "support/fixture.hpp"
#include "support/measure.hpp"

// Scores, softmax and A V of all windows, three frames of keys, one of queries; without and with regions.
namespace {
using namespace mia;
using namespace mia::bench;

constexpr WindowFrames three_and_one{.keys = 3, .queries = 1};

Cost attention_cost(const AttentionConfig& config) {
    return {.macs = 2.0 * pixels * three_and_one.keys * config.window.tokens() * config.embed_dim};
}

void run_attention(benchmark::State& state, Device& device, const AttentionConfig& config, Shift shift) {
    const int C = config.embed_dim, N = three_and_one.keys * config.window.tokens();
    const WindowGrid grid{height, width, config.window, shift};
    const auto scope = device.scope();
    ActiveRows rows = make_active_rows(device, grid, 1);
    select_rows(device, grid, 1, View<const std::uint8_t, 3>{}, rows);
    const auto q = on(device, random_tensor({pixels, C}));
    const auto kv = on(device, random_tensor({grid.windows(), N, 2 * C}));
    const auto table =
        on(device, random_tensor({bias_rows_in_time(three_and_one) * config.window.offsets(), config.num_heads}));
    auto y = room(device, pixels, C);
    PackedPositionBias<Device> bias;
    pack_position_bias(device, table.view(), config.window, three_and_one, bias);
    measure(state, device, attention_cost(config), [&] {
        window_attention(device, grid, rows, three_and_one, config.num_heads, q.view(), kv.view(), bias, y.view());
    });
}

#ifndef MIA_BENCH_CUDA
/// The same by Eigen's products and array expressions, a window and a head at a time, without padded queries.
void run_attention_in_eigen(benchmark::State& state, Cpu& cpu, const AttentionConfig& config) {
    using Matrix = Eigen::Matrix<float, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;
    using Strided = Eigen::Map<const Matrix, 0, Eigen::OuterStride<>>;
    const int C = config.embed_dim, D = C / config.num_heads, n = config.window.tokens(), N = three_and_one.keys * n;
    const int windows = pixels / n;
    const auto q = random_tensor({pixels, C}), bias = random_tensor({config.num_heads * n, N});
    const auto kv = random_tensor({windows, N, 2 * C});
    Tensor<float, 2> y(pixels, C);
    Matrix scores(n, N);
    const float scale = 1 / std::sqrt(float(D));
    measure(state, cpu, attention_cost(config), [&] {
        for (int w = 0; w < windows; ++w)
            for (int h = 0; h < config.num_heads; ++h) {
                const Strided Q(q.view().data + w * n * C + h * D, n, D, Eigen::OuterStride<>(C));
                const Strided K(kv.view()[w].data + h * D, N, D, Eigen::OuterStride<>(2 * C));
                const Strided V(kv.view()[w].data + C + h * D, N, D, Eigen::OuterStride<>(2 * C));
                const Eigen::Map<const Matrix> table(bias.view().data + std::ptrdiff_t(h) * n * N, n, N);
                Eigen::Map<Matrix, 0, Eigen::OuterStride<>> Y(y.data() + w * n * C + h * D, n, D,
                                                              Eigen::OuterStride<>(C));
                scores.noalias() = scale * (Q * K.transpose());
                scores += table;
                scores.colwise() -= scores.rowwise().maxCoeff().eval();
                scores = scores.array().exp();
                const Eigen::VectorXf sums = scores.rowwise().sum();
                Y.noalias() = scores * V;
                Y.array().colwise() /= sums.array();
            }
    });
}
#endif

void add_window_attention(const std::string& model, const AttentionConfig& config) {
    const std::string name = "window_attention/" + model;
    add_case(name, {1, 2}, [=](auto& state, Device& device) { run_attention(state, device, config, Shift::none); });
    add_case(name + "/shifted", 1,
             [=](auto& state, Device& device) { run_attention(state, device, config, Shift::half_window); });
#ifndef MIA_BENCH_CUDA
    add_case(name + "/eigen", 1, [=](auto& state, Cpu& cpu) { run_attention_in_eigen(state, cpu, config); });
#endif
}
[[maybe_unused]] const bool window_attention_added =
    (add_window_attention("base", base), add_window_attention("lite", lite), true);

}  // namespace
