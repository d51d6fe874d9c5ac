#pragma once
#include <memory>
#include <vector>

#include "mia/core/backend.hpp"
#include "mia/core/bf16.hpp"
#include "mia/core/thread_pool.hpp"

namespace mia {

/// The processor: kernels on SIMD vectors, a pool of threads and scratch of its own. Elements are T in memory and in
/// sums (float; double in tests), Bf16 in memory and float in sums (core/bf16.hpp). Two objects in one process do not
/// meet; one object serves one caller at a time.
template <class T>
class BasicCpu {
public:
    using Scalar = T;
    static constexpr bool memory_is_host = true;
    template <class U>
    using Buffer = HostBuffer<U>;

    /// threads >= 1; results have the same bytes for any number of them.
    explicit BasicCpu(int threads = 1, ScratchFill fill = ScratchFill::nothing) : pool_(threads), scratch_(fill) {
        for (int i = 0; i < threads; ++i) worker_scratch_.push_back(std::make_unique<Arena>(fill));
    }

    int threads() const { return pool_.threads(); }

    [[nodiscard]] ScratchScope<Arena> scope() { return ScratchScope<Arena>(scratch_); }

    /// Memory of the current scope: a view of the given extents, contents undefined.
    template <class U = T, class... I>
    View<U, int(sizeof...(I))> scratch(I... extents) {
        View<U, int(sizeof...(I))> view{nullptr, {int(extents)...}};
        view.data = static_cast<U*>(scratch_.take(std::size_t(view.size()) * sizeof(U)));
        return view;
    }
    /// Most bytes of scratch in use at once, those of the threads included.
    std::size_t scratch_peak() const {
        std::size_t bytes = scratch_.peak();
        for (const auto& arena : worker_scratch_) bytes += arena->peak();
        return bytes;
    }

    /// Makes room beforehand for work that will need this much; see Count.
    void reserve_scratch(std::size_t bytes) { scratch_.reserve(bytes); }

    HostMemory memory() const { return {}; }  ///< where arenas of its own take blocks from

    template <class U>
    void reserve(HostBuffer<U>& buffer, std::size_t count) {
        buffer.reserve(count);
    }

    void record(const Work& work) {
        count_.macs += work.macs;
        count_.dense_macs += work.dense_macs;
    }
    void record_tokens(std::int64_t active, std::int64_t all) {
        count_.active_tokens += active;
        count_.tokens += all;
    }
    WorkCount work() const { return count_; }
    void reset_work() { count_ = {}; }

    // For the ops of this backend.

    /// f(begin, end, worker), ThreadPool::parallel_for.
    template <class F>
    void parallel_for(std::ptrdiff_t count, std::ptrdiff_t grain, F&& f) {
        pool_.parallel_for(count, grain, f);
    }
    /// Makes room for this much in each worker's scratch: which of them will work is left open, so an op that takes
    /// scratch inside parallel_for calls this before, or some later call would still allocate.
    void reserve_worker_scratch(std::size_t bytes) {
        for (const auto& arena : worker_scratch_) arena->reserve(bytes);
    }
    /// Scratch of one worker inside parallel_for.
    Arena& worker_scratch(int worker) { return *worker_scratch_[std::size_t(worker)]; }

private:
    ThreadPool pool_;
    Arena scratch_;
    std::vector<std::unique_ptr<Arena>> worker_scratch_;
    WorkCount count_;
};

using CpuBf16 = BasicCpu<Bf16>;

static_assert(Backend<Cpu> && Backend<CpuBf16>);

}  // namespace mia
