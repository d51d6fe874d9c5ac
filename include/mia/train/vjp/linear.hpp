#pragma once
#include "mia/ops/linear/linear.hpp"
#include "mia/train/vjp/elementwise.hpp"

// y = activation(x W^T + b) + residual:
//   d pre = d y * activation'(pre);  d x = d pre W;  d W = d pre^T x;  d b = column sums of d pre;  d residual = d y.

namespace mia {

/// Both orders of the weights, and where they lie, by which the tape finds their gradients.
template <class B>
struct PackedLinear<Tape<B>> {
    using Scalar = typename B::Scalar;
    PackedLinear<B> forward, transposed;
    View<const Scalar, 2> weight;
    View<const Scalar, 1> bias;
    Scalar scale = 1;
    bool ready = false;
};

/// The map x -> x W without bias. weight: (O, I).
template <class T>
void pack_transposed(BasicCpu<T>&, In<T, 2> weight, T scale, PackedLinear<BasicCpu<T>>& packed) {
    packed.pack(
        weight.extent(1), weight.extent(0), scale, [&](int n, int k) { return weight(k, n); },
        [](int) { return T(0); });
}

template <class B>
void pack_linear(Tape<B>& tape, In<typename B::Scalar, 2> weight, In<typename B::Scalar, 1> bias,
                 typename B::Scalar scale, PackedLinear<Tape<B>>& packed) {
    pack_linear(tape.backend(), weight, bias, scale, packed.forward);
    pack_transposed(tape.backend(), weight, scale, packed.transposed);
    packed.weight = weight;
    packed.bias = bias;
    packed.scale = scale;
    packed.ready = true;
}

/// d_weight (O, I) += scale dy^T x, d_bias (O) += scale column sums of dy; either may be nowhere.
/// dy: (R, O), x: (R, I). The rows are summed in pieces of a fixed size, the pieces in order.
template <class T>
void linear_weight_gradient(BasicCpu<T>& cpu, In<T, 2> dy, In<T, 2> x, T scale, Gradient<T> d_weight,
                            Gradient<T> d_bias) {
    using namespace simd;
    constexpr int piece = 256;
    const int R = x.extent(0), I = x.extent(1), O = dy.extent(1), pieces = ceil_div(R, piece);
    const int padded = round_up(I, lanes<T>);
    const auto scope = cpu.scope();
    const auto parts = cpu.scratch(pieces, O, padded);
    const auto bias_parts = cpu.scratch(pieces, O);
    const bool copies = padded != I;  // reads whole vectors
    cpu.reserve_worker_scratch(copies ? std::size_t(piece) * std::size_t(padded) * sizeof(T) : 0);
    cpu.parallel_for(pieces, 1, [&](std::ptrdiff_t begin, std::ptrdiff_t end, int worker) {
        const ScratchScope worker_scope(cpu.worker_scratch(worker));
        T* copy = copies ? static_cast<T*>(cpu.worker_scratch(worker).take(std::size_t(piece * padded) * sizeof(T)))
                         : nullptr;
        for (std::ptrdiff_t p = begin; p < end; ++p) {
            const int first = int(p) * piece, rows = std::min(piece, R - first);
            const T* b = x.data + std::ptrdiff_t(first) * I;
            for (int r = 0; copies && r < rows; ++r) {
                std::memcpy(copy + r * padded, b + std::ptrdiff_t(r) * I, std::size_t(I) * sizeof(T));
                std::fill(copy + r * padded + I, copy + (r + 1) * padded, T(0));
            }
            const T* a = dy.data + std::ptrdiff_t(first) * O;
            if (d_weight)
                detail::OuterProducts<T>{.a = a,
                                         .a_stride = O,
                                         .a_run = 0,
                                         .b = copies ? copy : b,
                                         .b_stride = padded,
                                         .b_run = 0,
                                         .runs = 1,
                                         .K = rows,
                                         .M = O,
                                         .N = I,
                                         .c = parts[p].data,
                                         .c_stride = padded}
                    .run();
            T* sums = bias_parts[p].data;
            std::fill(sums, sums + O, T(0));
            if (d_bias) detail::add_column_sums(a, rows, O, sums);
        }
    });
    if (scale != T(1)) {
        for (std::ptrdiff_t i = 0; d_weight && i < parts.size(); ++i) parts.data[i] *= scale;
        for (std::ptrdiff_t i = 0; d_bias && i < bias_parts.size(); ++i) bias_parts.data[i] *= scale;
    }
    if (d_weight) detail::add_parts(cpu, parts.data, pieces, std::ptrdiff_t(O) * padded, O, I, padded, d_weight.data);
    if (d_bias) detail::add_parts(cpu, bias_parts.data, pieces, O, 1, O, O, d_bias.data);
}

/// d_x (+)= dy W.
template <class T>
void linear_input_gradient(BasicCpu<T>& cpu, In<T, 2> dy, const PackedLinear<BasicCpu<T>>& transposed,
                           Gradient<T> d_x) {
    const Out<T, 2> to{d_x.data, {dy.extent(0), transposed.layout.N}};
    linear(cpu, dy, transposed, to, Activation::none, d_x.is_fresh ? In<T, 2>{} : In<T, 2>(to));
}

template <class B>
void linear(Tape<B>& tape, In<typename B::Scalar, 2> x, const PackedLinear<Tape<B>>& weights,
            Out<typename B::Scalar, 2> y, Activation activation = Activation::none,
            In<typename B::Scalar, 2> residual = {}, RowCount rows = {}) {
    using T = typename B::Scalar;
    require(weights.ready,
            "linear: the parameters are not packed; call prepare(tape, model) after loading or changing them");
    const int M = tape.computed(rows, x.extent(0));
    const bool is_gelu = activation == Activation::gelu && !residual.data;
    if (!is_gelu && !detail::is_seen_in_result(activation, residual.data != nullptr)) {
        const auto pre = tape.scratch(M, y.extent(1)), activated = residual.data ? tape.scratch(M, y.extent(1)) : y;
        linear(tape, x.slice(0, M), weights, pre);
        activate(tape, pre, activation, activated.slice(0, M));
        if (residual.data) add(tape, activated, residual.slice(0, M), y.slice(0, M));
        return;
    }
    const In<T, 2> x_used = x.slice(0, M), residual_used = residual.slice(0, M);
    Out<T, 2> seen = y.slice(0, M);  // what tells the activation's slope
    if (is_gelu) {
        seen = tape.scratch(M, y.extent(1));
        linear(tape.backend(), x_used, weights.forward, seen);
        activate(tape.backend(), seen, activation, y.slice(0, M));
    } else {
        linear(tape.backend(), x, weights.forward, y, activation, residual, rows);
    }
    const PackedLinear<Tape<B>>* packed = &weights;
    tape.reads(x_used);
    tape.push(Out<T, 2>(y.slice(0, M)), [=, &tape](View<const T, 2> dy) {
        B& backend = tape.backend();
        const auto scope = backend.scope();
        add_gradient(backend, dy.data, dy.size(), tape.whole_gradient(residual_used));
        const auto before = detail::before_activation<T>(backend, seen, activation, dy);
        linear_weight_gradient<T>(backend, before, x_used, packed->scale, tape.gradient(packed->weight),
                                  tape.gradient(packed->bias));
        if (const auto d_x = tape.whole_gradient(x_used))
            linear_input_gradient(backend, before, packed->transposed, d_x);
    });
    if (activation != Activation::none) tape.reads(seen);
}

}  // namespace mia
