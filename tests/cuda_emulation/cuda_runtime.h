#pragma once
/// The CUDA language and the part of the CUDA runtime that mia uses, on the host, for tests.
///
/// A test target that puts this directory first on its include path compiles `.cuh` files with the host compiler,
/// unchanged: this header takes the place of NVIDIA's. Every CUDA thread runs as a fiber, barriers and warp intrinsics
/// are rendezvous, and what CUDA leaves undefined ends in a `cuda_emulation::Error` that names kernel, block, thread
/// and source line. docs/cuda.md tells how kernels are tested with it.
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <stdexcept>
#include <string>
#include <tuple>
#include <type_traits>
#include <utility>

// ------------------------------------------------------------------------------------------------ language
#define __global__
#define __device__
#define __host__
#define __forceinline__ inline __attribute__((always_inline))
#define __launch_bounds__(...)
#define __align__(n) __attribute__((aligned(n)))
// Weak, so that `__shared__ float tile[8]` does not compile ("weak declaration must be public"): a plain local would
// silently be private to the thread. Only `extern __shared__` in mia/core/cuda.cuh remains, and memory.cpp defines it.
#define __shared__ __attribute__((weak))

struct uint3 {
    unsigned x, y, z;
};
struct dim3 {
    unsigned x, y, z;
    constexpr dim3(unsigned x_ = 1, unsigned y_ = 1, unsigned z_ = 1) : x(x_), y(y_), z(z_) {}
};
struct alignas(8) float2 {
    float x, y;
};
struct alignas(16) float4 {
    float x, y, z, w;
};
struct alignas(8) int2 {
    int x, y;
};
struct alignas(16) int4 {
    int x, y, z, w;
};
inline float2 make_float2(float x, float y) { return {x, y}; }
inline float4 make_float4(float x, float y, float z, float w) { return {x, y, z, w}; }

extern uint3 threadIdx, blockIdx;  // set at every switch of fibers; not const, or a compiler would keep them over one
extern dim3 blockDim, gridDim;
inline constexpr int warpSize = 32;

// ------------------------------------------------------------------------------------------------ emulator
namespace cuda_emulation {

/// What CUDA leaves undefined, found.
struct Error : std::runtime_error {
    using std::runtime_error::runtime_error;
};

struct Site {
    const char* file;
    int line;
};

enum class WarpOp : std::uint8_t { shfl, shfl_up, shfl_down, shfl_xor, ballot, all, any, syncwarp };
enum class BarrierResult : std::uint8_t { count, all, any };

int block_barrier(int predicate, BarrierResult, Site);
std::uint64_t warp_exchange(WarpOp, unsigned mask, std::uint64_t payload, int parameter, int width, Site);

/// Order of threads, blocks and streams: 0 as numbered, 1 reversed, any other value a random order from that seed.
/// Default: the environment variable MIA_EMULATION_SEED, or 0.
void set_schedule_seed(unsigned seed);

struct Statistics {
    std::uint64_t launches, blocks, threads, switches, accesses;  ///< of kernels
    std::uint64_t allocations, synchronisations;                  ///< calls of the runtime by the host
};
Statistics statistics();

/// What the machine has. Versions as CUDA writes them: 13000 is 13.0; driver 0: none.
struct Machine {
    int driver = 13000, runtime = 13000, devices = 1;
    /// Of the device. By default the least that a chip from sm_80 on comes with, or MIA_EMULATION_MEMORY bytes.
    std::size_t memory;
    int capability = 80;  ///< 80 is 8.0
};
Machine& machine();

/// True when the kernels were compiled with -fsanitize=thread and their loads and stores are checked.
bool checks_memory();

/// What is wrong and was not thrown: memory never freed, errors met in destructors, accesses of the host that nothing
/// waited for. Empty if all is well. Tests ask at their end.
std::string leftovers();
/// A line for each kernel that was launched: its most threads in a block, its most bytes of shared memory, its name.
std::string launches();

/// Loads and stores are checked only while a kernel's own code runs.
class Checking {
public:
    Checking();
    ~Checking();
    Checking(const Checking&) = delete;
    Checking& operator=(const Checking&) = delete;
};

struct Launch {
    dim3 grid, block;
    std::size_t shared_bytes;
    const void* kernel;
    std::function<void()> thread;
};

/// An access by a library's device-wide operation (CUB): bounds and initialisation; later kernels find it written.
void library_access(const void* address, std::size_t size, char kind);

template <class T>
std::uint64_t to_payload(T value) {
    static_assert(std::is_trivially_copyable_v<T> && (sizeof(T) == 2 || sizeof(T) == 4 || sizeof(T) == 8),
                  "warp shuffles move 2, 4 or 8 bytes");
    std::uint64_t bits = 0;
    std::memcpy(&bits, &value, sizeof value);
    return bits;
}
template <class T>
T from_payload(std::uint64_t bits) {
    T value;
    std::memcpy(&value, &bits, sizeof value);
    return value;
}
}  // namespace cuda_emulation

