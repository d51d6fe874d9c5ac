#pragma once
#include <cstddef>
#include <memory>
#include <new>
#include <utility>

#include "mia/core/arena.hpp"
#include "mia/core/error.hpp"
#include "mia/core/view.hpp"

namespace mia {

/// Host memory aligned to cache lines; grows, never shrinks, does not keep its contents when it grows.
template <class T>
class HostBuffer {
public:
    HostBuffer() = default;
    HostBuffer(HostBuffer&& other) noexcept
        : data_(std::move(other.data_)), capacity_(std::exchange(other.capacity_, 0)) {}
    HostBuffer& operator=(HostBuffer&& other) noexcept {
        data_ = std::move(other.data_);
        capacity_ = std::exchange(other.capacity_, 0);
        return *this;
    }
    T* data() const { return reinterpret_cast<T*>(data_.get()); }
    std::size_t capacity() const { return capacity_; }
    void reserve(std::size_t count) {
        if (count <= capacity_) return;
        data_.reset();
        capacity_ = 0;
        data_.reset(static_cast<std::byte*>(::operator new(count * sizeof(T), std::align_val_t(cache_line))));
        capacity_ = count;
    }

private:
    std::unique_ptr<std::byte, AlignedDelete> data_;
    std::size_t capacity_ = 0;
};

template <class T>
class BasicCpu;
using Cpu = BasicCpu<float>;

/// An array of `Rank` axes that owns its memory, in the memory of backend B; the last axis is the fastest. Move only.
template <class T, int Rank, class B = Cpu>
class Tensor {
public:
    using Buffer = typename B::template Buffer<T>;

    Tensor() = default;
    /// In host memory, contents undefined: Tensor<float, 4> clip(frames, height, width, 3).
    template <class... I>
    explicit Tensor(int first, I... rest) requires(sizeof...(I) + 1 == Rank && B::memory_is_host) {
        set_extents(first, rest...);
        buffer_.reserve(std::size_t(view_.size()));
        view_.data = buffer_.data();
    }

    /// Contents are undefined afterwards. Allocates only when the elements do not fit what is there.
    template <class... I>
    void resize(B& backend, I... extents) {
        static_assert(sizeof...(I) == Rank, "Tensor: one extent for each axis");
        set_extents(extents...);
        backend.reserve(buffer_, std::size_t(view_.size()));
        view_.data = buffer_.data();
    }

    View<T, Rank> view() { return view_; }
    View<const T, Rank> view() const { return view_; }
    operator View<T, Rank>() { return view_; }
    operator View<const T, Rank>() const { return view_; }
    int extent(int axis) const { return view_.extent(axis); }
    std::ptrdiff_t size() const { return view_.size(); }
    bool empty() const { return view_.data == nullptr; }
    T* data() { return view_.data; }
    const T* data() const { return view_.data; }

private:
    template <class... I>
    void set_extents(I... extents) {
        const int all[] = {int(extents)...};
        for (int axis = 0; axis < Rank; ++axis) {
            require(all[axis] >= 0, "Tensor: extent ", all[axis], " of axis ", axis, " is negative");
            view_.extents[axis] = all[axis];
        }
    }

    Buffer buffer_;
    View<T, Rank> view_;
};

}  // namespace mia
