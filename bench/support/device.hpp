#pragma once
#include "mia/core/cpu.hpp"
#include "mia/core/tensor.hpp"
#include "mia/core/transfer.hpp"
#ifdef MIA_BENCH_CUDA
#include "mia/cuda.cuh"
#endif

/// What the cases of this program run on: their bodies are the same text for mia_bench and, compiled by nvcc,
/// mia_bench_cuda. What is for one of them alone says so.
namespace mia::bench {

#ifdef MIA_BENCH_CUDA
using Device = Cuda;
#else
using Device = Cpu;
#endif

/// A tensor in a backend's memory, contents undefined.
template <class U = float, class B, class... I>
Tensor<U, int(sizeof...(I)), B> room(B& backend, I... extents) {
    Tensor<U, int(sizeof...(I)), B> t;
    t.resize(backend, extents...);
    return t;
}

/// The same values in a backend's memory.
template <class B, class U, int Rank>
Tensor<U, Rank, B> on(B& backend, Tensor<U, Rank> values) {
    Tensor<U, Rank, B> t = [&]<std::size_t... I>(std::index_sequence<I...>) {
        return room<U>(backend, values.extent(int(I))...);
    }
    (std::make_index_sequence<std::size_t(Rank)>{});
    upload(backend, values.view(), t.view());
    synchronize(backend);
    return t;
}

/// A number in a backend's memory.
template <class B, class U>
U value(B& backend, const U* at) {
    U number;
    download(backend, View<const U, 1>{at, {1}}, View<U, 1>{&number, {1}});
    synchronize(backend);
    return number;
}

}  // namespace mia::bench
