/// The calls of the CUDA runtime. Work waits in its stream until the host waits for it, so that a missing
/// synchronisation shows: the host reads what was there before. Which stream goes first is up to the seed.
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <deque>

#include "emulator.hpp"

using namespace cuda_emulation;

struct CUevent_st {
    std::uint64_t recorded = 0, done = 0;
    std::chrono::steady_clock::time_point time{};
    bool timed = true;
};
struct CUstream_st {
    struct Item {
        std::function<void()> work;
        bool is_memory = false;  // allocates or frees: done even after an error
        CUevent_st* wait = nullptr;
        std::uint64_t count = 0;
    };
    std::deque<Item> items;
};

namespace cuda_emulation {
namespace {
void throw_host_error() {
    if (!emulator().host_error.empty()) throw Error(std::exchange(emulator().host_error, {}));
}

void require_stream(cudaStream_t stream) {
    const auto& all = emulator().streams;
    if (!stream) throw Error("work on the default stream: use the backend's");
    if (std::find(all.begin(), all.end(), stream) == all.end()) throw Error("work on a stream that was destroyed");
}

/// Drops all work, but memory is still allocated and freed.
void drop_work() {
    for (CUstream_st* stream : emulator().streams) {
        auto items = std::exchange(stream->items, {});
        for (auto& item : items)
            if (item.is_memory) item.work();
    }
    emulator().in_flight.clear();
}

bool step(CUstream_st& s) {  // runs the first item if it may
    if (s.items.empty()) return false;
    const auto& head = s.items.front();
    if (head.wait && head.wait->done < head.count) return false;
    auto item = std::move(s.items.front());
    s.items.pop_front();
    try {
        if (item.work) item.work();
    } catch (...) {
        drop_work();
        throw;
    }
    return true;
}
template <class Done>
void drain(Done done) {
    Emulator& e = emulator();
    ++e.statistics.synchronisations;
    while (!done()) {
        auto order = e.streams;
        e.order(order);
        if (std::none_of(order.begin(), order.end(), [](CUstream_st* s) { return step(*s); })) {
            drop_work();
            throw Error("streams wait for events that nobody records");
        }
    }
    throw_host_error();
}

void enqueue_memory(cudaStream_t stream, std::function<void()> work) {
    require_stream(stream);
    stream->items.push_back({std::move(work), true});
}

std::string bytes_text(std::size_t bytes) { return std::to_string(bytes) + " bytes"; }

/// The side of a copy that must be device memory, or must not.
void check_copy(const void* p, std::size_t bytes, bool device, const char* side) {
    const auto address = reinterpret_cast<std::uintptr_t>(p);
    const Region* r = find(address);
    if (!device) {
        if (is_device_space(address))
            throw Error(std::string("cudaMemcpyAsync: ") + side + " is device memory, the call names it host memory");
        return;
    }
    if (!r && is_device_space(address))
        throw Error(std::string("cudaMemcpyAsync: ") + side + " is not allocated: freed, or not yet");
    if (!r) throw Error(std::string("cudaMemcpyAsync: ") + side + " is host memory, the call names it device memory");
    if (address + bytes > r->base + r->size)
        throw Error("cudaMemcpyAsync: " + bytes_text(bytes) + " at byte " + std::to_string(address - r->base) +
                    " leave a device allocation of " + bytes_text(r->size));
}

std::size_t free_memory() {
    std::size_t taken = 0;
    for (const auto& [base, region] : emulator().regions) taken += region->size;
    return machine().memory - std::min(machine().memory, taken);
}

/// An error in a call that destructors make.
void lose(const char* call, const Error& error) {
    emulator().lost_errors += std::string(call) + ": " + error.what() + "\n";
}
}  // namespace

void enqueue(cudaStream_t stream, std::function<void()> work) {
    require_stream(stream);
    stream->items.push_back({std::move(work)});
}

void enqueue_library(cudaStream_t stream, std::function<void()> work) {
    enqueue(stream, [work = std::move(work)] {
        struct InLibrary {
            InLibrary() { emulator().in_library = true; }
            ~InLibrary() { emulator().in_library = false; }
        } in_library;
        work();
    });
}

std::string leftovers() {
    Emulator& e = emulator();
    std::string text = std::exchange(e.lost_errors, {}) + std::exchange(e.host_error, {});
    for (const CUstream_st* stream : e.streams)
        if (!stream->items.empty())
            text += std::to_string(stream->items.size()) + " enqueued calls were never waited for\n";
    for (const auto& [base, region] : e.regions)
        text += "device memory of " + bytes_text(region->size) + " was never freed\n";
    return text;
}

cudaError_t check_configuration(const cudaLaunchConfig_t& c, const void* kernel) {
    Emulator& e = emulator();
    const auto threads = std::size_t(c.blockDim.x) * c.blockDim.y * c.blockDim.z;
    if (threads == 0 || threads > limits.threads || c.blockDim.z > 64) return cudaErrorInvalidConfiguration;
    if (c.gridDim.x == 0 || c.gridDim.y == 0 || c.gridDim.z == 0 || c.gridDim.x > 0x7fffffffu || c.gridDim.y > 65535 ||
        c.gridDim.z > 65535)
        return cudaErrorInvalidConfiguration;
    const auto opted = e.opted_in.find(kernel);
    const std::size_t most = opted == e.opted_in.end() ? limits.shared_default : opted->second;
    if (c.dynamicSmemBytes > most) return cudaErrorInvalidValue;
    Emulator::Sizes& sizes = e.largest_launches[kernel];
    sizes = {std::max(sizes.threads, threads), std::max(sizes.shared_bytes, c.dynamicSmemBytes)};
    return cudaSuccess;
}

Machine& machine() {
    static Machine machine{.memory = [] {
        const char* bytes = std::getenv("MIA_EMULATION_MEMORY");
        return bytes ? std::size_t(std::atoll(bytes)) : std::size_t(8) << 30;
    }()};
    return machine;
}

std::string launches() {
    std::string text;
    for (const auto& [kernel, sizes] : emulator().largest_launches)
        text += std::to_string(sizes.threads) + ' ' + std::to_string(sizes.shared_bytes) + ' ' + function_name(kernel) +
                '\n';
    return text;
}

cudaError_t set_max_dynamic_shared(const void* kernel, int bytes) {
    if (bytes < 0 || std::size_t(bytes) > limits.shared_optin) return cudaErrorInvalidValue;
    emulator().opted_in[kernel] = std::max(std::size_t(bytes), limits.shared_default);
    return cudaSuccess;
}
}  // namespace cuda_emulation

