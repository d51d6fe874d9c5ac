#pragma once
#include <algorithm>

#include "mia/core/cpu.hpp"
#include "mia/core/transpose.hpp"
#include "mia/ops/fused_block/packed_block_cpu.hpp"
#include "mia/ops/layer_norm/layer_norm.hpp"
#include "mia/ops/panel_product.hpp"

namespace mia {

namespace detail {
inline namespace MIA_INSTRUCTIONS {  // see mia/kernels.cpp

/// Keys and values of up to a panel of tokens, by rows. normed, kv: scratch.
template <class T>
void store_kv_panel(const PackedRows<T>& weights, const Wide<T>* norm_weight, const Wide<T>* norm_bias, int C,
                    const T* tokens, int count, int vectors, Lane<T>* normed, Lane<T>* kv, T* rows) {
    using namespace simd;
    constexpr int width = panel_vectors * lanes<T>, n = per_lane<T>;
    const std::ptrdiff_t M = weights.M;
    rows_to_panel<T>([=](int i) { return tokens + std::ptrdiff_t(i) * C; }, count, C, normed, width);
    panel_layer_norm<T>(normed, C, vectors, norm_weight, norm_bias, Wide<T>(layer_norm_eps), nullptr, normed);
    panel_product<T>(weights, normed, width, vectors, [=](int m, int j, const Vec<T>(&v)[n]) MIA_INLINE_LAMBDA {
        store(kv + m / n * width + j * lanes<T>, pack(v));
    });
    panel_to_rows<T>(kv, width, count, int(M), [=](int i) { return rows + i * M; });
}

#ifdef MIA_COMPILED_KERNELS
extern template void store_kv_panel(const PackedRows<float>&, const float*, const float*, int, const float*, int, int,
                                    float*, float*, float*);
extern template void store_kv_panel(const PackedRows<double>&, const double*, const double*, int, const double*, int,
                                    int, double*, double*, double*);
extern template void store_kv_panel(const PackedRows<Bf16>&, const float*, const float*, int, const Bf16*, int, int,
                                    Lane<Bf16>*, Lane<Bf16>*, Bf16*);
#endif

}  // namespace MIA_INSTRUCTIONS
}  // namespace detail

template <class T>
void store_kv(BasicCpu<T>& cpu, In<T, 2> tokens, const PackedBlock<BasicCpu<T>>& block, Out<T, 2> rows) {
    constexpr int width = simd::panel_vectors * simd::lanes<T>, n = per_lane<T>;
    const int R = tokens.extent(0), C = block.shape.dim, M = kv_width<T>(block.shape);
    require(block.ready && tokens.extent(1) == C && rows.extent(0) == R + 1 && rows.extent(1) == M, "store_kv: tokens ",
            shape_text(tokens), ", rows ", shape_text(rows), "; needed: (R, ", C, "), (R + 1, ", M,
            "), and a block that is packed");
    const std::size_t normed_size = std::size_t(simd::ceil_div(C, n)) * width, kv_size = std::size_t(M / n) * width;
    cpu.reserve_worker_scratch((normed_size + kv_size) * sizeof(Lane<T>) + 2 * cache_line);
    cpu.parallel_for(simd::ceil_div(R, width), 4, [&](std::ptrdiff_t begin, std::ptrdiff_t end, int index) {
        Arena& arena = cpu.worker_scratch(index);
        const ScratchScope scope(arena);
        auto* normed = static_cast<Lane<T>*>(arena.take(normed_size * sizeof(Lane<T>)));
        auto* kv = static_cast<Lane<T>*>(arena.take(kv_size * sizeof(Lane<T>)));
        std::fill_n(normed, normed_size, Lane<T>());
        for (std::ptrdiff_t p = begin; p < end; ++p) {
            const int count = std::min(width, R - int(p) * width), vectors = count > simd::lanes<T> ? 2 : 1;
            detail::store_kv_panel<T>(block.kv, block.norm(0), block.norm(1), C, tokens.data + p * width * C, count,
                                      vectors, normed, kv, rows.data + p * width * M);
        }
    });
    for (int m = 0; m < M; ++m) rows(R, m) = T(block.kv.bias.data()[m]);
    const std::int64_t macs = std::int64_t(R) * 2 * C * C;
    cpu.record({"store_kv", &block, macs, macs});
}

}  // namespace mia
