#pragma once
#include <cstddef>
#include <ostream>
#include <type_traits>

#if defined(__CUDACC__)
#define MIA_HOST_DEVICE __host__ __device__  ///< the only macro of its kind, empty without nvcc
#else
#define MIA_HOST_DEVICE
#endif

namespace mia {

/// A contiguous array of `Rank` axes that somebody else owns; the last axis is the fastest. Trivially copyable, so that
/// kernels take it by value. Feature maps are channels last: (H, W, C); clips (T, H, W, C).
template <class T, int Rank>
struct View {
    static_assert(Rank >= 1);
    using value_type = T;

    T* data = nullptr;
    int extents[Rank] = {};

    MIA_HOST_DEVICE constexpr int extent(int axis) const { return extents[axis]; }

    /// Number of elements.
    MIA_HOST_DEVICE constexpr std::ptrdiff_t size() const {
        std::ptrdiff_t n = 1;
        for (int extent : extents) n *= extent;
        return n;
    }

    /// The element at the given position, one index an axis.
    template <class... I>
    MIA_HOST_DEVICE constexpr T& operator()(I... position) const {
        static_assert(sizeof...(I) == Rank, "View: one index for each axis");
        const std::ptrdiff_t at[] = {std::ptrdiff_t(position)...};
        std::ptrdiff_t offset = 0;
        for (int axis = 0; axis < Rank; ++axis) offset = offset * extents[axis] + at[axis];
        return data[offset];
    }

    /// Entry `i` of the first axis: a view of one axis less, or an element. Parts of a view without data have none.
    MIA_HOST_DEVICE constexpr decltype(auto) operator[](std::ptrdiff_t i) const {
        if constexpr (Rank == 1) {
            return (data[i]);
        } else {
            View<T, Rank - 1> inner;
            for (int axis = 1; axis < Rank; ++axis) inner.extents[axis - 1] = extents[axis];
            if (data) inner.data = data + i * inner.size();
            return inner;
        }
    }

    /// Entries [first, first + count) of the first axis.
    MIA_HOST_DEVICE constexpr View slice(int first, int count) const {
        View part = *this;
        part.extents[0] = count;
        if (data && extents[0] > 0) part.data = data + size() / extents[0] * first;
        return part;
    }

    /// The same elements under other extents; their product must be the same.
    template <class... I>
    MIA_HOST_DEVICE constexpr View<T, int(sizeof...(I))> reshape(I... to) const {
        return {data, {int(to)...}};
    }

    /// To a view of const elements. (A template, or nvcc warns where T is const already.)
    template <class U>
    MIA_HOST_DEVICE constexpr operator View<U, Rank>() const
        requires(std::is_same_v<U, const T> && !std::is_const_v<T>) {
        View<U, Rank> other;
        other.data = data;
        for (int axis = 0; axis < Rank; ++axis) other.extents[axis] = extents[axis];
        return other;
    }
};

/// The elements as a matrix of rows: all axes but the last in one. A feature map (H, W, C) becomes its tokens (H*W, C).
template <class T, int Rank>
MIA_HOST_DEVICE constexpr View<T, 2> rows_of(View<T, Rank> x) {
    std::ptrdiff_t rows = 1;
    for (int axis = 0; axis + 1 < Rank; ++axis) rows *= x.extents[axis];
    return {x.data, {int(rows), x.extents[Rank - 1]}};
}

/// The extents of a view, written as "(180, 320, 120)" in messages. Not a string: checks pass it along in every call,
/// and nothing may be allocated there.
template <int Rank>
struct ShapeText {
    int extents[Rank];
    friend std::ostream& operator<<(std::ostream& out, const ShapeText& shape) {
        out << '(';
        for (int axis = 0; axis < Rank; ++axis) out << (axis > 0 ? ", " : "") << shape.extents[axis];
        return out << ')';
    }
};
template <class T, int Rank>
ShapeText<Rank> shape_text(View<T, Rank> x) {
    ShapeText<Rank> shape;
    for (int axis = 0; axis < Rank; ++axis) shape.extents[axis] = x.extents[axis];
    return shape;
}

template <class T, class U, int Rank>
constexpr bool same_shape(View<T, Rank> a, View<U, Rank> b) {
    for (int axis = 0; axis < Rank; ++axis)
        if (a.extents[axis] != b.extents[axis]) return false;
    return true;
}

}  // namespace mia
