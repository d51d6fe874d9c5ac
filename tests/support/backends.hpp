#pragma once
#include <gtest/gtest.h>

#include <array>
#include <vector>

#include "mia/core/cpu.hpp"
#include "mia/core/transfer.hpp"
#include "reference/numbers.hpp"
#ifdef MIA_TEST_CUDA
#include "mia/cuda.cuh"
#endif

/// What test bodies are typed over. The same text is compiled for Cpu, with MIA_TEST_CUDA against the emulator, and by
/// nvcc (docs/cuda.md).
namespace mia::test {

#ifdef MIA_TEST_CUDA
using FloatBackend = Cuda;
using Backends = testing::Types<Cuda>;
using NarrowBackends = testing::Types<CudaBf16>;
#else
using FloatBackend = Cpu;
using Backends = testing::Types<Cpu, BasicCpu<double>>;
using NarrowBackends = testing::Types<CpuBf16>;
#endif
using FloatBackends = testing::Types<FloatBackend>;

/// A backend that shows a read of scratch that was not written. `threads` is for those that have any.
template <class B>
B make_backend(int threads = 2) requires(B::memory_is_host) {
    return B(threads, ScratchFill::nan);
}
#ifdef MIA_TEST_CUDA
template <class B>
B make_backend(int = 2) requires(!B::memory_is_host) {
    return B(ScratchBlocks::separate);
}
#endif
/// Numbers of threads that a result must not depend on.
template <class B>
std::vector<int> thread_counts() {
    if constexpr (B::memory_is_host)
        return {1, 2, 3};
    else
        return {1};
}

/// What lies in a backend's memory; nothing for a view without data.
template <class B, class U, int Rank>
std::vector<std::remove_const_t<U>> values_of(B& backend, View<U, Rank> x) {
    std::vector<std::remove_const_t<U>> all(x.data ? static_cast<std::size_t>(x.size()) : 0);
    const int size = int(all.size());
    download(backend, View<const U, 1>{x.data, {size}}, View<std::remove_const_t<U>, 1>{all.data(), {size}});
    synchronize(backend);
    return all;
}

/// An array in a backend's memory, filled from the host and read back.
template <class B, class U, int Rank>
class Placed {
public:
    /// Holds `values`.
    Placed(B& backend, const std::vector<U>& values, const std::array<int, Rank>& extents)
        : Placed(backend, extents, Fill::none) {
        upload(backend, View<const U, 1>{values.data(), {int(values.size())}}, flat());
        synchronize(backend);
    }
    /// Holds what no op wrote yet: NaN, or memory that the emulator knows as such.
    Placed(B& backend, const std::array<int, Rank>& extents) : Placed(backend, extents, Fill::nan) {}

    View<U, Rank> view() { return tensor_.view(); }
    View<const U, Rank> view() const { return tensor_.view(); }
    operator View<U, Rank>() { return tensor_.view(); }
    operator View<const U, Rank>() const { return tensor_.view(); }
    std::vector<U> values() const { return values_of(*backend_, view()); }
    /// The same with its extents.
    Tensor<U, Rank> on_host() const {
        const auto from = tensor_.view();
        return [&]<std::size_t... I>(std::index_sequence<I...>) {
            Tensor<U, Rank> to(from.extent(int(I))...);
            download(*backend_, from, to.view());
            synchronize(*backend_);
            return to;
        }
        (std::make_index_sequence<std::size_t(Rank)>{});
    }

private:
    enum class Fill { none, nan };
    Placed(B& backend, const std::array<int, Rank>& extents, Fill fill) : backend_(&backend) {
        std::apply([&](auto... e) { tensor_.resize(backend, e...); }, extents);
        if constexpr (B::memory_is_host)
            if (fill == Fill::nan) std::fill(tensor_.data(), tensor_.data() + tensor_.size(), nothing());
    }
    static U nothing() {
        if constexpr (std::numeric_limits<U>::has_quiet_NaN) return std::numeric_limits<U>::quiet_NaN();
        return U(-1);
    }
    View<U, 1> flat() { return {tensor_.data(), {int(tensor_.size())}}; }

    B* backend_;
    Tensor<U, Rank, B> tensor_;
};

/// `numbers` in the backend's element type.
template <int Rank, class B, class Number>
auto place(B& backend, const std::vector<Number>& numbers, const std::array<int, Rank>& extents) {
    using T = typename B::Scalar;
    return Placed<B, T, Rank>(backend, std::vector<T>(numbers.begin(), numbers.end()), extents);
}
/// A tensor of the host.
template <class B, class U, int Rank>
auto place(B& backend, const Tensor<U, Rank>& tensor) {
    std::array<int, Rank> extents;
    for (int axis = 0; axis < Rank; ++axis) extents[std::size_t(axis)] = tensor.extent(axis);
    return place<Rank>(backend, std::vector<U>(tensor.data(), tensor.data() + tensor.size()), extents);
}
/// The result of an op, not written yet.
template <int Rank, class B>
auto place(B& backend, const std::array<int, Rank>& extents) {
    return Placed<B, typename B::Scalar, Rank>(backend, extents);
}

}  // namespace mia::test
