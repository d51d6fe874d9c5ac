#include <Eigen/Dense>

#include "mia/ops/window_attention/window_attention.hpp"
#include "support/fixture.hpp"
#include "support/measure.hpp"

// Scores, softmax and A V of all windows, three frames of keys, one of queries; without and with regions.
namespace {
using namespace mia;
using namespace mia::bench;

constexpr WindowFrames frames{.keys = 3, .queries = 1};

Cost cost_of(const AttentionConfig& config) {
    return {.macs = 2.0 * pixels * frames.keys * config.window.tokens() * config.embed_dim};
}

void run_attention(benchmark::State& state, Cpu& cpu, const AttentionConfig& config, Shift shift) {
    const int C = config.embed_dim, N = frames.keys * config.window.tokens();
    const WindowGrid grid{height, width, config.window, shift};
    const auto scope = cpu.scope();
    ActiveRows rows = make_active_rows(cpu, grid, 1);
    select_rows(cpu, grid, 1, View<const std::uint8_t, 3>{}, rows);
    const auto q = random_tensor({pixels, C});
    const auto kv = random_tensor({grid.windows(), N, 2 * C});
    const auto table = random_tensor({bias_rows_in_time(frames) * config.window.offsets(), config.num_heads});
    Tensor<float, 2> y(pixels, C);
    PackedPositionBias<Cpu> bias;
    pack_position_bias(cpu, table.view(), config.window, frames, bias);
    measure(state, cpu, cost_of(config),
            [&] { window_attention(cpu, grid, rows, frames, config.num_heads, q.view(), kv.view(), bias, y.view()); });
}

/// The same by Eigen's products and array expressions, a window and a head at a time, without padded queries.
void run_eigen(benchmark::State& state, Cpu& cpu, const AttentionConfig& config) {
    using Matrix = Eigen::Matrix<float, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;
    using Strided = Eigen::Map<const Matrix, 0, Eigen::OuterStride<>>;
    const int C = config.embed_dim, D = C / config.num_heads, n = config.window.tokens(), N = frames.keys * n;
    const int windows = pixels / n;
    const auto q = random_tensor({pixels, C}), bias = random_tensor({config.num_heads * n, N});
    const auto kv = random_tensor({windows, N, 2 * C});
    Tensor<float, 2> y(pixels, C);
    Matrix scores(n, N);
    const float scale = 1 / std::sqrt(float(D));
    measure(state, cpu, cost_of(config), [&] {
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

void add(const std::string& model, const AttentionConfig& config) {
    const std::string name = "window_attention/" + model;
    add_case(name, {1, 2}, [=](auto& state, Cpu& cpu) { run_attention(state, cpu, config, Shift::none); });
    add_case(name + "/shifted", 1,
             [=](auto& state, Cpu& cpu) { run_attention(state, cpu, config, Shift::half_window); });
    add_case(name + "/eigen", 1, [=](auto& state, Cpu& cpu) { run_eigen(state, cpu, config); });
}
[[maybe_unused]] const bool added = (add("base", base), add("lite", lite), true);

}  // namespace
