#pragma once
#include <algorithm>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <utility>
#include <vector>

#include "mia/core/arena.hpp"

namespace mia {

/// A stack of memory that has a twin: what is taken at p has its gradient at twin(p), byte for byte at the same place,
/// so a slice or another shape of a view needs no bookkeeping. Of the twin the arena knows which cache lines hold a
/// gradient. What nobody touched counts as zero without being written: a first touch clears a line or is told that it
/// may overwrite it, and forgetting a gradient writes nothing. The arena itself never looks into the memory, which may
/// be a device's.
template <class Memory>
class BasicTwinArena {
public:
    explicit BasicTwinArena(ScratchFill fill = ScratchFill::nothing, Memory memory = {})
        : fill_(fill), memory_(std::move(memory)) {}
    BasicTwinArena(const BasicTwinArena&) = delete;
    BasicTwinArena& operator=(const BasicTwinArena&) = delete;
    ~BasicTwinArena() { free_blocks(); }

    struct Position {
        std::size_t block = 0, used = 0;
    };
    Position position() const { return at_; }

    /// `bytes` bytes, aligned to a cache line, without a gradient, until an earlier position is released.
    void* take(std::size_t bytes) {
        bytes = (bytes + cache_line - 1) / cache_line * cache_line;
        while (at_.block < blocks_.size() && blocks_[at_.block]->bytes - at_.used < bytes) {
            ++at_.block;
            at_.used = 0;
        }
        if (at_.block == blocks_.size()) grow(bytes);
        Block& block = *blocks_[at_.block];
        std::byte* p = block.values + at_.used;
        if (fill_ == ScratchFill::nan) {
            memory_.fill(p, bytes);
            memory_.fill(block.gradients + at_.used, bytes);
        }
        at_.used += bytes;
        return p;
    }

    /// Gives back what was taken since, and forgets its gradients. Back at the start the memory becomes one block.
    void release(Position position) {
        for (std::size_t b = position.block; b < blocks_.size(); ++b)
            forget_lines(*blocks_[b], b == position.block ? position.used / cache_line : 0, blocks_[b]->lines());
        at_ = position;
        if (position.block > 0 || position.used > 0 || blocks_.size() <= 1) return;
        const std::size_t all = bytes();
        free_blocks();
        grow(all);
    }

    /// Whether p lies in memory of this arena.
    bool holds(const void* p) const { return find(p) != nullptr; }

    template <class T>
    T* twin(const T* p) const {
        const Block* block = find(p);
        return reinterpret_cast<T*>(block->gradients + block->offset(p));
    }

    /// Whether some of the bytes at p have a gradient. (Perhaps that of a neighbour in the same line.)
    bool is_touched(const void* p, std::size_t bytes) const {
        const Span span = span_of(p, bytes);
        bool any = false;
        each_word(span.first, span.last,
                  [&](std::size_t word, std::uint64_t mask) { any = any || (span.block->touched[word] & mask) != 0; });
        return any;
    }

    /// Before the gradient of the bytes at p is read or added to: what was not touched is zero from now on.
    void touch(const void* p, std::size_t bytes) {
        const Span span = span_of(p, bytes);
        std::size_t begin = 0, end = 0;  // of a run of lines to clear, perhaps over several words
        each_word(span.first, span.last, [&](std::size_t word, std::uint64_t mask) {
            std::uint64_t missing = mask & ~span.block->touched[word];
            while (missing != 0) {
                const int first = std::countr_zero(missing), count = std::countr_one(missing >> first);
                const std::size_t line = word * 64 + std::size_t(first);
                if (line != end) {
                    clear_lines(span, begin, end);
                    begin = line;
                }
                end = line + std::size_t(count);
                missing = first + count == 64 ? 0 : missing >> (first + count) << (first + count);
            }
            span.block->touched[word] |= mask;
        });
        clear_lines(span, begin, end);
    }

    /// As touch, but if nothing was touched before, returns true and leaves the contents to the caller, who must write
    /// all of the bytes.
    bool touch_to_overwrite(const void* p, std::size_t bytes) {
        if (is_touched(p, bytes)) {
            touch(p, bytes);
            return false;
        }
        const Span span = span_of(p, bytes);
        if (bytes == 0) return true;
        // Lines shared with neighbours hold zero there.
        if (span.offset % cache_line != 0) clear_lines(span, span.first, span.first + 1);
        if ((span.offset + bytes) % cache_line != 0) clear_lines(span, span.last - 1, span.last);
        each_word(span.first, span.last,
                  [&](std::size_t word, std::uint64_t mask) { span.block->touched[word] |= mask; });
        return true;
    }