// ------------------------------------------------------------------------------------------------ intrinsics
#define MIA_EMULATION_SITE const char *file = __builtin_FILE(), int line = __builtin_LINE()

inline void __syncthreads(MIA_EMULATION_SITE) {
    cuda_emulation::block_barrier(0, cuda_emulation::BarrierResult::count, {file, line});
}
inline int __syncthreads_count(int predicate, MIA_EMULATION_SITE) {
    return cuda_emulation::block_barrier(predicate, cuda_emulation::BarrierResult::count, {file, line});
}
inline int __syncthreads_and(int predicate, MIA_EMULATION_SITE) {
    return cuda_emulation::block_barrier(predicate, cuda_emulation::BarrierResult::all, {file, line});
}
inline int __syncthreads_or(int predicate, MIA_EMULATION_SITE) {
    return cuda_emulation::block_barrier(predicate, cuda_emulation::BarrierResult::any, {file, line});
}
inline void __syncwarp(unsigned mask = 0xffffffffu, MIA_EMULATION_SITE) {
    cuda_emulation::warp_exchange(cuda_emulation::WarpOp::syncwarp, mask, 0, 0, 32, {file, line});
}
inline unsigned __ballot_sync(unsigned mask, int predicate, MIA_EMULATION_SITE) {
    return unsigned(
        cuda_emulation::warp_exchange(cuda_emulation::WarpOp::ballot, mask, predicate != 0, 0, 32, {file, line}));
}
inline int __all_sync(unsigned mask, int predicate, MIA_EMULATION_SITE) {
    return int(cuda_emulation::warp_exchange(cuda_emulation::WarpOp::all, mask, predicate != 0, 0, 32, {file, line}));
}
inline int __any_sync(unsigned mask, int predicate, MIA_EMULATION_SITE) {
    return int(cuda_emulation::warp_exchange(cuda_emulation::WarpOp::any, mask, predicate != 0, 0, 32, {file, line}));
}
#define MIA_EMULATION_SHUFFLE(name, op)                                                                            \
    template <class T>                                                                                             \
    T name(unsigned mask, T value, int parameter, int width = warpSize, MIA_EMULATION_SITE) {                      \
        return cuda_emulation::from_payload<T>(cuda_emulation::warp_exchange(                                      \
            cuda_emulation::WarpOp::op, mask, cuda_emulation::to_payload(value), parameter, width, {file, line})); \
    }
MIA_EMULATION_SHUFFLE(__shfl_sync, shfl)
MIA_EMULATION_SHUFFLE(__shfl_up_sync, shfl_up)
MIA_EMULATION_SHUFFLE(__shfl_down_sync, shfl_down)
MIA_EMULATION_SHUFFLE(__shfl_xor_sync, shfl_xor)
#undef MIA_EMULATION_SHUFFLE
#undef MIA_EMULATION_SITE

int atomicAdd(int*, int);
unsigned atomicAdd(unsigned*, unsigned);
unsigned long long atomicAdd(unsigned long long*, unsigned long long);
float atomicAdd(float*, float);
int atomicMax(int*, int);
int atomicExch(int*, int);
int atomicCAS(int*, int, int);

template <class T>
T __ldg(const T* address) {
    return *address;
}
inline int __popc(unsigned x) { return __builtin_popcount(x); }
inline int __clz(int x) { return x == 0 ? 32 : __builtin_clz(unsigned(x)); }
inline unsigned __funnelshift_r(unsigned low, unsigned high, unsigned shift) {
    return unsigned(((std::uint64_t(high) << 32) | low) >> (shift & 31));
}
/// Sum of the absolute differences of four bytes.
inline unsigned __vsadu4(unsigned a, unsigned b) {
    unsigned sum = 0;
    for (int k = 0; k < 32; k += 8) sum += unsigned(std::abs(int(a >> k & 255) - int(b >> k & 255)));
    return sum;
}
inline int __ffs(int x) { return __builtin_ffs(x); }
inline float __int_as_float(int x) { return cuda_emulation::from_payload<float>(unsigned(x)); }
inline int __float_as_int(float x) { return cuda_emulation::from_payload<int>(cuda_emulation::to_payload(x)); }
inline int min(int a, int b) { return a < b ? a : b; }
inline int max(int a, int b) { return a < b ? b : a; }

