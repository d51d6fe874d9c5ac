#pragma once
#include <algorithm>
#include <cstddef>
#include <cstring>
#include <new>
#include <utility>
#include <vector>

namespace mia {

inline constexpr std::size_t cache_line = 64;

struct AlignedDelete {
    void operator()(std::byte* p) const { ::operator delete(p, std::align_val_t(cache_line)); }
};

/// What scratch holds before it is written.
enum class ScratchFill {
    nothing,  ///< whatever was there
    nan       ///< bytes 0xff, NaN for every float: a read of what was never written shows
};

/// Where an arena's blocks come from.
struct HostMemory {
    std::byte* allocate(std::size_t bytes) {
        return static_cast<std::byte*>(::operator new(bytes, std::align_val_t(cache_line)));
    }
    void free(std::byte* p) { AlignedDelete{}(p); }
    void fill(std::byte* p, std::size_t bytes) { std::memset(p, 0xff, bytes); }
    void zero(std::byte* p, std::size_t bytes) { std::memset(p, 0, bytes); }
};

/// Memory for one call, taken and given back like a stack. It grows when it must and then keeps what it has: a second
/// pass over the same work allocates nothing. One thread at a time.
template <class Memory>
class BasicArena {
public:
    struct Mark {
        std::size_t block = 0, used = 0;
    };

    explicit BasicArena(ScratchFill fill = ScratchFill::nothing, Memory memory = {})
        : fill_(fill), memory_(std::move(memory)) {}
    BasicArena(const BasicArena&) = delete;
    BasicArena& operator=(const BasicArena&) = delete;
    ~BasicArena() {
        for (const Block& block : blocks_) memory_.free(block.data);
    }

    /// `bytes` bytes, aligned to a cache line, until the next release of an earlier mark.
    void* take(std::size_t bytes) {
        bytes = (bytes + cache_line - 1) / cache_line * cache_line;
        while (at_.block < blocks_.size() && blocks_[at_.block].bytes - at_.used < bytes) {
            ++at_.block;
            at_.used = 0;
        }
        if (at_.block == blocks_.size()) grow(bytes);
        std::byte* p = blocks_[at_.block].data + at_.used;
        at_.used += bytes;
        in_use_ += bytes;
        peak_ = std::max(peak_, in_use_);
        if (fill_ == ScratchFill::nan) memory_.fill(p, bytes);
        return p;
    }

    struct Position {
        Mark mark;
        std::size_t in_use;
    };
    Position position() const { return {at_, in_use_}; }

    /// Gives back all that was taken since `position`.
    void release(Position position) {
        at_ = position.mark;
        in_use_ = position.in_use;
        if (in_use_ == 0 && blocks_.size() > 1) {  // from now on one block does
            std::size_t all = 0;
            for (const Block& block : blocks_) {
                all += block.bytes;
                memory_.free(block.data);
            }
            blocks_.clear();
            at_ = {};
            grow(all);
        }
    }

    /// Makes room for `bytes` in one piece, so that what is taken afterwards allocates nothing and wastes nothing. Only
    /// while nothing is taken.
    void reserve(std::size_t bytes) {
        std::size_t all = 0;
        for (const Block& block : blocks_) all += block.bytes;
        if (in_use_ > 0 || (blocks_.size() <= 1 && all >= bytes)) return;
        for (const Block& block : blocks_) memory_.free(block.data);
        blocks_.clear();
        at_ = {};
        grow(std::max(all, bytes));
    }

    std::size_t peak() const { return peak_; }  ///< most bytes that were in use at once

private:
    struct Block {
        std::byte* data;
        std::size_t bytes;
    };
    void grow(std::size_t bytes) {
        bytes = std::max(bytes, std::size_t(64) << 10);
        blocks_.reserve(blocks_.size() + 1);
        blocks_.push_back({memory_.allocate(bytes), bytes});
    }

    ScratchFill fill_;
    Memory memory_;
    std::vector<Block> blocks_;
    Mark at_;
    std::size_t in_use_ = 0, peak_ = 0;
};
using Arena = BasicArena<HostMemory>;

}  // namespace mia
