/// Shadow memory: every load and store of a kernel is looked up here.
#include <dlfcn.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>

#include "emulator.hpp"

// The one `extern __shared__` array of the library (mia/core/cuda.cuh). One block runs at a time, so one is enough.
namespace mia::detail {
alignas(1024) unsigned char dynamic_shared[cuda_emulation::shared_room];
}

namespace cuda_emulation {
namespace {

std::uintptr_t number(const void* p) { return reinterpret_cast<std::uintptr_t>(p); }

// ------------------------------------------------------------------------------------------------ device memory
// Its addresses are never used twice, so that freed memory is known as such for ever.
constexpr std::size_t space_bytes = std::size_t(1) << 38, space_gap = 512;
struct Space {
    std::uintptr_t base = 0, end = 0;
    Space() {
        void* p =
            mmap(nullptr, space_bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
        if (p == MAP_FAILED) std::perror("device memory of the emulator"), std::abort();
        base = end = number(p);
    }
};
Space& space() {
    static Space s;
    return s;
}

// ------------------------------------------------------------------------------------------------ source lines
const std::uintptr_t image_base = [] {
    Dl_info info{};
    dladdr(reinterpret_cast<void*>(&emulator), &info);
    return number(info.dli_fbase);
}();

extern "C" char __executable_start, _end;
bool is_in_image(std::uintptr_t address) {
    return address - number(&__executable_start) < std::size_t(&_end - &__executable_start);
}

const char* verb(char kind) { return kind == 'r' ? "read" : kind == 'w' ? "write" : "atomic"; }

// ------------------------------------------------------------------------------------------------ order
/// Did the access `earlier` happen before what `now` does?
bool ordered(const Stamp& earlier, const Thread& now) {
    const Emulator& e = emulator();
    if (earlier.era < e.launch_era) return true;                          // an earlier launch, or the host
    if (earlier.era < e.block_era) return false;                          // another block of this launch
    if (earlier.era < e.era || earlier.thread == now.index) return true;  // before the last barrier, or itself
    if (earlier.thread / 32 != now.index / 32) return false;
    return earlier.segment < e.seen[now.index / 32][now.index % 32][earlier.thread % 32];
}

std::string describe(const Stamp& s, const char* what) {
    const std::string who =
        s.era < emulator().block_era ? "a thread of another block" : "thread " + std::to_string(s.thread);
    return who + " " + what + " it at " + source_line(image_base + s.pc);
}

// ------------------------------------------------------------------------------------------------ errors
[[noreturn]] [[gnu::cold]] void fail_outside(std::uintptr_t address, std::size_t size, char kind,
                                             const std::string& line) {
    Emulator& e = emulator();
    const std::string text = std::string(verb(kind)) + " of " + std::to_string(size) + " bytes at " + line + ": ";
    for (const Worker* w : e.workers)
        if (w->owns(address)) fail(text + "local memory of another thread, which only that thread can reach");
    const Region* nearest = nullptr;
    std::ptrdiff_t distance = space_gap;
    for (const auto& [base, r] : e.regions) {
        const auto before = std::ptrdiff_t(r->base - address), after = std::ptrdiff_t(address - (r->base + r->size));
        const auto d = before > 0 ? before : after;
        if (d >= 0 && d < distance) distance = d, nearest = r.get();
    }
    if (nearest)
        fail(text + "outside device memory, " + std::to_string(distance) + " bytes " +
             (address < nearest->base ? "before" : "after") + " an allocation of " + std::to_string(nearest->size) +
             " bytes");
    if (address == 0 || address < 4096) fail(text + "a null pointer");
    fail(text + (is_device_space(address) ? "device memory that was freed, or not yet allocated in this stream's order"
                                          : "not device memory but a pointer of the host"));
}

/// The host's own loads and stores: device memory is out of its reach, and so is what a copy under way will write.
[[gnu::cold]] void host_access(std::uintptr_t address, std::size_t size, char kind, const void* pc) {
    Emulator& e = emulator();
    const auto note = [&](const std::string& what) {
        if (e.host_error.empty())
            e.host_error = "the host's " + std::string(verb(kind)) + " at " + source_line(number(pc) - 1) + ": " + what;
    };
    if (is_device_space(address)) return note("device memory, which only kernels and copies can reach");
    for (const auto& copy : e.in_flight)
        if (address - copy.base < copy.size || copy.base - address < size) {
            if (copy.will_be_written) return note("the target of a copy that may not have arrived; synchronize first");
            if (kind == 'w') return note("the source of a copy that may not have been read; synchronize first");
        }
}

/// One cell of an access.
void touch(Region& r, std::size_t i, char kind, const Thread& t, const Stamp& now, const void* pc) {
    const Emulator& e = emulator();
    Cell& c = r.cells[i];
    if (kind == 'r' && c.read[0].era == now.era && c.read[0].thread == now.thread && c.read[0].segment == now.segment)
        return;                                                                 // read before, and nobody wrote since
    if (r.shared && std::max(c.write.era, c.atomic.era) < e.block_era) c = {};  // afresh in every block
    const char* const memory = r.shared ? "shared" : "device";
    const auto must_be_ordered = [&](const Stamp& s, const char* what) {
        if (s.era == 0 || ordered(s, t)) return;
        fail(std::string("race on ") + memory + " memory, byte " + std::to_string(i * r.granule) + ": " + verb(kind) +
             " at " + source_line(number(pc) - 1) + ", but " + describe(s, what) + ", with nothing that orders them");
    };
    if (kind != 'w' && !c.is_written())
        fail(std::string(verb(kind)) + " of uninitialised " + memory + " memory at " + source_line(number(pc) - 1) +
             ", byte " + std::to_string(i * r.granule));
    must_be_ordered(c.write, "wrote");
    if (kind != 'a') must_be_ordered(c.atomic, "changed (atomically)");
    if (kind != 'r')
        for (const Stamp& s : c.read) must_be_ordered(s, "read");
    if (kind == 'w')
        c.write = now;
    else if (kind == 'a')
        c.atomic = now;
    else if (c.read[0].era == 0 || ordered(c.read[0], t))
        c.read[0] = now;
    else if (c.read[1].era == 0 || ordered(c.read[1], t))
        c.read[1] = now;
}
}  // namespace

std::string source_line(std::uintptr_t pc) {
    static std::map<std::uintptr_t, std::string> known;
    if (const auto at = known.find(pc); at != known.end()) return at->second;
    char command[256], line[1024] = "";
    std::snprintf(command, sizeof command, "addr2line -C -s -e /proc/%d/exe 0x%zx", int(getpid()),
                  std::size_t(pc - image_base));
    std::string place;
    if (FILE* pipe = popen(command, "r")) {
        if (std::fgets(line, sizeof line, pipe)) place = line;
        pclose(pipe);
    }
    if (const auto extra = place.find(" (disc"); extra != std::string::npos) place.resize(extra);
    while (!place.empty() && (place.back() == '\n' || place.back() == ' ')) place.pop_back();
    return known[pc] = place;
}

std::string show(Site site) {
    const char* slash = std::strrchr(site.file, '/');
    return std::string(slash ? slash + 1 : site.file) + ":" + std::to_string(site.line);
}

void Region::refine_for(std::size_t offset, std::size_t bytes) {
    if ((bytes % 4 == 0 && offset % 4 == 0) || granule == 1) return;
    std::vector<Cell> fine(cells.size() * granule);
    for (std::size_t i = 0; i < fine.size(); ++i) fine[i] = cells[i / granule];
    cells = std::move(fine);
    granule = 1;
}

// With AddressSanitizer the heap, whose red zone begins at the last byte.
void* get_device_memory(std::size_t bytes) {
#ifdef MIA_ASAN
    void* memory = nullptr;
    if (posix_memalign(&memory, 256, bytes)) return nullptr;
#else
    Space& s = space();
    const std::size_t room = (bytes + space_gap + 255) / 256 * 256;
    if (s.end + room > s.base + space_bytes) return nullptr;
    void* memory = reinterpret_cast<void*>(s.end);
    s.end += room;
#endif
    std::memset(memory, 0xff, bytes);  // NaN, so that nothing works by luck
    return memory;
}
void add_region(void* memory, std::size_t bytes) {
    Emulator& e = emulator();
    auto r = std::make_unique<Region>();
    r->base = number(memory);
    r->size = bytes;
    if (e.checks_memory) r->cells.resize((bytes + 3) / 4);
    e.regions[r->base] = std::move(r);
}
void remove_region(void* memory) {
    Emulator& e = emulator();
    const auto at = e.regions.find(number(memory));
    if (at == e.regions.end()) {
        const Region* inside = find(number(memory));
        throw Error("cudaFree of a pointer that no allocation returned" +
                    (inside ? ", byte " + std::to_string(number(memory) - inside->base) + " of one of " +
                                  std::to_string(inside->size) + " bytes"
                            : std::string(is_device_space(number(memory)) ? ": freed before" : "")));
    }
    e.recent = {};
#ifdef MIA_ASAN
    std::free(memory);
#else
    const std::uintptr_t page = 4096, first = (number(memory) + page - 1) / page * page,
                         last = (number(memory) + at->second->size) / page * page;
    if (first < last) madvise(reinterpret_cast<void*>(first), last - first, MADV_DONTNEED);
#endif
    e.regions.erase(at);
}
bool is_device_space(std::uintptr_t address) {
#ifdef MIA_ASAN
    return find(address) != nullptr;
#else
    return address - space().base < space_bytes;
#endif
}

Region* find(std::uintptr_t address) {
    Emulator& e = emulator();
    if (address - e.shared.base < shared_room) return &e.shared;
    for (Region* r : e.recent)
        if (r && r->contains(address)) return r;
    auto above = e.regions.upper_bound(address);
    if (above == e.regions.begin()) return nullptr;
    Region* r = std::prev(above)->second.get();
    if (!r->contains(address)) return nullptr;
    std::rotate(e.recent.begin(), e.recent.end() - 1, e.recent.end());
    return e.recent[0] = r;
}

void access(std::uintptr_t address, std::size_t size, char kind, const void* pc, bool aligned) {
    Emulator& e = emulator();
    Thread& t = *current;
    if (t.worker->owns(address)) return;
    if (kind == 'r' && is_in_image(address) && address - e.shared.base >= shared_room) return;  // threadIdx, constants
    const Inside inside;
    ++e.statistics.accesses;
    const auto line = [&] { return source_line(number(pc) - 1); };
    Region* r = find(address);
    if (!r) fail_outside(address, size, kind, line());
    const std::size_t offset = address - r->base;
    if (offset + size > r->size)
        fail(std::string(verb(kind)) + " of " + std::to_string(size) + " bytes at " + line() + ": at byte " +
             std::to_string(offset) + " of " + (r->shared ? "shared memory" : "an allocation") + " of " +
             std::to_string(r->size) + " bytes");
    if (aligned && address % size != 0)
        fail("misaligned " + std::string(verb(kind)) + " of " + std::to_string(size) + " bytes at " + line());
    if (!e.checks_memory) return;  // an atomic in the AddressSanitizer build
    r->refine_for(offset, size);
    const Stamp now{e.era, std::uint16_t(t.index), t.segment, std::uint32_t(number(pc) - 1 - image_base)};
    const std::size_t last = (offset + size - 1) / r->granule;
    for (std::size_t i = offset / r->granule; i <= last; ++i) touch(*r, i, kind, t, now, pc);
}

void mark_written(const void* address, std::size_t bytes) {
    Emulator& e = emulator();
    Region* r = find(number(address));
    if (!r || !e.checks_memory) return;
    const std::size_t offset = number(address) - r->base;
    r->refine_for(offset, bytes);
    for (std::size_t i = offset / r->granule; i * r->granule < offset + bytes; ++i)
        r->cells[i] = Cell{.write = {.era = e.era}, .atomic = {}, .read = {}};
}

void require_written(const void* address, std::size_t bytes, const char* who) {
    const Region* r = find(number(address));
    if (!r || !emulator().checks_memory) return;
    const std::size_t offset = number(address) - r->base;
    for (std::size_t i = offset / r->granule; i * r->granule < offset + bytes; ++i)
        if (!r->cells[i].is_written())
            throw Error(std::string(who) + " reads device memory that was never written, byte " +
                        std::to_string(i * r->granule - offset) + " of " + std::to_string(bytes));
}

void library_access(const void* address, std::size_t size, char kind) {
    const Region* r = find(number(address));
    if (!r || number(address) - r->base + size > r->size)
        throw Error("a device-wide operation leaves its device memory");
    if (kind == 'r') require_written(address, size, "a device-wide operation");
    if (kind == 'w') mark_written(address, size);
}

namespace {
thread_local const bool is_host_thread = getpid() == gettid();

/// What instrumented code calls.
inline void hook(const volatile void* a, std::size_t size, char kind, const void* pc, bool aligned) {
    const auto address = std::uintptr_t(a);
    if (current) {
        if (current->checking) access(address, size, kind, pc, aligned);
    } else if (address - space().base < space_bytes || !emulator().in_flight.empty()) {
        if (is_host_thread && !emulator().in_library) host_access(address, size, kind, pc);
    }
}
}  // namespace
}  // namespace cuda_emulation

// ------------------------------------------------------------------------------------------------ -fsanitize=thread
#define MIA_RETURN_ADDRESS __builtin_return_address(0)
extern "C" {
void __tsan_init() { cuda_emulation::emulator().checks_memory = true; }
void __tsan_func_entry(void*) {}
void __tsan_func_exit() {}
#define MIA_HOOK(n)                                                                                        \
    void __tsan_read##n(void* a) { cuda_emulation::hook(a, n, 'r', MIA_RETURN_ADDRESS, true); }            \
    void __tsan_write##n(void* a) { cuda_emulation::hook(a, n, 'w', MIA_RETURN_ADDRESS, true); }           \
    void __tsan_unaligned_read##n(void* a) { cuda_emulation::hook(a, n, 'r', MIA_RETURN_ADDRESS, true); }  \
    void __tsan_unaligned_write##n(void* a) { cuda_emulation::hook(a, n, 'w', MIA_RETURN_ADDRESS, true); } \
    void __tsan_read##n##_pc(void* a, void* pc) { cuda_emulation::hook(a, n, 'r', pc, true); }             \
    void __tsan_write##n##_pc(void* a, void* pc) { cuda_emulation::hook(a, n, 'w', pc, true); }
MIA_HOOK(1)
MIA_HOOK(2)
MIA_HOOK(4)
MIA_HOOK(8)
MIA_HOOK(16)
void __tsan_read_range(void* a, std::size_t n) { cuda_emulation::hook(a, n, 'r', MIA_RETURN_ADDRESS, false); }
void __tsan_write_range(void* a, std::size_t n) { cuda_emulation::hook(a, n, 'w', MIA_RETURN_ADDRESS, false); }
// std::atomic in the host's own code; kernels use atomicAdd and its kin.
#define MIA_HOST_ATOMIC(bits, T)                                                                                      \
    T __tsan_atomic##bits##_load(const volatile T* a, int) { return __atomic_load_n(a, __ATOMIC_SEQ_CST); }           \
    void __tsan_atomic##bits##_store(volatile T* a, T v, int) { __atomic_store_n(a, v, __ATOMIC_SEQ_CST); }           \
    T __tsan_atomic##bits##_exchange(volatile T* a, T v, int) { return __atomic_exchange_n(a, v, __ATOMIC_SEQ_CST); } \
    T __tsan_atomic##bits##_fetch_add(volatile T* a, T v, int) { return __atomic_fetch_add(a, v, __ATOMIC_SEQ_CST); } \
    T __tsan_atomic##bits##_fetch_sub(volatile T* a, T v, int) { return __atomic_fetch_sub(a, v, __ATOMIC_SEQ_CST); } \
    T __tsan_atomic##bits##_fetch_or(volatile T* a, T v, int) { return __atomic_fetch_or(a, v, __ATOMIC_SEQ_CST); }   \
    T __tsan_atomic##bits##_fetch_and(volatile T* a, T v, int) { return __atomic_fetch_and(a, v, __ATOMIC_SEQ_CST); } \
    int __tsan_atomic##bits##_compare_exchange_strong(volatile T* a, T* c, T v, int, int) {                           \
        return __atomic_compare_exchange_n(a, c, v, false, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST);                       \
    }                                                                                                                 \
    int __tsan_atomic##bits##_compare_exchange_weak(volatile T* a, T* c, T v, int, int) {                             \
        return __atomic_compare_exchange_n(a, c, v, false, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST);                       \
    }
