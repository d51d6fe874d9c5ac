#pragma once
#include <algorithm>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <iterator>
#include <map>
#include <memory>
#include <utility>
#include <vector>

#include "mia/core/arena.hpp"

namespace mia {

/// A stack of memory that has a twin: what lies at p has its gradient at twin(p), and the rest of what was taken with
/// it at the same distance, so a slice or another shape of a view needs no bookkeeping. Of the twin the arena knows
/// which cache lines hold a gradient. What nobody touched counts as zero without being written: a first touch clears a
/// line or is told that it may overwrite it, and forgetting a gradient writes nothing. Few gradients live at once in a
/// backward pass: memory of the twin is given to what was taken when it is touched first and goes to the next when all
/// of it is forgotten, so that it stays in the caches. The arena itself never looks into the memory, which may be a
/// device's.
template <class Memory>
class BasicTwinArena {
public:
    explicit BasicTwinArena(ScratchFill fill = ScratchFill::nothing, Memory memory = {})
        : fill_(fill), memory_(std::move(memory)) {}
    BasicTwinArena(const BasicTwinArena&) = delete;
    BasicTwinArena& operator=(const BasicTwinArena&) = delete;
    ~BasicTwinArena() {
        for (const auto& block : blocks_)
            for (const Piece& piece : block->pieces) memory_.free(piece.gradients);
        for (const auto& [bytes, idle] : idle_)
            for (std::byte* gradients : idle) memory_.free(gradients);
        free_blocks();
    }

    struct Position {
        std::size_t block = 0, used = 0;
    };
    Position position() const { return at_; }

    /// `bytes` bytes, aligned to a cache line, without a gradient, until an earlier position is released.
    void* take(std::size_t bytes) {
        const std::size_t wanted = std::max(bytes, std::size_t(1));
        bytes = (wanted + cache_line - 1) / cache_line * cache_line;
        while (at_.block < blocks_.size() && blocks_[at_.block]->bytes - at_.used < bytes) {
            ++at_.block;
            at_.used = 0;
        }
        if (at_.block == blocks_.size()) grow(bytes);
        Block& block = *blocks_[at_.block];
        std::byte* p = block.values + at_.used;
        if (fill_ == ScratchFill::nan) memory_.fill(p, bytes);
        block.pieces.push_back({at_.used, bytes, wanted});
        at_.used += bytes;
        return p;
    }

    /// Gives back what was taken since, and forgets its gradients. Back at the start the memory becomes one block.
    void release(Position position) {
        for (std::size_t b = position.block; b < blocks_.size(); ++b) {
            Block& block = *blocks_[b];
            const std::size_t kept = b == position.block ? position.used : 0;
            for (; !block.pieces.empty() && block.pieces.back().begin >= kept; block.pieces.pop_back())
                forget_lines(block, block.pieces.back(), block.pieces.back().begin / cache_line,
                             block.pieces.back().end() / cache_line);
        }
        at_ = position;
        if (position.block > 0 || position.used > 0 || blocks_.size() <= 1) return;
        const std::size_t all = bytes();
        free_blocks();
        grow(all);
    }

    /// Whether p lies in memory of this arena.
    bool holds(const void* p) const { return find(p) != nullptr; }

    /// Of what has been touched, until it is forgotten.
    template <class T>
    T* twin(const T* p) const {
        const Span span = span_of(p, 0);
        return reinterpret_cast<T*>(span.piece->gradient(span.offset));
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
        const Span span = span_with_memory(p, bytes);
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
            mark(span, word, mask);
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
        const Span span = span_with_memory(p, bytes);
        if (bytes == 0) return true;
        // Lines shared with neighbours hold zero there.
        if (span.offset % cache_line != 0) clear_lines(span, span.first, span.first + 1);
        if ((span.offset + bytes) % cache_line != 0) clear_lines(span, span.last - 1, span.last);
        each_word(span.first, span.last, [&](std::size_t word, std::uint64_t mask) { mark(span, word, mask); });
        return true;
    }

    /// The bytes at p have no gradient any more.
    void forget(const void* p, std::size_t bytes) {
        const Span span = span_of(p, bytes);
        const std::size_t begin = span.offset;
        const bool to_the_end = begin + bytes == span.piece->begin + span.piece->wanted;
        const std::size_t end = to_the_end ? span.piece->end() : begin + bytes;
        const std::size_t first = (begin + cache_line - 1) / cache_line, last = end / cache_line;
        const auto zero_in = [&](std::size_t line, std::size_t from, std::size_t until) {  // neighbours keep theirs
            if (is_line_touched(span, line)) memory_.zero(span.piece->gradient(from), until - from);
        };
        if (first > last) return zero_in(last, begin, end);
        if (begin % cache_line != 0) zero_in(first - 1, begin, first * cache_line);
        if (end % cache_line != 0) zero_in(last, last * cache_line, end);
        forget_lines(*span.block, *span.piece, first, last);
    }

