// Counts every operator new of the program: to be included in one of its files, by a test that looks at the difference
// between two moments.
#pragma once
#include <atomic>
#include <cstddef>
#include <cstdlib>
#include <new>

namespace {
std::atomic<long> allocations = 0;

void* allocate(std::size_t bytes, std::size_t alignment) {
    ++allocations;
    void* p = std::aligned_alloc(alignment, (bytes + alignment - 1) / alignment * alignment + (bytes == 0) * alignment);
    if (!p) throw std::bad_alloc();
    return p;
}
}  // namespace

// Not inline: GCC would see free() meet operator new, and warn.
[[gnu::noinline]] void* operator new(std::size_t bytes) { return allocate(bytes, alignof(std::max_align_t)); }
[[gnu::noinline]] void* operator new(std::size_t bytes, std::align_val_t alignment) {
    return allocate(bytes, std::size_t(alignment));
}
[[gnu::noinline]] void operator delete(void* p) noexcept { std::free(p); }
[[gnu::noinline]] void operator delete(void* p, std::size_t) noexcept { std::free(p); }
[[gnu::noinline]] void operator delete(void* p, std::align_val_t) noexcept { std::free(p); }
[[gnu::noinline]] void operator delete(void* p, std::size_t, std::align_val_t) noexcept { std::free(p); }