MIA_HOST_ATOMIC(8, std::uint8_t)
MIA_HOST_ATOMIC(16, std::uint16_t)
MIA_HOST_ATOMIC(32, std::uint32_t)
MIA_HOST_ATOMIC(64, std::uint64_t)
void __tsan_atomic_thread_fence(int) { __atomic_thread_fence(__ATOMIC_SEQ_CST); }
void __tsan_vptr_update(void*, void*) {}
void __tsan_vptr_read(void*) {}
}

// ------------------------------------------------------------------------------------------------ atomics
#define MIA_ATOMIC(T, name, expression)                                                      \
    T name(T* address, T value) {                                                            \
        cuda_emulation::access(std::uintptr_t(address), sizeof(T), 'a', MIA_RETURN_ADDRESS); \
        const T old = *address;                                                              \
        *address = expression;                                                               \
        return old;                                                                          \
    }
MIA_ATOMIC(int, atomicAdd, old + value)
MIA_ATOMIC(unsigned, atomicAdd, old + value)
MIA_ATOMIC(unsigned long long, atomicAdd, old + value)
MIA_ATOMIC(float, atomicAdd, old + value)
MIA_ATOMIC(int, atomicMax, std::max(old, value))
MIA_ATOMIC(int, atomicExch, value)
int atomicCAS(int* address, int compare, int value) {
    cuda_emulation::access(std::uintptr_t(address), sizeof(int), 'a', MIA_RETURN_ADDRESS);
    const int old = *address;
    if (old == compare) *address = value;
    return old;
}
