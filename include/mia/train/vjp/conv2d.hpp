#pragma once
#include "mia/ops/conv2d/conv2d.hpp"
#include "mia/train/vjp/elementwise.hpp"

// y = activation(conv(x, W) + b) + residual:
//   d pre = d y * activation'(pre);  d x = conv(d pre, W turned by 180 degrees, channels exchanged);
//   d W[o, i, u, v] = sum over pixels of d pre[y, x, o] x[y + u - p, x + v - p, i];  d b, d residual as for linear.

namespace mia {

/// The weights for both directions, and where they lie.
template <class B>
struct PackedConv2d<Tape<B>> {
    using Scalar = typename B::Scalar;
    PackedConv2d<B> forward, turned;
    View<const Scalar, 4> weight;
    View<const Scalar, 1> bias;
    bool ready = false;
};

/// The convolution that takes a result's gradient to that of the input. weight: (O, I, k, k).
template <class T>
void pack_turned(BasicCpu<T>&, In<T, 4> weight, PackedConv2d<BasicCpu<T>>& packed) {
    const int k = weight.extent(2);
    packed.pack_taps(
        weight.extent(1), weight.extent(0), k,
        [&](int i, int o, int u, int v) { return weight(o, i, k - 1 - u, k - 1 - v); }, [](int) { return T(0); });
}

template <class B>
void pack_conv2d(Tape<B>& tape, In<typename B::Scalar, 4> weight, In<typename B::Scalar, 1> bias,
                 PackedConv2d<Tape<B>>& packed) {
    pack_conv2d(tape.backend(), weight, bias, packed.forward);
    pack_turned(tape.backend(), weight, packed.turned);
    packed.weight = weight;
    packed.bias = bias;
    packed.ready = true;
}

/// d_weight (O, I, k, k) and d_bias (O) += their gradients; either may be nowhere. dy: (H, W, O), x: (H, W, I). Rows of
/// the image are summed in pieces of a fixed size, the pieces in order.
template <class T>
void conv2d_weight_gradient(BasicCpu<T>& cpu, In<T, 3> dy, In<T, 3> x, int k, Gradient<T> d_weight,
                            Gradient<T> d_bias) {
    using namespace simd;
    const int H = x.extent(0), W = x.extent(1), I = x.extent(2), O = dy.extent(2), p = (k - 1) / 2;
    const int piece = std::max(1, ceil_div(256, W)), pieces = ceil_div(H, piece);
    const int run = k * I, padded_run = round_up(run, lanes<T>);
    const auto scope = cpu.scope();
    const std::ptrdiff_t image_row = std::ptrdiff_t(W + 2 * p) * I;
    // Whole vectors are read, also at the end of the last pixel.
    const auto image = cpu.scratch(int((H + 2 * p) * image_row) + panel_vectors * lanes<T>);
    cpu.parallel_for(H + 2 * p, 8, [&](std::ptrdiff_t begin, std::ptrdiff_t end, int) {
        detail::copy_region<T>(x, int(begin) - p, -p,
                               {image.data + begin * image_row, {int(end - begin), W + 2 * p, I}});
    });
    std::fill(image.data + (H + 2 * p) * image_row, image.data + image.size(), T(0));
    const auto parts = cpu.scratch(pieces, k, O, padded_run);
    const auto bias_parts = cpu.scratch(pieces, O);
    cpu.parallel_for(std::ptrdiff_t(pieces) * k, 1, [&](std::ptrdiff_t begin, std::ptrdiff_t end, int) {
        for (std::ptrdiff_t at = begin; at < end; ++at) {
            const int u = int(at % k), row = int(at / k) * piece, rows = std::min(piece, H - row);
            const T* a = dy.data + std::ptrdiff_t(row) * W * O;
            if (d_weight)
                detail::OuterProducts<T>{.a = a,
                                         .a_stride = O,
                                         .a_run = std::ptrdiff_t(W) * O,
                                         .b = image.data + (row + u) * image_row,
                                         .b_stride = I,
                                         .b_run = image_row,
                                         .runs = rows,
                                         .K = W,
                                         .M = O,
                                         .N = run,
                                         .c = parts[at / k][u].data,
                                         .c_stride = padded_run}
                    .run();
            if (u > 0 || !d_bias) continue;
            T* sums = bias_parts[at / k].data;
            std::fill(sums, sums + O, T(0));
            detail::add_column_sums(a, std::ptrdiff_t(rows) * W, O, sums);
        }
    });
    if (d_weight) {
        const auto sum = cpu.scratch(k, O, run);  // (u, o, v i)
        std::fill(sum.data, sum.data + sum.size(), T(0));
        detail::add_parts(cpu, parts.data, pieces, std::ptrdiff_t(k) * O * padded_run, k * O, run, padded_run,
                          sum.data);
        for (int o = 0; o < O; ++o)
            for (int i = 0; i < I; ++i)
                for (int u = 0; u < k; ++u)
                    for (int v = 0; v < k; ++v)
                        d_weight.data[((std::ptrdiff_t(o) * I + i) * k + u) * k + v] += sum(u, o, v * I + i);
    }
    if (d_bias) detail::add_parts(cpu, bias_parts.data, pieces, O, 1, O, O, d_bias.data);
}

template <class B>
void conv2d(Tape<B>& tape, In<typename B::Scalar, 3> x, const PackedConv2d<Tape<B>>& weights,
            Out<typename B::Scalar, 3> y, Activation activation = Activation::none,
            In<typename B::Scalar, 3> residual = {}) {
    using T = typename B::Scalar;
    require(weights.ready,
            "conv2d: the parameters are not packed; call prepare(tape, model) after loading or changing them");
    if (!detail::is_seen_in_result(activation, residual.data != nullptr)) {
        const auto pre = tape.scratch(y.extent(0), y.extent(1), y.extent(2));
        const auto activated = residual.data ? tape.scratch(y.extent(0), y.extent(1), y.extent(2)) : y;
        conv2d(tape, x, weights, pre);
        activate(tape, rows_of(pre), activation, rows_of(activated));
        if (residual.data) add(tape, rows_of(activated), rows_of(residual), rows_of(y));
        return;
    }
    conv2d(tape.backend(), x, weights.forward, y, activation, residual);
    const PackedConv2d<Tape<B>>* packed = &weights;
    const In<T, 3> result = y;
    tape.reads(x);
    tape.push(y, [=, &tape](View<const T, 3> dy) {
        B& backend = tape.backend();
        const auto scope = backend.scope();
        add_gradient(backend, dy.data, dy.size(), tape.whole_gradient(residual));
        In<T, 3> before = dy;
        before.data = detail::before_activation<T>(backend, rows_of(result), activation, rows_of(dy)).data;
        conv2d_weight_gradient<T>(backend, before, x, packed->forward.kernel_size, tape.gradient(packed->weight),
                                  tape.gradient(packed->bias));
        if (const auto d_x = tape.whole_gradient(x)) {
            const Out<T, 3> to{d_x.data, {x.extent(0), x.extent(1), x.extent(2)}};
            conv2d(backend, before, packed->turned, to, Activation::none, d_x.is_fresh ? In<T, 3>{} : In<T, 3>(to));
        }
    });
    if (activation != Activation::none) tape.reads(y);
}

}  // namespace mia
