#ifndef MIA_BENCH_CUDA
#include <Eigen/Dense>
#endif

#include "mia/ops/linear/linear.hpp"
#include "support/fixture.hpp"
#include "support/measure.hpp"

// Linear maps at every shape of a block; windows are whole, so K and V have 920 * 192 rows.
namespace {
using namespace mia;
using namespace mia::bench;

struct LinearShape {
    int rows, in, out;
    Cost cost() const { return {.macs = double(rows) * in * out}; }
};

void run_linear(benchmark::State& state, Device& device, LinearShape s) {
    const auto x = on(device, random_tensor({s.rows, s.in})),
               weight = on(device, random_tensor({s.out, s.in}, -0.1f, 0.1f));
    const auto bias = on(device, random_tensor({s.out}));
    auto y = room(device, s.rows, s.out);
    PackedLinear<Device> packed;
    pack_linear(device, weight.view(), bias.view(), 1.0f, packed);
    measure(state, device, s.cost(), [&] { linear(device, x.view(), packed, y.view()); });
}

#ifndef MIA_BENCH_CUDA
void run_linear_in_eigen(benchmark::State& state, Cpu& cpu, LinearShape s) {
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
#endif

void add_linear(const std::string& model, const AttentionConfig& config) {
    const int C = config.embed_dim, hidden = 2 * C;
    const int in_windows = WindowGrid{height, width, config.window}.windows() * 3 * config.window.tokens();
    const struct {
        const char* name;
        LinearShape shape;
    } cases[] = {{"c_to_c", {pixels, C, C}},
                 {"c_to_2c", {in_windows, C, 2 * C}},
                 {"c_to_rc", {pixels, C, hidden}},
                 {"rc_to_c", {pixels, hidden, C}}};
    for (const auto& [name, of_case] : cases) {
        const LinearShape shape = of_case;  // a structured binding cannot be captured by every compiler
        const std::string full = "linear/" + model + "_" + name;
        add_case(full, {1, 2}, [shape](auto& state, Device& device) { run_linear(state, device, shape); });
#ifndef MIA_BENCH_CUDA
        add_case(full + "/eigen", 1, [shape](auto& state, Cpu& cpu) { run_linear_in_eigen(state, cpu, shape); });
#endif
    }
}

[[maybe_unused]] const bool linear_added = (add_linear("base", base), add_linear("lite", lite), true);

}  // namespace