const char* cudaGetErrorString(cudaError_t error) {
    switch (error) {
        case cudaSuccess:
            return "no error";
        case cudaErrorInvalidValue:
            return "invalid argument";
        case cudaErrorMemoryAllocation:
            return "out of memory";
        case cudaErrorInvalidConfiguration:
            return "invalid configuration argument";
        case cudaErrorInsufficientDriver:
            return "CUDA driver version is insufficient for CUDA runtime version";
        case cudaErrorInvalidResourceHandle:
            return "invalid resource handle";
        case cudaErrorNotReady:
            return "device not ready";
        case cudaErrorNoDevice:
            return "no CUDA-capable device is detected";
    }
    return "unknown error";
}
cudaError_t cudaGetLastError() { return cudaSuccess; }
cudaError_t cudaGetDeviceCount(int* count) {
    const Machine& m = machine();
    if (m.driver < m.runtime) return cudaErrorInsufficientDriver;  // without any likewise
    *count = m.devices;
    return m.devices > 0 ? cudaSuccess : cudaErrorNoDevice;
}
cudaError_t cudaDriverGetVersion(int* version) { return *version = machine().driver, cudaSuccess; }
cudaError_t cudaRuntimeGetVersion(int* version) { return *version = machine().runtime, cudaSuccess; }
cudaError_t cudaGetDevice(int* device) { return *device = 0, cudaSuccess; }
cudaError_t cudaDeviceGetAttribute(int* value, cudaDeviceAttr attribute, int) {
    const int capability = machine().capability;
    *value = attribute == cudaDevAttrComputeCapabilityMajor ? capability / 10 : capability % 10;
    return cudaSuccess;
}
cudaError_t cudaMemGetInfo(std::size_t* free, std::size_t* all) {
    *all = machine().memory;
    *free = free_memory();
    return cudaSuccess;
}

