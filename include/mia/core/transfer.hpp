#pragma once
#include <cstring>

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

}  // namespace mia
