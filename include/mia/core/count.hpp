#pragma once
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <vector>

#include "mia/core/backend.hpp"

namespace mia {

/// A backend that computes nothing and counts everything: MACs by op and module, bytes of scratch and of state. A
/// model's own forward() run on it gives its summary and the memory it will need, for any size, in microseconds. Views
/// of its memory must not be read. Every token counts as active.
template <class T>
class BasicCount {
public:
    using Scalar = T;
    static constexpr bool memory_is_host = false;

    /// Remembers how much it would hold, and holds nothing.
    template <class U>
    struct Buffer {
        std::size_t count = 0;
        U* data() const { return reinterpret_cast<U*>(nowhere); }
    };

    /// One call of an op: the work, and the extents of its result.
    struct Entry {
        Work work;
        std::vector<int> result;
    };

    class Arena {
    public:
        std::size_t position() const { return in_use_; }
        void release(std::size_t position) { in_use_ = position; }
        void take(std::size_t bytes) {
            in_use_ += (bytes + cache_line - 1) / cache_line * cache_line;
            peak_ = std::max(peak_, in_use_);
        }
        std::size_t peak() const { return peak_; }

    private:
        std::size_t in_use_ = 0, peak_ = 0;
    };

    [[nodiscard]] ScratchScope<Arena> scope() { return ScratchScope<Arena>(scratch_); }
    template <class U = T, class... I>
    View<U, int(sizeof...(I))> scratch(I... extents) {
        View<U, int(sizeof...(I))> view{reinterpret_cast<U*>(nowhere), {int(extents)...}};
        scratch_.take(std::size_t(view.size()) * sizeof(U));
        return view;
    }
    template <class U>
    void reserve(Buffer<U>& buffer, std::size_t count) {
        if (count <= buffer.count) return;
        tensor_bytes_ += (count - buffer.count) * sizeof(U);
        buffer.count = count;
    }
    void record(const Work& work) { entries_.push_back({work, {}}); }
    /// The same, with the result that the op would have written.
    template <class U, int Rank>
    void record(const Work& work, View<U, Rank> result) {
        entries_.push_back({work, std::vector<int>(result.extents, result.extents + Rank)});
    }

    const std::vector<Entry>& entries() const { return entries_; }
    std::int64_t macs() const {
        std::int64_t sum = 0;
        for (const Entry& entry : entries_) sum += entry.work.macs;
        return sum;
    }
    std::size_t scratch_peak() const { return scratch_.peak(); }
    std::size_t tensor_bytes() const { return tensor_bytes_; }  ///< of all Tensors grown on this backend: states

private:
    static constexpr std::uintptr_t nowhere = std::uintptr_t(1)
                                              << 40;  // never read; not null, so that it may be offset
    Arena scratch_;
    std::size_t tensor_bytes_ = 0;
    std::vector<Entry> entries_;
};

using Count = BasicCount<float>;
static_assert(Backend<Count>);

}  // namespace mia
