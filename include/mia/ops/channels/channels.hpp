#pragma once
#include <algorithm>

#include "mia/core/backend.hpp"
#include "mia/core/count.hpp"

// Contract.
//   normalize_channels: y[p, c] = (x[p, c] - mean[c]) / std[c];  x, y: (P, C), y may be x; mean, std: (C)
//   concat_channels:    y[p, :] = [a[p, :], b[p, :], c[p, :]];   a: (P, A), b: (P, B), c: (P, C); y: (P, A + B + C)
//     Of frames and flows, which are Wide<T>, y are features.
//   convert:            y = x in another element type; both (P, C)

namespace mia {

template <class T>
void normalize_channels(BasicCount<T>& count, In<Wide<T>, 2>, In<T, 1>, In<T, 1>, Out<Wide<T>, 2> y) {
    count.record({"normalize_channels"}, y);
}
template <class T>
void concat_channels(BasicCount<T>& count, In<Wide<T>, 2>, In<Wide<T>, 2>, In<Wide<T>, 2>, Out<T, 2> y) {
    count.record({"concat_channels"}, y);
}
template <class T, class U, class V>
void convert(BasicCount<T>& count, View<U, 2>, View<V, 2> y) {
    count.record({"convert"}, y);
}

}  // namespace mia

#include "mia/ops/channels/channels_cpu.hpp"

namespace mia {

/// x in elements of To: itself, or a copy in the caller's scratch.
template <class To, class B, class From, int Rank>
View<const To, Rank> as_elements(B& backend, View<From, Rank> x) {
    if constexpr (std::is_same_v<const From, const To>) {
        return x;
    } else {
        View<To, Rank> y;
        std::copy(x.extents, x.extents + Rank, y.extents);
        y.data = backend.template scratch<To>(int(x.size())).data;
        convert(backend, rows_of(x), rows_of(y));
        return y;
    }
}

}  // namespace mia