    /// Bytes of the values.
    std::size_t bytes() const {
        std::size_t all = 0;
        for (const auto& block : blocks_) all += block->bytes;
        return all;
    }
    /// Bytes of the twin: of as many gradients as have lived at once.
    std::size_t gradient_bytes() const { return gradient_bytes_; }

private:
    /// What was taken at once. Offsets count from the start of the block.
    struct Piece {
        std::size_t begin, bytes, wanted;  ///< wanted: bytes, not rounded up to lines
        std::byte* gradients = nullptr;    ///< memory of the twin, if it has some
        std::size_t touched = 0;           ///< lines
        std::size_t end() const { return begin + bytes; }
        std::byte* gradient(std::size_t offset) const { return gradients + (offset - begin); }
    };
    struct Block {
        std::size_t lines() const { return bytes / cache_line; }
        std::size_t offset(const void* p) const { return std::size_t(static_cast<const std::byte*>(p) - values); }
        std::size_t bytes = 0;
        std::byte* values = nullptr;
        std::vector<Piece> pieces;           ///< in order
        std::vector<std::uint64_t> touched;  ///< a bit for each cache line
    };
    struct Span {
        Block* block;
        Piece* piece;
        std::size_t offset, first, last;  ///< bytes, lines
    };

    Block* find(const void* p) const {
        const auto* at = static_cast<const std::byte*>(p);
        const std::less<const std::byte*> less;
        for (const auto& block : blocks_) {
            const std::size_t used = block->pieces.empty() ? 0 : block->pieces.back().end();
            if (!less(at, block->values) && less(at, block->values + used)) return block.get();
        }
        return nullptr;
    }
    Span span_of(const void* p, std::size_t bytes) const {
        Block* block = find(p);
        const std::size_t offset = block->offset(p);
        const auto after = std::upper_bound(block->pieces.begin(), block->pieces.end(), offset,
                                            [](std::size_t at, const Piece& piece) { return at < piece.begin; });
        return {block, &*std::prev(after), offset, offset / cache_line, (offset + bytes + cache_line - 1) / cache_line};
    }
    Span span_with_memory(const void* p, std::size_t bytes) {
        const Span span = span_of(p, bytes);
        Piece& piece = *span.piece;
        if (piece.gradients) return span;
        std::vector<std::byte*>& idle = idle_[piece.bytes];
        if (idle.empty()) {
            piece.gradients = memory_.allocate(piece.bytes);
            gradient_bytes_ += piece.bytes;
        } else {
            piece.gradients = idle.back();  // the last one used
            idle.pop_back();
        }
        if (fill_ == ScratchFill::nan) memory_.fill(piece.gradients, piece.bytes);
        return span;
    }
    static bool is_line_touched(const Span& span, std::size_t line) {
        return span.block->touched[line / 64] >> line % 64 & 1;
    }
    void clear_lines(const Span& span, std::size_t begin, std::size_t end) {
        if (begin < end) memory_.zero(span.piece->gradient(begin * cache_line), (end - begin) * cache_line);
    }
    static void mark(const Span& span, std::size_t word, std::uint64_t lines) {
        std::uint64_t& touched = span.block->touched[word];
        span.piece->touched += std::size_t(std::popcount(lines & ~touched));
        touched |= lines;
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
    void forget_lines(Block& block, Piece& piece, std::size_t first, std::size_t last) {
        each_word(first, last, [&](std::size_t word, std::uint64_t mask) {
            piece.touched -= std::size_t(std::popcount(mask & block.touched[word]));
            block.touched[word] &= ~mask;
        });
        if (piece.touched == 0 && piece.gradients)
            idle_[piece.bytes].push_back(std::exchange(piece.gradients, nullptr));
    }
    void grow(std::size_t bytes) {
        bytes = std::max({bytes, this->bytes(), std::size_t(1) << 20});  // at least doubles
        blocks_.push_back(std::make_unique<Block>());
        Block& block = *blocks_.back();
        block.bytes = bytes;
        block.touched.resize((block.lines() + 63) / 64);
        block.values = memory_.allocate(bytes);
        at_ = {blocks_.size() - 1, 0};
    }
    void free_blocks() {
        for (const auto& block : blocks_) memory_.free(block->values);
        blocks_.clear();
    }

    ScratchFill fill_;
    Memory memory_;
    std::vector<std::unique_ptr<Block>> blocks_;
    std::map<std::size_t, std::vector<std::byte*>> idle_;  ///< memory of the twin that nobody has, by its size
    std::size_t gradient_bytes_ = 0;
    Position at_;
};
using TwinArena = BasicTwinArena<HostMemory>;

}  // namespace mia
