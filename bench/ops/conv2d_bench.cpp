#ifndef MIA_BENCH_CUDA
#include <Eigen/Dense>
#endif

#include "mia/ops/conv2d/conv2d_sum.hpp"
#include "support/fixture.hpp"
#include "support/measure.hpp"
#include "support/required_macs.hpp"

// Convolutions: the residual groups' and the first one, the tail's at the full size, and SpyNet's on frames of 192 x
// 320.
namespace {
using namespace mia;
using namespace mia::bench;

struct ConvShape {
    int height, width, in, out, kernel_size;
    Cost cost() const { return {.macs = double(conv_macs(in, out, kernel_size, std::int64_t(height) * width))}; }
};

template <class B>
void run_conv(benchmark::State& state, B& device, ConvShape s) {
    using T = typename B::Scalar;
    const auto x = on(device, random_tensor<T>({s.height, s.width, s.in}));
    const auto weight = on(device, random_tensor<T>({s.out, s.in, s.kernel_size, s.kernel_size}, -0.05f, 0.05f));
    const auto bias = on(device, random_tensor<T>({s.out}));
    auto y = room<T>(device, s.height, s.width, s.out);
    PackedConv2d<B> packed;
    pack_conv2d(device, weight.view(), bias.view(), packed);
    measure(state, device, s.cost(), [&] { conv2d(device, x.view(), packed, y.view()); });
}

/// The default model's linear fusion: three frames, and one of them added.
void run_conv_sum(benchmark::State& state, Device& device) {
    constexpr int C = lite.embed_dim;
    const auto x = on(device, random_tensor({3, height, width, C})),
               weight = on(device, random_tensor({C, C, 1, 1}, -0.05f, 0.05f));
    const auto bias = on(device, random_tensor({C}));
    auto y = room(device, height, width, C);
    PackedConv2d<Device> packed;
    pack_conv2d(device, weight.view(), bias.view(), packed);
    const std::array<const PackedConv2d<Device>*, 3> weights{&packed, &packed, &packed};
    measure(state, device, {.macs = 3.0 * double(conv_macs(C, C, 1, pixels))},
            [&] { conv2d_sum(device, x.view(), weights, y.view(), View<const float, 3>(x.view()[2])); });
}

#ifndef MIA_BENCH_CUDA
/// The taps of each row's pixels side by side, then a product.
void run_conv_in_eigen(benchmark::State& state, Cpu& cpu, ConvShape s) {
    using Matrix = Eigen::Matrix<float, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;
    const int k = s.kernel_size, p = k / 2, taps = k * k * s.in;
    const auto x = random_tensor({s.height, s.width, s.in});
    const auto weight = random_tensor({taps, s.out}, -0.05f, 0.05f);
    Tensor<float, 3> y(s.height, s.width, s.out);
    const Eigen::Map<const Matrix> A(weight.view().data, taps, s.out);
    Matrix row = Matrix::Zero(s.width, taps);
    measure(state, cpu, s.cost(), [&] {
        for (int i = 0; i < s.height; ++i) {
            for (int j = 0; j < s.width; ++j)
                for (int u = 0; u < k; ++u)
                    for (int v = 0; v < k; ++v) {
                        const int a = i + u - p, b = j + v - p;
                        const bool inside = a >= 0 && a < s.height && b >= 0 && b < s.width;
                        float* to = row.data() + std::ptrdiff_t(j) * taps + (u * k + v) * s.in;
                        if (inside)
                            std::copy_n(&x.view()(a, b, 0), s.in, to);
                        else
                            std::fill_n(to, s.in, 0.0f);
                    }
            Eigen::Map<Matrix>(y.view()[i].data, s.width, s.out).noalias() = row * A;
        }
    });
}
#endif

void add_conv(const std::string& name, ConvShape shape, std::initializer_list<int> threads,
              [[maybe_unused]] bool with_eigen = false) {
    add_case(name, threads, [shape](auto& state, Device& device) { run_conv(state, device, shape); });
#ifndef MIA_BENCH_CUDA
    if (with_eigen)
        add_case(name + "/eigen", 1, [shape](auto& state, Cpu& cpu) { run_conv_in_eigen(state, cpu, shape); });
#endif
}

[[maybe_unused]] const bool conv2d_added = [] {
    add_conv("conv3x3/base", {height, width, 120, 120, 3}, {1, 2}, true);
    add_conv("conv3x3/lite", {height, width, 48, 48, 3}, {1, 2}, true);
    add_conv("conv1x1/lite", {height, width, 48, 48, 1}, {1, 2});
    add_conv("conv1x1/base", {height, width, 120, 120, 1}, {1, 2});
    add_case("conv1x1/lite_sum", {1, 2}, run_conv_sum);
    add_conv("conv3x3/base_first", {height, width, 3, 120, 3}, {1});
    add_conv("conv3x3/lite_first", {height, width, 3, 48, 3}, {1});
    add_conv("conv3x3/base_up", {height, width, 64, 256, 3}, {1});
    add_conv("conv3x3/hr", {4 * height, 4 * width, 64, 64, 3}, {1, 2});
    add_conv("conv3x3/hr_last", {4 * height, 4 * width, 64, 3, 3}, {1});
#ifndef MIA_BENCH_CUDA
    for (const auto& [name, channels] : {std::pair{"conv3x3/base_bf16", 120}, std::pair{"conv3x3/lite_bf16", 48}})
        add_case(name, {1, 2}, [channels = channels](benchmark::State& state, Cpu& cpu) {
            CpuBf16 bf16(cpu.threads());
            run_conv(state, bf16, {height, width, channels, channels, 3});
        });
#endif
    constexpr int spynet[] = {8, 32, 64, 32, 16, 2};
    for (int i = 0; i < 5; ++i)
        add_conv("conv7x7/" + std::to_string(spynet[i]) + "_to_" + std::to_string(spynet[i + 1]),
                 {192, 320, spynet[i], spynet[i + 1], 7}, {1}, i == 1);
    return true;
}();

}  // namespace
