#include "mia/nn/linear.hpp"

int main() {
    mia::Cpu cpu;
    mia::Network<mia::Linear<mia::LinearConfig{.in_features = 2, .out_features = 2}>> linear(cpu);
    mia::prepare(cpu, *linear);
    mia::Tensor<float, 2> x(1, 2), y(1, 2);
    linear->forward(cpu, x, y);
}
