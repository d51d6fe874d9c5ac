#pragma once
#include "mia/core/cpu.hpp"
#include "mia/ops/fused_block/fused_block.hpp"
#include "mia/ops/panel_product.hpp"

namespace mia {

/// Made once from the parameters. A head's channels are padded by zeros to whole lanes.
template <class T>
struct PackedBlock<BasicCpu<T>> {
    BlockShape shape{};
    PackedRows<T> kv, q, proj, fc1, fc2;
    HostBuffer<Wide<T>> norms;      ///< norm1 weight, bias, norm2 weight, bias, predictor: C each
    HostBuffer<Wide<T>> by_query;   ///< (heads, queries, keys) bias, for windows whose active tokens are picked
    HostBuffer<Wide<T>> by_offset;  ///< (heads, frames, key column, row offset, query column): a key's are neighbours
    HostBuffer<int> offset;         ///< (keys), where they begin
    std::ptrdiff_t offset_size = 0;
    BlockMask mask = BlockMask::none;
    float threshold = 0;
    Wide<T> predictor_bias = 0;
    bool ready = false;

    const Wide<T>* norm(int which) const { return norms.data() + which * shape.dim; }
};

template <class T>
void pack_block(BasicCpu<T>&, const BlockShape& shape, const BlockParameters<T>& p, PackedBlock<BasicCpu<T>>& packed) {
    const int C = shape.dim, N = shape.keys(), Q = shape.window.tokens(), heads = shape.num_heads;
    const int D = C / heads, padded = detail::padded_head<T>(shape), A = heads * padded;
    packed.shape = shape;
    packed.mask = p.mask;
    packed.threshold = p.threshold;
    // The channel of C behind one of the heads' padded ones, or -1.
    const auto channel = [=](int i) { return i % padded < D ? i / padded * D + i % padded : -1; };
    const auto qkv_row = [=](int first, int m) {
        const int c = channel(m % A);
        return c < 0 ? -1 : (first + m / A) * C + c;
    };
    const auto qkv = [&](int first) {
        return [=, weight = p.qkv_weight](int m, int k) {
            const int row = qkv_row(first, m);
            return row < 0 ? T(0) : weight(row, k);
        };
    };
    const auto qkv_bias = [&](int first) {
        return [=, b = p.qkv_bias](int m) {
            const int row = qkv_row(first, m);
            return row < 0 || !b.data ? T(0) : b[row];
        };
    };
    const auto rows = [](View<const T, 2> weight) { return [=](int m, int k) { return weight(m, k); }; };
    const auto bias = [](View<const T, 1> b) { return [=](int m) { return b[m]; }; };
    packed.q.pack(A, C, qkv(0), qkv_bias(0));
    packed.kv.pack(2 * A, C, qkv(1), qkv_bias(1));
    packed.proj.pack(
        C, A, [=, weight = p.proj_weight](int m, int k) { return channel(k) < 0 ? T(0) : weight(m, channel(k)); },
        bias(p.proj_bias));
    packed.fc1.pack(shape.hidden, C, rows(p.fc1_weight), bias(p.fc1_bias));
    packed.fc2.pack(C, shape.hidden, rows(p.fc2_weight), bias(p.fc2_bias));
    packed.norms.reserve(std::size_t(5 * C));
    const T* parts[] = {p.norm1_weight.data, p.norm1_bias.data, p.norm2_weight.data, p.norm2_bias.data,
                        p.mask == BlockMask::learned ? p.predictor_weight.data : nullptr};
    for (int i = 0; i < 5; ++i)
        for (int c = 0; c < C; ++c) packed.norms.data()[i * C + c] = parts[i] ? Wide<T>(parts[i][c]) : Wide<T>(1);
    packed.predictor_bias = p.mask == BlockMask::learned ? Wide<T>(p.predictor_bias[0]) : Wide<T>(0);

    packed.by_query.reserve(std::size_t(heads) * Q * N);
    for (int h = 0; h < heads; ++h)
        for (int query = 0; query < Q; ++query)
            for (int key = 0; key < N; ++key)
                packed.by_query.data()[(std::size_t(h) * Q + query) * N + key] =
                    p.bias_table(relative_position_index(shape.window, shape.frames(), query, key), h);

    // For a key at row yk the queries' biases are Q neighbours, beginning at row offset height - 1 - yk.
    const int wh = shape.window.height, ww = shape.window.width, offsets_y = 2 * wh - 1;
    packed.offset_size = std::ptrdiff_t(shape.condition_frames + 1) * ww * offsets_y * ww;
    const std::size_t slack = simd::panel_vectors * simd::lanes<T>;  // a vector may reach beyond the last query
    packed.by_offset.reserve(std::size_t(heads) * packed.offset_size + slack);
    std::fill_n(packed.by_offset.data(), std::size_t(heads) * packed.offset_size + slack, Wide<T>(0));
    for (int h = 0; h < heads; ++h)
        for (int i = 0; i < packed.offset_size; ++i) {
            const int xq = i % ww, dy = i / ww % offsets_y, xk = i / (ww * offsets_y) % ww,
                      tk = i / (ww * offsets_y * ww);
            const int row =
                (shape.condition_frames - tk) * shape.window.offsets() + dy * (2 * ww - 1) + xq - xk + ww - 1;
            packed.by_offset.data()[h * packed.offset_size + i] = p.bias_table(row, h);
        }
    packed.offset.reserve(std::size_t(N));
    for (int key = 0; key < N; ++key) {
        const int xk = key % ww, yk = key / ww % wh, tk = key / (ww * wh);
        packed.offset.data()[key] = ((tk * ww + xk) * offsets_y + wh - 1 - yk) * ww;
    }
    packed.ready = true;
}

}  // namespace mia
