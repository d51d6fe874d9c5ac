#pragma once
#include <array>
#include <cstring>
#include <tuple>

#include "mia/core/backend.hpp"

// Between host memory and a backend's. For a program that runs on either; where the backend's memory is the host's own
// these are plain copies. Other backends copy asynchronously: the host's side must stay as it is, or may not be read,
// until synchronize(backend).

namespace mia {

/// `from` on the host -> `to` in the backend's memory, of the same number of elements.
template <class B, class U, int Rank>
void upload(B&, std::type_identity_t<View<const U, Rank>> from, View<U, Rank> to) requires(B::memory_is_host) {
    if (to.size() > 0) std::memcpy(to.data, from.data, std::size_t(to.size()) * sizeof(U));
}
/// `from` in the backend's memory -> `to` on the host, of the same number of elements.
template <class B, class U, int Rank>
void download(B&, std::type_identity_t<View<const U, Rank>> from, View<U, Rank> to) requires(B::memory_is_host) {
    if (to.size() > 0) std::memcpy(to.data, from.data, std::size_t(to.size()) * sizeof(U));
}
/// Waits until all that was enqueued is done.
template <class B>
void synchronize(B&) requires(B::memory_is_host) {}

/// A backend whose memory holds numbers. Count's does not.
template <class B>
concept HasMemory = Backend<B> && requires(B& backend) {
    synchronize(backend);
};

namespace detail {
/// B with that many threads, if it has any.
template <class B>
B make_backend(int threads) {
    if constexpr (B::memory_is_host)
        return B(threads);
    else
        return B();
}
}  // namespace detail

// Arrays of the host for a computation in the backend's memory: the arrays themselves, where that is the host's, else
// scratch of the current scope.

/// Room for x; its contents are not there yet.
template <class B, class U, int Rank>
View<U, Rank> room_for(B& backend, View<U, Rank> x) {
    if constexpr (B::memory_is_host)
        return x;
    else
        return std::apply([&](auto... extents) { return backend.template scratch<U>(extents...); },
                          std::to_array(x.extents));
}
/// x, which must stay as it is until somebody waits for the backend.
template <class B, class U, int Rank>
View<const U, Rank> uploaded(B& backend, View<const U, Rank> x) {
    if constexpr (B::memory_is_host) {
        return x;
    } else {
        const auto y = std::apply([&](auto... extents) { return backend.template scratch<U>(extents...); },
                                  std::to_array(x.extents));
        upload(backend, x, y);
        return y;
    }
}
/// What was computed in room_for(backend, to). Waits for the backend.
template <class B, class U, int Rank>
void fetch(B& backend, View<U, Rank> x, View<U, Rank> to) {
    if constexpr (!B::memory_is_host) {
        download(backend, x, to);
        synchronize(backend);
    }
}

}  // namespace mia
