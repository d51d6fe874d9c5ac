#pragma once
#include <concepts>
#include <cstdint>
#include <type_traits>

#include "mia/core/bf16.hpp"
#include "mia/core/tensor.hpp"

namespace mia {

/// What one call of an op does, as every backend counts it. One multiply and one add are one MAC; normalisation,
/// softmax and activations are not counted, as in the literature.
struct Work {
    const char* op;               ///< the op's name
    const void* owner = nullptr;  ///< an address inside the module whose parameters the op reads, if there is one
    std::int64_t macs = 0;        ///< multiply-adds to do
    std::int64_t dense_macs = 0;  ///< the same with every token active
};

/// What was done since the last reset, and what it would have been without a mask.
struct WorkCount {
    std::int64_t macs = 0, dense_macs = 0;
    std::int64_t tokens = 0, active_tokens = 0;  ///< of all blocks
    double skipped_share() const { return tokens == 0 ? 0.0 : 1 - double(active_tokens) / double(tokens); }
};

/// Gives back the scratch taken since it was made. Every forward() begins with `const auto scope = backend.scope();`.
template <class Arena>
class ScratchScope {
public:
    explicit ScratchScope(Arena& arena) : arena_(arena), position_(arena.position()) {}
    ~ScratchScope() { arena_.release(position_); }
    ScratchScope(const ScratchScope&) = delete;
    ScratchScope& operator=(const ScratchScope&) = delete;

private:
    Arena& arena_;
    decltype(arena_.position()) position_;
};

/// A backend is a type with an element type, memory, scratch, and ops as overloads on it (ops/). Modules never ask
/// which one they have.
template <class B>
concept Backend = requires(B& backend, Work work, typename B::template Buffer<typename B::Scalar>& buffer) {
    typename B::Scalar;
    { B::memory_is_host } -> std::convertible_to<bool>;
    backend.scope();
    { backend.scratch(1, 2) } -> std::same_as<View<typename B::Scalar, 2>>;
    backend.reserve(buffer, std::size_t(1));
    backend.record(work);
};

/// What frames are made of.
template <class B>
using Pixel = Wide<typename B::Scalar>;

/// Views as ops take them: the element type follows from the backend alone, so that tensors and mutable views convert.
template <class T, int Rank>
using In = View<const std::type_identity_t<T>, Rank>;
template <class T, int Rank>
using Out = View<std::type_identity_t<T>, Rank>;

/// A number of rows that only the backend knows (a mask's count on a GPU stays on the GPU). Ops with such an argument
/// work on the first *value * times rows of their views, whose first extent is the capacity; null means all.
struct RowCount {
    const int* value = nullptr;
    int times = 1;
};

}  // namespace mia
