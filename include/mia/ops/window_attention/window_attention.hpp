#pragma once
#include "mia/core/backend.hpp"
#include "mia/core/count.hpp"
#include "mia/ops/window/windows.hpp"

namespace mia {

/// The frames of a window: those whose tokens are keys and values, the last `query_frames` of which are queries.
struct WindowFrames {
    int keys = 3, queries = 1;
    friend constexpr bool operator==(const WindowFrames&, const WindowFrames&) = default;
};

/// Rows of the relative position bias table in time. With one query frame, the current one, time counts backwards from
/// it, `keys` rows (the official table, spec of the inter- and intra-frame block); with more, differences of both
/// signs.
constexpr int bias_rows_in_time(WindowFrames frames) {
    return frames.queries == 1 ? frames.keys : frames.queries + frames.keys - 1;
}

/// The row of the table for a query token (of the query frames) and a key token (of all frames).
MIA_HOST_DEVICE constexpr int relative_position_index(WindowSize window, WindowFrames frames, int query, int key) {
    const int N = window.tokens(), w = window.width;
    const int tq = frames.keys - frames.queries + query / N, tk = key / N;
    const int dt = tq - tk + (frames.queries == 1 ? 0 : frames.queries - 1);
    const int dy = query % N / w - key % N / w + window.height - 1, dx = query % w - key % w + w - 1;
    return dt * window.offsets() + dy * (2 * w - 1) + dx;
}

// Contract. For each window with an active token, head h of width d, active query token i and every key token j:
//   s[i, j] = d^-1/2 q[i, h] . k[j, h] + table[index(i, j), h] + (region(i) == region(j) ? 0 : -100)
//   y[i, h] = sum_j softmax_j(s[i, :])[j] v[j, h]                        (MIA-VSR, Sec. 3.2, Eq. 4-5)
//   q, y: (R, C), the active tokens' rows; kv: (windows, F * N, 2 C), keys then values; table: (rows, heads). Padded
//   tokens are keys like any other.

/// A backend's layout of the relative position bias table.
template <class B>
struct PackedPositionBias;

template <class T>
struct PackedPositionBias<BasicCount<T>> {
    bool ready = false;
};

template <class T>
void pack_position_bias(BasicCount<T>&, In<T, 2>, WindowSize, WindowFrames, PackedPositionBias<BasicCount<T>>& packed) {
    packed.ready = true;
}

template <class T>
void window_attention(BasicCount<T>& count, const WindowGrid& grid, const ActiveRows&, WindowFrames frames, int,
                      In<T, 2>, In<T, 3>, const PackedPositionBias<BasicCount<T>>& bias, Out<T, 2> y) {
    const std::int64_t macs = 2 * y.size() * frames.keys * grid.window.tokens();
    count.record({"window_attention", &bias, macs, macs}, y);
}

}  // namespace mia

#include "mia/ops/window_attention/window_attention_cpu.hpp"
