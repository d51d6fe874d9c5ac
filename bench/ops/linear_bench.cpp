#include <Eigen/Dense>

#include "mia/ops/linear/linear.hpp"
#include "support/fixture.hpp"
#include "support/measure.hpp"

// Linear maps at every shape of a block; windows are whole, so K and V have 920 * 192 rows.
namespace {
using namespace mia;
using namespace mia::bench;

struct Shape {
    int rows, in, out;
    Cost cost() const { return {.macs = double(rows) * in * out}; }
};

void run_linear(benchmark::State& state, Cpu& cpu, Shape s) {
    const auto x = random_tensor({s.rows, s.in}), weight = random_tensor({s.out, s.in}, -0.1f, 0.1f);
    const auto bias = random_tensor({s.out});
    Tensor<float, 2> y(s.rows, s.out);
    PackedLinear<Cpu> packed;
    pack_linear(cpu, weight.view(), bias.view(), 1.0f, packed);
    measure(state, cpu, s.cost(), [&] { linear(cpu, x.view(), packed, y.view()); });
}

void run_eigen(benchmark::State& state, Cpu& cpu, Shape s) {
    using Matrix = Eigen::Matrix<float, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;
    const auto x = random_tensor({s.rows, s.in}), weight = random_tensor({s.out, s.in}, -0.1f, 0.1f);
    const auto bias = random_tensor({s.out});
    Tensor<float, 2> y(s.rows, s.out);
    const Eigen::Map<const Matrix> X(x.view().data, s.rows, s.in), A(weight.view().data, s.out, s.in);
    const Eigen::Map<const Eigen::RowVectorXf> b(bias.view().data, s.out);
    Eigen::Map<Matrix> Y(y.data(), s.rows, s.out);
    measure(state, cpu, s.cost(), [&] {
        Y.noalias() = X * A.transpose();
        Y.rowwise() += b;
    });
}

void add_shapes(const std::string& model, const AttentionConfig& config) {
    const int C = config.embed_dim, hidden = 2 * C;
    const int in_windows = WindowGrid{height, width, config.window}.windows() * 3 * config.window.tokens();
    const struct {
        const char* name;
        Shape shape;
    } cases[] = {{"c_to_c", {pixels, C, C}},
                 {"c_to_2c", {in_windows, C, 2 * C}},
                 {"c_to_rc", {pixels, C, hidden}},
                 {"rc_to_c", {pixels, hidden, C}}};
    for (const auto& [name, of_case] : cases) {
        const Shape shape = of_case;  // a structured binding cannot be captured by every compiler
        const std::string full = "linear/" + model + "_" + name;
        add_case(full, {1, 2}, [shape](auto& state, Cpu& cpu) { run_linear(state, cpu, shape); });
        add_case(full + "/eigen", 1, [shape](auto& state, Cpu& cpu) { run_eigen(state, cpu, shape); });
    }
}

[[maybe_unused]] const bool added = (add_shapes("base", base), add_shapes("lite", lite), true);

}  // namespace
