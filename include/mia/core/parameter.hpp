#pragma once
#include <array>
#include <cstddef>
#include <span>

#include "mia/core/backend.hpp"

namespace mia {

/// One named tensor of a module, of a shape known at compile time: a view into the memory that Network owns. Shape and
/// order are PyTorch's, weights of a linear map (out, in), of a convolution (out, in, kh, kw); backends repack them for
/// their kernels when a module is prepared.
template <Backend B, int... Extents>
class Parameter {
    static_assert(((Extents > 0) && ...), "Parameter: each extent must be positive");

public:
    using Scalar = typename B::Scalar;
    static constexpr int rank = int(sizeof...(Extents));
    static constexpr std::array<int, sizeof...(Extents)> shape{Extents...};
    static constexpr std::ptrdiff_t size = (std::ptrdiff_t(1) * ... * Extents);
    static constexpr bool is_trained = true;

    View<const Scalar, rank> view() const { return {data_, {Extents...}}; }
    View<Scalar, rank> view() { return {data_, {Extents...}}; }
    bool is_bound() const { return data_ != nullptr; }
    void bind(Scalar* data) { data_ = data; }

private:
    Scalar* data_ = nullptr;
};

/// A tensor of the checkpoint that is not trained, what PyTorch calls a buffer.
template <Backend B, int... Extents>
class ParameterBuffer : public Parameter<B, Extents...> {
public:
    static constexpr bool is_trained = false;
};

/// One parameter as a walk over a model hands it out: its place and shape, whatever its type. T is const in a const
/// walk.
template <class T>
struct ParameterRef {
    T* data = nullptr;  ///< null while the module has no memory (Network gives it)
    std::span<const int> shape;
    std::ptrdiff_t size = 0;  ///< number of elements
    bool is_trained = true;   ///< false: a buffer
};

template <class P>
concept AnyParameter = requires(P& p, typename P::Scalar* data) {
    P::shape;
    P::size;
    p.bind(data);
};

}  // namespace mia