    /// The bytes at p have no gradient any more.
    void forget(const void* p, std::size_t bytes) {
        const Span span = span_of(p, bytes);
        const std::size_t begin = span.offset, end = span.offset + bytes;
        const std::size_t first = (begin + cache_line - 1) / cache_line, last = end / cache_line;
        std::byte* gradients = span.block->gradients;
        if (first > last) {  // inside one line
            if (is_line_touched(span, last)) memory_.zero(gradients + begin, bytes);
            return;
        }
        if (begin % cache_line != 0 && is_line_touched(span, first - 1))
            memory_.zero(gradients + begin, first * cache_line - begin);
        if (end % cache_line != 0 && is_line_touched(span, last))
            memory_.zero(gradients + last * cache_line, end - last * cache_line);
        forget_lines(*span.block, first, last);
    }

    /// Bytes of the values; the twin has as many.
    std::size_t bytes() const {
        std::size_t all = 0;
        for (const auto& block : blocks_) all += block->bytes;
        return all;
    }

private:
    struct Block {
        std::size_t lines() const { return bytes / cache_line; }
        std::size_t offset(const void* p) const { return std::size_t(static_cast<const std::byte*>(p) - values); }
        std::size_t bytes = 0;
        std::byte *values = nullptr, *gradients = nullptr;
        std::vector<std::uint64_t> touched;  ///< a bit for each cache line of `gradients`
    };
    struct Span {
        Block* block;
        std::size_t offset, first, last;  ///< bytes, lines
    };

    Block* find(const void* p) const {
        const auto* at = static_cast<const std::byte*>(p);
        const std::less<const std::byte*> less;
        for (const auto& block : blocks_)
            if (!less(at, block->values) && less(at, block->values + block->bytes)) return block.get();
        return nullptr;
    }
    Span span_of(const void* p, std::size_t bytes) const {
        Block* block = find(p);
        const std::size_t offset = block->offset(p);
        return {block, offset, offset / cache_line, (offset + bytes + cache_line - 1) / cache_line};
    }
    static bool is_line_touched(const Span& span, std::size_t line) {
        return span.block->touched[line / 64] >> line % 64 & 1;
    }
    void clear_lines(const Span& span, std::size_t begin, std::size_t end) {
        if (begin < end) memory_.zero(span.block->gradients + begin * cache_line, (end - begin) * cache_line);
    }
    /// f(word, mask) for the words of bits that cover lines [first, last).
    template <class F>
    static void each_word(std::size_t first, std::size_t last, F&& f) {
        while (first < last) {
            const std::size_t word = first / 64, end = std::min(last, (word + 1) * 64), count = end - first;
            const std::uint64_t ones = count == 64 ? ~std::uint64_t(0) : (std::uint64_t(1) << count) - 1;
            f(word, ones << first % 64);
            first = end;
        }
    }
    static void forget_lines(Block& block, std::size_t first, std::size_t last) {
        each_word(first, last, [&](std::size_t word, std::uint64_t mask) { block.touched[word] &= ~mask; });
    }
    void grow(std::size_t bytes) {
        bytes = std::max({bytes, this->bytes(), std::size_t(1) << 20});  // at least doubles
        blocks_.push_back(std::make_unique<Block>());
        Block& block = *blocks_.back();
        block.bytes = bytes;
        block.touched.resize((block.lines() + 63) / 64);
        block.values = memory_.allocate(bytes);
        block.gradients = memory_.allocate(bytes);
        at_ = {blocks_.size() - 1, 0};
    }
    void free_blocks() {
        for (const auto& block : blocks_) {
            memory_.free(block->values);
            memory_.free(block->gradients);
        }
        blocks_.clear();
    }

    ScratchFill fill_;
    Memory memory_;
    std::vector<std::unique_ptr<Block>> blocks_;
    Position at_;
};
using TwinArena = BasicTwinArena<HostMemory>;

}  // namespace mia
