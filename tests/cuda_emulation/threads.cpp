/// Threads as fibers, barriers and warp intrinsics as rendezvous.
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>

#include "emulator.hpp"

#ifdef MIA_ASAN
#include <sanitizer/asan_interface.h>
#include <sanitizer/common_interface_defs.h>
#endif

uint3 threadIdx, blockIdx;
dim3 blockDim, gridDim;

namespace cuda_emulation {

namespace context = boost::context;

constinit thread_local Thread* current = nullptr;

Emulator::Emulator() {
    const char* text = std::getenv("MIA_EMULATION_SEED");
    seed = text ? unsigned(std::strtoul(text, nullptr, 10)) : 0u;
    random.seed(seed);
    shared.base = reinterpret_cast<std::uintptr_t>(mia::detail::dynamic_shared);
    shared.shared = true;
}
Emulator& emulator() {
    static Emulator& e = *new Emulator;  // never destroyed: tests may hold device memory in statics
    return e;
}

namespace {
#ifdef MIA_ASAN
const void* scheduler_stack = nullptr;
std::size_t scheduler_stack_size = 0;
#endif

std::string show(uint3 v) {
    return "(" + std::to_string(v.x) + ", " + std::to_string(v.y) + ", " + std::to_string(v.z) + ")";
}

}  // namespace

extern "C" char __executable_start;

/// The kernel's name, from the symbol table.
std::string function_name(const void* function) {
    static std::map<const void*, std::string> known;
    if (const auto at = known.find(function); at != known.end()) return at->second;
    char command[256], line[1024] = "";
    std::snprintf(command, sizeof command, "addr2line -C -f -s -e /proc/%d/exe 0x%zx", int(getpid()),
                  std::size_t(static_cast<const char*>(function) - &__executable_start));
    std::string name;
    if (FILE* pipe = popen(command, "r")) {
        if (std::fgets(line, sizeof line, pipe)) name = line;
        pclose(pipe);
    }
    while (!name.empty() && name.back() == '\n') name.pop_back();
    return known[function] = name;
}

namespace {
std::string where() {
    const Emulator& e = emulator();
    if (!e.launch) return "outside a kernel";
    return function_name(e.launch->kernel) + ", block " + show(blockIdx) +
           (current ? ", thread " + show(current->id) : std::string());
}

// ------------------------------------------------------------------------------------------------ fibers
struct PooledStack {  // 256 KiB, with a guard page below; only touched pages cost memory
    static constexpr std::size_t size = 256 * 1024, guard = 4096;
    Worker* worker;
    context::stack_context allocate() {
        void* memory =
            mmap(nullptr, size + guard, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
        if (memory == MAP_FAILED) throw std::bad_alloc();
        mprotect(memory, guard, PROT_NONE);
        worker->stack = static_cast<char*>(memory) + guard;
        worker->stack_size = size;
        context::stack_context stack;
        stack.size = size;
        stack.sp = worker->stack + size;
        return stack;
    }
    void deallocate(context::stack_context&) noexcept {}
};

void switch_to_scheduler(Worker& worker, [[maybe_unused]] bool for_good = false) {
#ifdef MIA_ASAN
    void* fake = nullptr;
    __sanitizer_start_switch_fiber(for_good ? nullptr : &fake, scheduler_stack, scheduler_stack_size);
#endif
    worker.scheduler = std::move(worker.scheduler).resume();
#ifdef MIA_ASAN
    __sanitizer_finish_switch_fiber(fake, &scheduler_stack, &scheduler_stack_size);
#endif
}

void start(Worker& worker) {
    worker.fiber = context::fiber(std::allocator_arg, PooledStack{&worker}, [&worker](context::fiber&& scheduler) {
#ifdef MIA_ASAN
        __sanitizer_finish_switch_fiber(nullptr, &scheduler_stack, &scheduler_stack_size);
#endif
        worker.scheduler = std::move(scheduler);
        for (;;) {
            emulator().launch->thread();
            worker.thread->state = State::exited;
            switch_to_scheduler(worker);
        }
        return std::move(worker.scheduler);
    });
}

void resume(Thread& thread) {
    Emulator& e = emulator();
    if (thread.state == State::fresh) {
        if (e.idle.empty()) {
            auto* worker = new Worker;
            start(*worker);
            e.workers.push_back(worker);
            e.idle.push_back(worker);
        }
        thread.worker = e.idle.back();
        thread.worker->thread = &thread;
        e.idle.pop_back();
    }
    thread.state = State::ready;
    current = &thread;
    threadIdx = thread.id;
    ++e.statistics.switches;
    Worker& worker = *thread.worker;
#ifdef MIA_ASAN
    void* fake = nullptr;
    __sanitizer_start_switch_fiber(&fake, worker.stack, worker.stack_size);
#endif
    worker.fiber = std::move(worker.fiber).resume();
#ifdef MIA_ASAN
    __sanitizer_finish_switch_fiber(fake, nullptr, nullptr);
#endif
    current = nullptr;
    if (thread.state == State::exited) {
        e.idle.push_back(thread.worker);
        thread.worker = nullptr;
    }
}

void park(State state) {
    Thread& thread = *current;
    thread.state = state;
    switch_to_scheduler(*thread.worker);
}

// ------------------------------------------------------------------------------------------------ barriers
/// Who waits where, for errors.
std::string waiting_threads() {
    std::map<std::string, std::vector<unsigned>> groups;
    for (const Thread& t : emulator().threads) {
        char mask[16];
        std::snprintf(mask, sizeof mask, "0x%08x", t.mask);
        groups[t.state == State::exited ? "returned"
               : t.state == State::at_barrier
                   ? "wait at __syncthreads, " + show(t.site)
                   : "wait at a warp intrinsic with mask " + std::string(mask) + ", " + show(t.site)]
            .push_back(t.index);
    }
    std::string text;
    for (const auto& [what, who] : groups)
        text += "\n  " + std::to_string(who.size()) + " threads (" + std::to_string(who.front()) + " to " +
                std::to_string(who.back()) + ") " + what;
    return text;
}

void release_barrier() {
    Emulator& e = emulator();
    const Thread& first = e.threads.front();
    int count = 0;
    for (const Thread& t : e.threads) {
        if (t.site.line != first.site.line || std::strcmp(t.site.file, first.site.file) != 0)
            fail("threads wait at different barriers" + waiting_threads());
        count += t.payload != 0;
    }
    const int all = int(e.threads.size());
    for (Thread& t : e.threads) {
        t.result = std::uint64_t(t.barrier == BarrierResult::all   ? count == all
                                 : t.barrier == BarrierResult::any ? count > 0
                                                                   : count);
        t.state = State::ready;
        t.segment = 0;
        e.next.push_back(t.index);
    }
    for (auto& warp : e.seen)
        for (auto& lane : warp) lane.fill(0);
    ++e.era;
}

void run_block() {
    Emulator& e = emulator();
    const dim3 size = e.launch->block;
    e.block_era = ++e.era;
    e.seen.assign((size.x * size.y * size.z + 31) / 32, {});
    std::memset(mia::detail::dynamic_shared, 0xff, e.launch->shared_bytes);  // NaN, so that nothing works by luck
    unsigned index = 0;
    e.runnable.clear();
    e.next.clear();  // an error may have left some
    for (unsigned z = 0; z < size.z; ++z)
        for (unsigned y = 0; y < size.y; ++y)
            for (unsigned x = 0; x < size.x; ++x, ++index) {
                e.threads[index] = {};
                e.threads[index].index = index;
                e.threads[index].id = {x, y, z};
                e.runnable.push_back(index);
            }
    const auto all_are = [&](State state) {
        return std::all_of(e.threads.begin(), e.threads.end(), [=](const Thread& t) { return t.state == state; });
    };
    for (;;) {
        e.order(e.runnable);
        for (const unsigned i : e.runnable) {
            resume(e.threads[i]);
            if (!e.error.empty()) return;
        }
        e.runnable.swap(e.next);
        e.next.clear();
        if (!e.runnable.empty()) continue;
        if (all_are(State::exited)) return;
        if (!all_are(State::at_barrier)) fail("not all threads reach the same barrier" + waiting_threads());
        release_barrier();
        e.runnable.swap(e.next);
        e.next.clear();
    }
}

// ------------------------------------------------------------------------------------------------ warps
/// The lane that lane `l` reads in a shuffle.
int source_lane(const Thread& t, WarpOp op, int l) {
    const int begin = l & ~(t.width - 1), end = begin + t.width - 1;
    switch (op) {
        case WarpOp::shfl:
            return begin | (t.parameter & (t.width - 1));
        case WarpOp::shfl_up:
            return l - t.parameter < begin ? l : l - t.parameter;
        case WarpOp::shfl_down:
            return l + t.parameter > end ? l : l + t.parameter;
        case WarpOp::shfl_xor:
            return (l ^ t.parameter) > end ? l : l ^ t.parameter;
        default:
            return l;
    }
}

/// __syncwarp, the only warp intrinsic that orders memory.
void join_segments(unsigned first, unsigned lanes, unsigned mask) {
    Emulator& e = emulator();
    auto& seen = e.seen[first / 32];
    std::array<std::uint16_t, 32> joined{};
    for (unsigned l = 0; l < lanes; ++l)
        if (mask >> l & 1) {
            for (unsigned k = 0; k < 32; ++k) joined[k] = std::max(joined[k], seen[l][k]);
            joined[l] = std::max<std::uint16_t>(joined[l], ++e.threads[first + l].segment);
        }
    for (unsigned l = 0; l < lanes; ++l)
        if (mask >> l & 1) seen[l] = joined;
}
}  // namespace

[[noreturn]] void fail(const std::string& text) {
    Emulator& e = emulator();
    e.error = where() + ": " + text;
    if (!current) throw Error(std::exchange(e.error, {}));
    // The fiber is left where it is, never unwound: instrumented code has no landing pads around memory accesses.
    switch_to_scheduler(*current->worker, true);
    std::abort();
}

void run(const Launch& launch) {
    Emulator& e = emulator();
    e.launch = &launch;
    e.launch_era = ++e.era;
    gridDim = launch.grid;
    blockDim = launch.block;
    ++e.statistics.launches;
    const std::size_t count = std::size_t(launch.grid.x) * launch.grid.y * launch.grid.z;
    e.threads.assign(launch.block.x * launch.block.y * launch.block.z, {});
    e.shared.size = launch.shared_bytes;
    if (e.checks_memory && (e.shared.cells.empty() || e.shared.granule == 1)) {
        e.shared.granule = 4;
        e.shared.cells.assign(max_shared_bytes / 4, {});
    }
#ifdef MIA_ASAN
    __asan_unpoison_memory_region(mia::detail::dynamic_shared, shared_room);
    __asan_poison_memory_region(mia::detail::dynamic_shared + launch.shared_bytes, shared_room - launch.shared_bytes);
#endif
    std::vector<std::uint32_t> blocks(count);
    for (std::size_t i = 0; i < count; ++i) blocks[i] = std::uint32_t(i);
    e.order(blocks);
    for (const std::uint32_t b : blocks) {
        blockIdx = {b % launch.grid.x, b / launch.grid.x % launch.grid.y, b / launch.grid.x / launch.grid.y};
        ++e.statistics.blocks;
        e.statistics.threads += e.threads.size();
        try {
            run_block();
        } catch (const Error& error) {
            e.error = error.what();
        }
        if (!e.error.empty()) {
            e.threads.clear();  // their fibers stay suspended for ever, on purpose
            e.launch = nullptr;
            current = nullptr;
            throw Error(std::exchange(e.error, {}));
        }
    }
    ++e.era;
    e.launch_era = e.block_era = e.era;
    e.launch = nullptr;
}

Checking::Checking() { current->checking = true; }
Checking::~Checking() { current->checking = false; }

int block_barrier(int predicate, BarrierResult result, Site site) {
    const Inside inside;
    Thread& t = *current;
    t.site = site;
    t.payload = predicate != 0;
    t.barrier = result;
    park(State::at_barrier);
    return int(t.result);
}

std::uint64_t warp_exchange(WarpOp op, unsigned mask, std::uint64_t payload, int parameter, int width, Site site) {
    const Inside inside;
    Emulator& e = emulator();
    Thread& me = *current;
    const unsigned lane = me.index % 32, first = me.index - lane;
    const auto lanes = unsigned(std::min<std::size_t>(32, e.threads.size() - first));
    me.op = op;
    me.mask = mask;
    me.payload = payload;
    me.parameter = parameter;
    me.width = width;
    me.site = site;
    const auto at = ", " + show(site);
    if (!(mask >> lane & 1)) fail("the calling lane " + std::to_string(lane) + " is not in its own mask" + at);
    if (width < 1 || width > 32 || (width & (width - 1))) fail("shuffle width must be 1, 2, 4, 8, 16 or 32" + at);
    bool complete = true;
    for (unsigned l = 0; l < 32; ++l) {
        if (l == lane || !(mask >> l & 1)) continue;
        if (l >= lanes)
            fail("the mask names lane " + std::to_string(l) + ", but this warp has " + std::to_string(lanes) +
                 " lanes" + at);
        const Thread& other = e.threads[first + l];
        if (other.state == State::exited)
            fail("the mask names lane " + std::to_string(l) + ", which has returned" + at);
        if (other.state != State::at_warp)
            complete = false;
        else if (other.mask != mask || other.op != op || other.site.line != site.line)
            fail("lanes of one mask are at different warp intrinsics: lane " + std::to_string(lane) + " at " +
                 show(site) + ", lane " + std::to_string(l) + " at " + show(other.site));
    }
    if (!complete) {
        park(State::at_warp);
        return me.result;
    }
    // The last lane to arrive computes the results of all, so that no payload is read after its owner went on.
    unsigned ballot = 0;
    for (unsigned l = 0; l < lanes; ++l)
        if (mask >> l & 1) ballot |= unsigned(e.threads[first + l].payload & 1) << l;
    for (unsigned l = 0; l < lanes; ++l) {
        if (!(mask >> l & 1)) continue;
        Thread& t = e.threads[first + l];
        const int source = source_lane(t, op, int(l));
        if (!(mask >> source & 1))
            fail("lane " + std::to_string(l) + " shuffles from lane " + std::to_string(source) +
                 ", which is not in the mask" + at);
        t.result = op == WarpOp::ballot ? ballot
                   : op == WarpOp::all  ? ballot == mask
                   : op == WarpOp::any  ? ballot != 0
                                        : e.threads[first + unsigned(source)].payload;
    }
    if (op == WarpOp::syncwarp) join_segments(first, lanes, mask);
    for (unsigned l = 0; l < lanes; ++l)
        if (l != lane && (mask >> l & 1)) {
            e.threads[first + l].state = State::ready;
            e.next.push_back(first + l);
        }
    return me.result;
}

// ------------------------------------------------------------------------------------------------ cp.async
void pipeline_copy(void* to, const void* from, std::size_t bytes, std::size_t zero_fill) {
    const Inside inside;
    if (bytes != 4 && bytes != 8 && bytes != 16) fail("__pipeline_memcpy_async copies 4, 8 or 16 bytes");
    if (std::uintptr_t(to) % bytes || std::uintptr_t(from) % bytes) fail("misaligned __pipeline_memcpy_async");
    if (zero_fill > bytes) fail("__pipeline_memcpy_async fills more zeros than it copies bytes");
    Thread& t = *current;
    t.copies.push_back({to, from, bytes, zero_fill, t.batch});
}
void pipeline_commit() { ++current->batch; }
void pipeline_wait(std::size_t batches_left) {
    const void* pc = __builtin_return_address(0);
    Thread& t = *current;
    const bool was = std::exchange(t.checking, false);
    for (const Thread::Copy& c : t.copies) {
        if (c.batch + batches_left >= t.batch) continue;
        const std::size_t bytes = c.bytes - c.zero_fill;
        if (bytes > 0) access(std::uintptr_t(c.from), bytes, 'r', pc, false);
        access(std::uintptr_t(c.to), c.bytes, 'w', pc);
        if (bytes > 0) std::memcpy(c.to, c.from, bytes);  // zeros alone come from nowhere
        std::memset(static_cast<char*>(c.to) + bytes, 0, c.zero_fill);
    }
    std::erase_if(t.copies, [&](const Thread::Copy& c) { return c.batch + batches_left < t.batch; });
    t.checking = was;
}

void set_schedule_seed(unsigned seed) {
    emulator().seed = seed;
    emulator().random.seed(seed);
}
Statistics statistics() { return emulator().statistics; }
bool checks_memory() { return emulator().checks_memory; }

}  // namespace cuda_emulation