// ------------------------------------------------------------------------------------------------ memory
cudaError_t cudaMalloc(void** memory, std::size_t bytes) {
    ++emulator().statistics.allocations;
    *memory = bytes ? get_device_memory(bytes) : nullptr;
    if (bytes && !*memory) return cudaErrorMemoryAllocation;
    if (*memory) add_region(*memory, bytes);
    return cudaSuccess;
}
cudaError_t cudaFree(void* memory) {
    cudaDeviceSynchronize();
    if (memory) remove_region(memory);
    return cudaSuccess;
}
cudaError_t cudaMallocAsync(void** memory, std::size_t bytes, cudaStream_t stream) {
    if (bytes == 0) return cudaErrorInvalidValue;  // strict: drivers differ
    ++emulator().statistics.allocations;
    if (bytes > free_memory() || !(*memory = get_device_memory(bytes))) return cudaErrorMemoryAllocation;
    enqueue_memory(stream, [p = *memory, bytes] { add_region(p, bytes); });
    return cudaSuccess;
}
cudaError_t cudaFreeAsync(void* memory, cudaStream_t stream) {
    try {
        if (memory) enqueue_memory(stream, [memory] { remove_region(memory); });
    } catch (const Error& error) {
        lose("cudaFreeAsync", error);
    }
    return cudaSuccess;
}
cudaError_t cudaMemcpyAsync(void* to, const void* from, std::size_t bytes, cudaMemcpyKind kind, cudaStream_t stream) {
    if (bytes == 0) return cudaSuccess;
    Emulator& e = emulator();
    const bool from_device = kind == cudaMemcpyDeviceToHost || kind == cudaMemcpyDeviceToDevice;
    const bool to_device = kind == cudaMemcpyHostToDevice || kind == cudaMemcpyDeviceToDevice;
    const std::uint64_t number = ++e.copies;
    enqueue(stream, [=] {
        std::erase_if(emulator().in_flight, [=](const auto& copy) { return copy.number == number; });
        check_copy(to, bytes, to_device, "the target");
        check_copy(from, bytes, from_device, "the source");
        if (from_device) require_written(from, bytes, "cudaMemcpyAsync");
        std::memcpy(to, from, bytes);
        if (to_device) mark_written(to, bytes);
    });
    if (!to_device) e.in_flight.push_back({reinterpret_cast<std::uintptr_t>(to), bytes, true, number});
    if (!from_device) e.in_flight.push_back({reinterpret_cast<std::uintptr_t>(from), bytes, false, number});
    return cudaSuccess;
}
cudaError_t cudaMemsetAsync(void* to, int value, std::size_t bytes, cudaStream_t stream) {
    if (bytes == 0) return cudaSuccess;
    enqueue(stream, [=] {
        const Region* r = find(reinterpret_cast<std::uintptr_t>(to));
        if (!r || reinterpret_cast<std::uintptr_t>(to) + bytes > r->base + r->size)
            throw Error("cudaMemsetAsync of " + bytes_text(bytes) + " leaves its device memory");
        std::memset(to, value, bytes);
        mark_written(to, bytes);
    });
    return cudaSuccess;
}

// ------------------------------------------------------------------------------------------------ streams, events
cudaError_t cudaStreamCreateWithFlags(cudaStream_t* stream, unsigned) {
    emulator().streams.push_back(*stream = new CUstream_st);
    return cudaSuccess;
}
cudaError_t cudaStreamDestroy(cudaStream_t stream) {
    auto& all = emulator().streams;
    try {
        require_stream(stream);
        drain([&] { return stream->items.empty(); });
    } catch (const Error& error) {
        lose("cudaStreamDestroy", error);
    }
    all.erase(std::remove(all.begin(), all.end(), stream), all.end());
    delete stream;
    return cudaSuccess;
}
cudaError_t cudaStreamSynchronize(cudaStream_t stream) {
    require_stream(stream);
    drain([&] { return stream->items.empty(); });
    return cudaSuccess;
}
cudaError_t cudaDeviceSynchronize() {
    auto& all = emulator().streams;
    drain([&] { return std::all_of(all.begin(), all.end(), [](CUstream_st* s) { return s->items.empty(); }); });
    return cudaSuccess;
}
cudaError_t cudaEventCreateWithFlags(cudaEvent_t* event, unsigned flags) {
    static auto& events = *new std::deque<CUevent_st>;
    *event = &events.emplace_back();
    (*event)->timed = !(flags & cudaEventDisableTiming);
    return cudaSuccess;
}
cudaError_t cudaEventDestroy(cudaEvent_t) { return cudaSuccess; }  // enqueued work may still name it
cudaError_t cudaEventRecord(cudaEvent_t event, cudaStream_t stream) {
    enqueue(stream, [event, count = ++event->recorded] {
        event->done = count;
        event->time = std::chrono::steady_clock::now();
    });
    return cudaSuccess;
}
cudaError_t cudaStreamWaitEvent(cudaStream_t stream, cudaEvent_t event, unsigned) {
    require_stream(stream);
    stream->items.push_back({{}, false, event, event->recorded});
    return cudaSuccess;
}
cudaError_t cudaEventQuery(cudaEvent_t event) {
    return event->done >= event->recorded ? cudaSuccess : cudaErrorNotReady;
}
cudaError_t cudaEventSynchronize(cudaEvent_t event) {
    drain([event, count = event->recorded] { return event->done >= count; });
    return cudaSuccess;
}
/// The host's time between the two: of the emulation, not of any device.
cudaError_t cudaEventElapsedTime(float* milliseconds, cudaEvent_t from, cudaEvent_t to) {
    if (!from->timed || !to->timed || from->recorded == 0 || to->recorded == 0) return cudaErrorInvalidResourceHandle;
    if (cudaEventQuery(from) || cudaEventQuery(to)) return cudaErrorNotReady;
    *milliseconds = std::chrono::duration<float, std::milli>(to->time - from->time).count();
    return cudaSuccess;
}
