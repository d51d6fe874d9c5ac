#pragma once
/// What the emulator's parts share: memory.cpp (shadow memory), threads.cpp (fibers, barriers, warps), runtime.cpp
/// (streams and the calls of the runtime). None of it is compiled with -fsanitize=thread: what such code calls,
/// `__tsan_read4` and so on, is defined in memory.cpp.
#include <array>
#include <boost/context/fiber.hpp>
#include <map>
#include <memory>
#include <random>
#include <vector>

#include "cuda_pipeline.h"
#include "cuda_runtime.h"
#include "support/sanitizer.hpp"

namespace cuda_emulation {

constexpr std::size_t max_shared_bytes = 227 * 1024;  // of any chip
constexpr std::size_t shared_room = max_shared_bytes + 4096;

/// The smallest of all chips from sm_80 on, so that kernels run on all.
struct Limits {
    std::size_t shared_default = 48 * 1024, shared_optin = 99 * 1024;
    unsigned threads = 1024;
};
inline constexpr Limits limits;

// ------------------------------------------------------------------------------------------------ shadow memory
/// Who touched a word last. Ordered by `era`, a number that grows with every block and every barrier of the process:
/// era < launch's first: an earlier launch or the host; era < block's first: another block of this launch.
struct Stamp {
    std::uint32_t era = 0;  // 0: never
    std::uint16_t thread = 0;
    std::uint16_t segment = 0;  // __syncwarp calls of that thread in this era
    std::uint32_t pc = 0;       // offset in the executable
};
/// Last write, last atomic, and two reads by different, unordered threads: a later write conflicts with one of them.
struct Cell {
    Stamp write, atomic, read[2];
    bool is_written() const { return write.era != 0 || atomic.era != 0; }
};

struct Region {
    std::uintptr_t base = 0;
    std::size_t size = 0;
    std::size_t granule = 4;  // bytes per cell; becomes 1 at the first smaller access
    bool shared = false;
    std::vector<Cell> cells;

    /// Cells for an access at `offset`, which may need smaller ones.
    void refine_for(std::size_t offset, std::size_t bytes);
    bool contains(std::uintptr_t address) const { return address - base < size; }
};

void* get_device_memory(std::size_t bytes);  // nullptr: none left; not yet allocated for kernels
void add_region(void* memory, std::size_t bytes);
void remove_region(void* memory);  // and its memory
Region* find(std::uintptr_t address);
bool is_device_space(std::uintptr_t address);  // allocated, freed or never used
void mark_written(const void* address, std::size_t bytes);
void require_written(const void* address, std::size_t bytes, const char* who);
/// An access by the running thread, with the address that the call returns to.
void access(std::uintptr_t address, std::size_t size, char kind, const void* pc, bool aligned = true);

// ------------------------------------------------------------------------------------------------ threads
enum class State : std::uint8_t { fresh, ready, at_barrier, at_warp, exited };

struct Thread;
struct Worker {  // a fiber and its stack, reused from thread to thread
    boost::context::fiber fiber, scheduler;
    char* stack = nullptr;  // lowest address
    std::size_t stack_size = 0;
    Thread* thread = nullptr;
    bool owns(std::uintptr_t address) const { return address - reinterpret_cast<std::uintptr_t>(stack) < stack_size; }
};

struct Thread {
    State state = State::fresh;
    unsigned index = 0;
    uint3 id{};
    Worker* worker = nullptr;
    bool checking = false;
    std::uint16_t segment = 0;
    WarpOp op{};  // what it waits for
    unsigned mask = 0;
    int parameter = 0, width = 32;
    BarrierResult barrier{};
    std::uint64_t payload = 0, result = 0;
    Site site{};
    struct Copy {
        void* to;
        const void* from;
        std::size_t bytes, zero_fill, batch;
    };
    std::vector<Copy> copies;  // asynchronous, not yet waited for
    std::size_t batch = 0;
};

/// The thread whose kernel code runs; of the emulator's own OS thread alone, so that other threads of a program (a Cpu
/// backend's) are never taken for it.
extern constinit thread_local Thread* current;

/// Every way from a kernel into the emulator begins with this. The linker may pick the instrumented copy of an inline
/// function that both use, std::string's or std::vector's, and its accesses must not come back here.
class Inside {
public:
    Inside() : thread_(current), was_(thread_ && thread_->checking) {
        if (thread_) thread_->checking = false;
    }
    ~Inside() {
        if (thread_) thread_->checking = was_;
    }
    Inside(const Inside&) = delete;
    Inside& operator=(const Inside&) = delete;

private:
    Thread* thread_;
    bool was_;
};

// ------------------------------------------------------------------------------------------------ all of it
struct Emulator {
    unsigned seed;
    std::mt19937 random;
    Statistics statistics{};
    bool checks_memory = false;

    std::map<std::uintptr_t, std::unique_ptr<Region>> regions;
    std::array<Region*, 4> recent{};
    Region shared;
    std::uint32_t era = 1, launch_era = 1, block_era = 1;

    std::vector<Thread> threads;
    std::vector<std::array<std::array<std::uint16_t, 32>, 32>> seen;  // per warp: segments ordered before lane i
    std::vector<unsigned> runnable, next;
    const Launch* launch = nullptr;
    std::string error;
    std::vector<Worker*> workers, idle;

    std::map<const void*, std::size_t> opted_in;
    struct Sizes {
        std::size_t threads = 0, shared_bytes = 0;
    };
    std::map<const void*, Sizes> largest_launches;  // of each kernel, each size by itself
    std::vector<CUstream_st*> streams;
    std::string host_error, lost_errors;  // of the host's own accesses; of calls that must not throw

    /// Host memory that a copy not yet done will write (its contents are not there yet) or read.
    struct InFlight {
        std::uintptr_t base;
        std::size_t size;
        bool will_be_written;
        std::uint64_t number;
    };
    std::vector<InFlight> in_flight;
    std::uint64_t copies = 0;
    bool in_library = false;

    Emulator();
    template <class T>
    void order(std::vector<T>& items) {
        if (seed == 1) std::reverse(items.begin(), items.end());
        if (seed > 1) std::shuffle(items.begin(), items.end(), random);
    }
};

Emulator& emulator();

/// Ends the running thread, and with it the launch, or throws outside a kernel.
[[noreturn]] void fail(const std::string& text);
std::string source_line(std::uintptr_t pc);  // "layer_norm_cuda.cuh:40"
std::string show(Site);
std::string function_name(const void* function);

}  // namespace cuda_emulation

namespace mia::detail {
extern unsigned char dynamic_shared[cuda_emulation::shared_room];
}