// ------------------------------------------------------------------------------------------------ runtime library
enum cudaError_t {
    cudaSuccess = 0,
    cudaErrorInvalidValue = 1,
    cudaErrorMemoryAllocation = 2,
    cudaErrorInvalidConfiguration = 9,
    cudaErrorInsufficientDriver = 35,
    cudaErrorNoDevice = 100,
    cudaErrorInvalidResourceHandle = 400,
    cudaErrorNotReady = 600
};
enum cudaMemcpyKind { cudaMemcpyHostToHost, cudaMemcpyHostToDevice, cudaMemcpyDeviceToHost, cudaMemcpyDeviceToDevice };
enum cudaFuncAttribute { cudaFuncAttributeMaxDynamicSharedMemorySize = 8 };
enum cudaDeviceAttr { cudaDevAttrComputeCapabilityMajor = 75, cudaDevAttrComputeCapabilityMinor = 76 };
inline constexpr unsigned cudaStreamNonBlocking = 1, cudaEventDefault = 0, cudaEventDisableTiming = 2;
struct CUstream_st;
struct CUevent_st;
using cudaStream_t = CUstream_st*;
using cudaEvent_t = CUevent_st*;
struct cudaLaunchAttribute {};
struct cudaLaunchConfig_t {
    dim3 gridDim, blockDim;
    std::size_t dynamicSmemBytes;
    cudaStream_t stream;
    cudaLaunchAttribute* attrs;
    unsigned numAttrs;
};

const char* cudaGetErrorString(cudaError_t);
cudaError_t cudaGetLastError();
cudaError_t cudaMalloc(void**, std::size_t);
cudaError_t cudaFree(void*);
cudaError_t cudaMallocAsync(void**, std::size_t, cudaStream_t);
cudaError_t cudaFreeAsync(void*, cudaStream_t);
cudaError_t cudaMemcpyAsync(void*, const void*, std::size_t, cudaMemcpyKind, cudaStream_t);
cudaError_t cudaMemsetAsync(void*, int, std::size_t, cudaStream_t);
cudaError_t cudaStreamCreateWithFlags(cudaStream_t*, unsigned);
cudaError_t cudaStreamDestroy(cudaStream_t);
cudaError_t cudaStreamSynchronize(cudaStream_t);
cudaError_t cudaStreamWaitEvent(cudaStream_t, cudaEvent_t, unsigned = 0);
cudaError_t cudaDeviceSynchronize();
cudaError_t cudaEventCreateWithFlags(cudaEvent_t*, unsigned);
cudaError_t cudaEventRecord(cudaEvent_t, cudaStream_t);
cudaError_t cudaEventQuery(cudaEvent_t);
cudaError_t cudaEventSynchronize(cudaEvent_t);
cudaError_t cudaEventElapsedTime(float*, cudaEvent_t, cudaEvent_t);
cudaError_t cudaEventDestroy(cudaEvent_t);
cudaError_t cudaGetDeviceCount(int*);
cudaError_t cudaGetDevice(int*);
cudaError_t cudaDeviceGetAttribute(int*, cudaDeviceAttr, int device);
cudaError_t cudaDriverGetVersion(int*);
cudaError_t cudaRuntimeGetVersion(int*);
cudaError_t cudaMemGetInfo(std::size_t* free, std::size_t* all);

namespace cuda_emulation {
void enqueue(cudaStream_t, std::function<void()>);
/// Device-wide work of a library, done by the host's code: what it touches it declares by library_access().
void enqueue_library(cudaStream_t, std::function<void()>);
void run(const Launch&);  // every thread of every block
cudaError_t check_configuration(const cudaLaunchConfig_t&, const void* kernel);
cudaError_t set_max_dynamic_shared(const void* kernel, int bytes);
}  // namespace cuda_emulation

template <class... P>
cudaError_t cudaFuncSetAttribute(void (*kernel)(P...), cudaFuncAttribute, int value) {
    return cuda_emulation::set_max_dynamic_shared(reinterpret_cast<const void*>(kernel), value);
}

template <class... P, class... A>
cudaError_t cudaLaunchKernelEx(const cudaLaunchConfig_t* config, void (*kernel)(P...), A&&... arguments) {
    static_assert((std::is_trivially_copyable_v<P> && ...), "a kernel's parameters are copied to the device");
    const auto address = reinterpret_cast<const void*>(kernel);
    if (const cudaError_t error = cuda_emulation::check_configuration(*config, address)) return error;
    const std::tuple<P...> values(std::forward<A>(arguments)...);
    auto thread = [kernel, values] {
        auto own = values;  // parameters are private to the thread, and live on its stack
        auto entry = kernel;
        cuda_emulation::Checking checking;
        std::apply(entry, own);
    };
    cuda_emulation::enqueue(
        config->stream, [launch = cuda_emulation::Launch{config->gridDim, config->blockDim, config->dynamicSmemBytes,
                                                         address, std::move(thread)}] { cuda_emulation::run(launch); });
    return cudaSuccess;
}
