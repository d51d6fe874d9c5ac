#pragma once
#include "mia/core/cuda.cuh"
#include "mia/ops/window_attention/window_attention.hpp"

namespace mia {

/// The table, (heads, rows): a head's biases are neighbours, and the kernel finds the row of a query and a key. Of a
/// narrow type in units of the exponent of 2.
template <class T>
struct PackedPositionBias<BasicCuda<T>> {
    CudaBuffer<Wide<T>> table;
    int heads = 0, rows = 0;
    bool ready = false;
};

namespace detail {

inline constexpr double log2e = 1.4426950408889634;

template <class T>
struct TransposeTable {
    View<const T, 2> table;
    Wide<T>* to;
    __device__ void operator()(int head, int row) const {
        to[head * table.extent(0) + row] = narrow<T> ? table(row, head) * Wide<T>(log2e) : Wide<T>(table(row, head));
    }
};

template <class T>
struct AttentionOperands {
    WindowGrid grid;
    ActiveRows rows;
    WindowFrames frames;
    int C, D;  ///< all channels, those of a head
    Wide<T> scale;
    const T *q, *kv;
    const Wide<T>* table;
    int table_rows;
    T* y;
};

}  // namespace detail
}  // namespace mia
