#pragma once
/// The Cuda backend, and the few words that kernels are written in. The only file that calls the CUDA runtime and the
/// only one with the word __shared__. docs/cuda.md tells how kernels are written and tested.
#include <cuda_runtime.h>

#include <algorithm>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "mia/core/backend.hpp"
#include "mia/core/transfer.hpp"

namespace mia {

namespace detail {
/// Throws unless `error` is success; the text is made only then.
template <class... Parts>
void require_success(cudaError_t error, const Parts&... parts) {
    if (error == cudaSuccess) [[likely]]
        return;
    (void)cudaGetLastError();  // or the next call would find an invalid launch again
    throw Error(text(parts..., ": ", cudaGetErrorString(error)));
}
}  // namespace detail

/// Why no Cuda can be made on this machine, in words for people; empty: one can.
inline std::string missing_gpu() {
    int devices = 0, driver = 0, runtime = 0;
    const cudaError_t found = cudaGetDeviceCount(&devices);
    if (found == cudaSuccess && devices > 0) return {};
    (void)cudaGetLastError();
    (void)cudaDriverGetVersion(&driver);
    (void)cudaRuntimeGetVersion(&runtime);
    const auto cuda = [](int version) { return text("CUDA ", version / 1000, ".", version % 1000 / 10); };
    if (driver == 0) return "no GPU was found: the machine has no driver of NVIDIA's";
    if (found == cudaErrorInsufficientDriver)
        return text("no GPU can be used: the driver knows ", cuda(driver), ", the program was built with ",
                    cuda(runtime));
    if (found == cudaSuccess || found == cudaErrorNoDevice)
        return text("no GPU was found: there is a driver, for ", cuda(driver),
                    ", and no device that it shows this program (CUDA_VISIBLE_DEVICES chooses them)");
    return text("no GPU can be used: ", cudaGetErrorString(found));
}

namespace detail {
/// A stream, which lives as long as anything that frees memory in its order.
class CudaStream {
public:
    CudaStream() {
        const std::string missing = missing_gpu();
        require(missing.empty(), "Cuda: ", missing, ". Run on the processor, or where there is one of NVIDIA's GPUs.");
        require_success(cudaStreamCreateWithFlags(&stream_, cudaStreamNonBlocking), "Cuda: no stream");
    }
    ~CudaStream() { cudaStreamDestroy(stream_); }
    CudaStream(const CudaStream&) = delete;
    CudaStream& operator=(const CudaStream&) = delete;
    cudaStream_t get() const { return stream_; }

private:
    cudaStream_t stream_ = nullptr;
};

/// Tensor cores multiply bf16 from compute capability 8.0 on.
inline void require_bf16() {
    int device = 0, major = 0, minor = 0;
    require_success(cudaGetDevice(&device), "CudaBf16: no device");
    for (auto [version, attribute] :
         {std::pair{&major, cudaDevAttrComputeCapabilityMajor}, std::pair{&minor, cudaDevAttrComputeCapabilityMinor}})
        require_success(cudaDeviceGetAttribute(version, attribute, device), "CudaBf16: the device's capability");
    require(major >= 8, "CudaBf16: the GPU has compute capability ", major, ".", minor,
            ", bf16 needs 8.0 or more; use fp32, on Cuda");
}

/// Bytes of device memory that nobody has taken.
inline std::size_t free_device_memory() {
    std::size_t free = 0, all = 0;
    require_success(cudaMemGetInfo(&free, &all), "Cuda: free memory");
    return free;
}

/// Device memory in a stream's order. Nothing here waits for the device.
class DeviceMemory {
public:
    explicit DeviceMemory(std::shared_ptr<CudaStream> stream) : stream_(std::move(stream)) {}
    std::byte* allocate(std::size_t bytes) {
        if (bytes == 0) return nullptr;  // empty views never reach the runtime
        void* memory = nullptr;
        if (const cudaError_t error = cudaMallocAsync(&memory, bytes, stream_->get()); error != cudaSuccess)
            require_success(error, "Cuda: ", bytes, " more bytes of device memory are needed, ", free_device_memory(),
                            " are free; use smaller frames, tiles or fewer frames at once");
        return static_cast<std::byte*>(memory);
    }
    void free(std::byte* p) {
        if (p) cudaFreeAsync(p, stream_->get());
    }
    void fill(std::byte* p, std::size_t bytes) { set(p, 0xff, bytes); }
    void zero(std::byte* p, std::size_t bytes) { set(p, 0, bytes); }

private:
    void set(std::byte* p, int byte, std::size_t bytes) {
        if (bytes > 0) require_success(cudaMemsetAsync(p, byte, bytes, stream_->get()), "Cuda: set memory");
    }
    std::shared_ptr<CudaStream> stream_;
};
}  // namespace detail

/// Device memory; grows, never shrinks, does not keep its contents when it grows. Freed in the stream's order.
template <class T>
class CudaBuffer {
public:
    CudaBuffer() = default;
    CudaBuffer(CudaBuffer&& other) noexcept { swap(other); }
    CudaBuffer& operator=(CudaBuffer&& other) noexcept {
        CudaBuffer(std::move(other)).swap(*this);
        return *this;
    }
    ~CudaBuffer() {
        if (memory_) memory_->free(data_);
    }
    T* data() const { return reinterpret_cast<T*>(data_); }
    std::size_t capacity() const { return capacity_; }
    void reserve(const detail::DeviceMemory& memory, std::size_t count) {
        if (count <= capacity_) return;
        CudaBuffer larger;
        larger.memory_ = std::make_unique<detail::DeviceMemory>(memory);
        larger.data_ = larger.memory_->allocate(count * sizeof(T));
        larger.capacity_ = count;
        swap(larger);
    }

private:
    void swap(CudaBuffer& other) noexcept {
        std::swap(memory_, other.memory_);
        std::swap(data_, other.data_);
        std::swap(capacity_, other.capacity_);
    }
    std::unique_ptr<detail::DeviceMemory> memory_;
    std::byte* data_ = nullptr;
    std::size_t capacity_ = 0;
};

/// Where a Cuda backend's scratch comes from.
enum class ScratchBlocks {
    pooled,   ///< a stack in blocks that are kept: nothing is allocated once a pass over the same work was made
    separate  ///< an allocation for each piece, freed with its scope: what checks memory (the tests' emulator,
              ///< compute-sanitizer) then sees an access beyond a piece, or to what was not written or was given back
};

/// Scratch in device memory. Work that still uses a piece which was given back is ahead in the stream of any that gets
/// it next.
class DeviceArena {
public:
    DeviceArena(ScratchBlocks blocks, const detail::DeviceMemory& memory)
        : blocks_(blocks), memory_(memory), pool_(ScratchFill::nothing, memory) {}
    DeviceArena(const DeviceArena&) = delete;
    DeviceArena& operator=(const DeviceArena&) = delete;
    ~DeviceArena() { release({{}, 0, 0}); }

    struct Position {
        BasicArena<detail::DeviceMemory>::Position pool;
        std::size_t pieces, in_use;
    };
    Position position() const { return {pool_.position(), pieces_.size(), in_use_}; }

    void* take(std::size_t bytes) {
        if (blocks_ == ScratchBlocks::pooled) return pool_.take(bytes);
        pieces_.push_back(memory_.allocate(bytes));
        in_use_ += bytes;
        peak_ = std::max(peak_, in_use_);
        return pieces_.back();
    }
    void release(const Position& position) {
        if (blocks_ == ScratchBlocks::pooled) return pool_.release(position.pool);
        in_use_ = position.in_use;
        for (; pieces_.size() > position.pieces; pieces_.pop_back()) memory_.free(pieces_.back());
    }
    void reserve(std::size_t bytes) {
        if (blocks_ == ScratchBlocks::pooled) pool_.reserve(bytes);
    }
    std::size_t peak() const { return std::max(peak_, pool_.peak()); }

private:
    ScratchBlocks blocks_;
    detail::DeviceMemory memory_;
    BasicArena<detail::DeviceMemory> pool_;
    std::vector<std::byte*> pieces_;
    std::size_t in_use_ = 0, peak_ = 0;
};

/// A GPU: one stream and the memory that belongs to it. Ops enqueue and return; everything enqueued runs in order. Once
/// a pass over the same work was made, nothing allocates and nothing waits, until the caller calls synchronize().
/// Two objects in one process do not meet, nor does one meet a Cpu; one object serves one caller at a time.
template <class T>
class BasicCuda {
public:
    using Scalar = T;
    static constexpr bool memory_is_host = false;
    template <class U>
    using Buffer = CudaBuffer<U>;

    explicit BasicCuda(ScratchBlocks blocks = ScratchBlocks::pooled)
        : stream_(std::make_shared<detail::CudaStream>()), memory_(stream_), scratch_(blocks, memory_) {
        if (narrow<T>) detail::require_bf16();
    }

    [[nodiscard]] ScratchScope<DeviceArena> scope() { return ScratchScope<DeviceArena>(scratch_); }

    /// Memory of the current scope: a view of the given extents, contents undefined.
    template <class U = T, class... I>
    View<U, int(sizeof...(I))> scratch(I... extents) {
        View<U, int(sizeof...(I))> view{nullptr, {int(extents)...}};
        view.data = static_cast<U*>(scratch_.take(std::size_t(view.size()) * sizeof(U)));
        return view;
    }
    std::size_t scratch_peak() const { return scratch_.peak(); }  ///< most bytes in use at once
    /// Makes room beforehand for work that will need this much; see Count.
    void reserve_scratch(std::size_t bytes) { scratch_.reserve(bytes); }

    std::size_t free_memory() const { return detail::free_device_memory(); }  ///< bytes that nobody has taken
    detail::DeviceMemory memory() const { return memory_; }  ///< where arenas of its own take blocks from

    template <class U>
    void reserve(CudaBuffer<U>& buffer, std::size_t count) {
        buffer.reserve(memory_, count);
    }

    /// With a mask the device alone knows how many rows were active, so `macs` counts all.
    void record(const Work& work) {
        count_.macs += work.macs;
        count_.dense_macs += work.dense_macs;
    }
    WorkCount work() const { return count_; }
    void reset_work() { count_ = {}; }

    cudaStream_t stream() const { return stream_->get(); }

    // For the ops of this backend.

    /// Remembered for errors that show only when somebody waits.
    void set_last_op(const char* op) { last_op_ = op; }
    const char* last_op() const { return last_op_; }

private:
    std::shared_ptr<detail::CudaStream> stream_;
    detail::DeviceMemory memory_;
    DeviceArena scratch_;
    WorkCount count_;
    const char* last_op_ = "none";
};

using Cuda = BasicCuda<float>;
using CudaBf16 = BasicCuda<Bf16>;
static_assert(Backend<Cuda> && Backend<CudaBf16>);

template <class T>
void synchronize(BasicCuda<T>& cuda) {
    detail::require_success(cudaStreamSynchronize(cuda.stream()), "Cuda: work up to ", cuda.last_op(),
                            " failed; with CUDA_LAUNCH_BLOCKING=1 in the environment the error names the op");
}

namespace detail {
template <class T, class U, int Rank>
void copy_async(BasicCuda<T>& cuda, const char* op, View<const U, Rank> from, View<U, Rank> to, cudaMemcpyKind kind) {
    require(from.size() == to.size(), op, ": from ", shape_text(from), " to ", shape_text(to));
    if (to.size() == 0) return;
    cuda.set_last_op(op);
    require_success(cudaMemcpyAsync(to.data, from.data, std::size_t(to.size()) * sizeof(U), kind, cuda.stream()), op,
                    " of ", shape_text(to));
}
template <class T, class U, int Rank>
void zero_async(BasicCuda<T>& cuda, const char* op, View<U, Rank> y) {
    if (y.size() == 0) return;
    cuda.set_last_op(op);
    require_success(cudaMemsetAsync(y.data, 0, std::size_t(y.size()) * sizeof(U), cuda.stream()), op, " of ",
                    shape_text(y));
}
}  // namespace detail

template <class T, class U, int Rank>
void upload(BasicCuda<T>& cuda, std::type_identity_t<View<const U, Rank>> from, View<U, Rank> to) {
    detail::copy_async(cuda, "upload", from, to, cudaMemcpyHostToDevice);
}
template <class T, class U, int Rank>
void download(BasicCuda<T>& cuda, std::type_identity_t<View<const U, Rank>> from, View<U, Rank> to) {
    detail::copy_async(cuda, "download", from, to, cudaMemcpyDeviceToHost);
}

/// A point in a backend's work, to measure time or to order two backends.
class CudaEvent {
public:
    CudaEvent() { detail::require_success(cudaEventCreateWithFlags(&event_, cudaEventDefault), "CudaEvent"); }
    ~CudaEvent() { cudaEventDestroy(event_); }
    CudaEvent(const CudaEvent&) = delete;
    CudaEvent& operator=(const CudaEvent&) = delete;

    /// The event happens when all that was enqueued so far is done.
    template <class T>
    void record(BasicCuda<T>& cuda) {
        detail::require_success(cudaEventRecord(event_, cuda.stream()), "CudaEvent: record");
    }
    /// What is enqueued from now on waits for the event; the host does not.
    template <class T>
    void hold(BasicCuda<T>& cuda) const {
        detail::require_success(cudaStreamWaitEvent(cuda.stream(), event_), "CudaEvent: hold");
    }
    /// The host waits for the event.
    void synchronize() const { detail::require_success(cudaEventSynchronize(event_), "CudaEvent: synchronize"); }
    /// From `earlier` to this one, both recorded and waited for.
    float milliseconds_since(const CudaEvent& earlier) const {
        float milliseconds = 0;
        detail::require_success(cudaEventElapsedTime(&milliseconds, earlier.event_, event_),
                                "CudaEvent: milliseconds_since; record and synchronize both events before");
        return milliseconds;
    }

private:
    cudaEvent_t event_ = nullptr;
};

namespace detail {

/// The block's shared memory. `Tile` is an aggregate without constructors; its contents start undefined. All shared
/// memory of the library is declared this way, so that launch() knows its size from the type.
template <class Tile>
__device__ __forceinline__ Tile& shared_memory() {
    extern __shared__ __align__(16) unsigned char dynamic_shared[];
    static_assert(alignof(Tile) <= 16);
    return *reinterpret_cast<Tile*>(dynamic_shared);
}

/// Four neighbours, moved at once.
template <class T>
struct alignas(4 * sizeof(T)) Quad {
    T v[4];
};

struct LaunchShape {
    dim3 grid;
    dim3 block;
    std::size_t shared_bytes = 0;  ///< sizeof(Tile)
    friend std::ostream& operator<<(std::ostream& out, const LaunchShape& s) {
        return out << "grid (" << s.grid.x << ", " << s.grid.y << ", " << s.grid.z << "), block (" << s.block.x << ", "
                   << s.block.y << ", " << s.block.z << "), " << s.shared_bytes << " bytes of shared memory";
    }
};

/// The only way a kernel starts. An empty grid is no error: nothing happens. Does not wait for the kernel.
template <class T, class... Parameters, class... Arguments>
void launch(BasicCuda<T>& cuda, const char* op, const LaunchShape& shape, void (*kernel)(Parameters...),
            Arguments&&... arguments) {
    if (shape.grid.x == 0 || shape.grid.y == 0 || shape.grid.z == 0) return;
    cuda.set_last_op(op);
    if (shape.shared_bytes > 48 * 1024)
        require_success(
            cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, int(shape.shared_bytes)), op,
            ": launch with ", shape);
    cudaLaunchConfig_t config{};
    config.gridDim = shape.grid;
    config.blockDim = shape.block;
    config.dynamicSmemBytes = shape.shared_bytes;
    config.stream = cuda.stream();
    // Not <<<>>>: the host compiler of the tests reads this too.
    require_success(cudaLaunchKernelEx(&config, kernel, std::forward<Arguments>(arguments)...), op, ": launch with ",
                    shape);
}

template <class A>
MIA_HOST_DEVICE constexpr A ceil_div(A a, std::type_identity_t<A> b) {
    return (a + b - 1) / b;
}

/// How many of `capacity` rows an op computes, on the device.
__device__ __forceinline__ int row_count(RowCount rows, int capacity) {
    return rows.value ? *rows.value * rows.times : capacity;
}

inline constexpr int element_threads = 256;

template <class F>
__global__ void __launch_bounds__(element_threads) each_element_kernel(F f, std::ptrdiff_t size) {
    const std::ptrdiff_t step = std::ptrdiff_t(gridDim.x) * blockDim.x;
    for (std::ptrdiff_t i = std::ptrdiff_t(blockIdx.x) * blockDim.x + threadIdx.x; i < size; i += step) f(i);
}

template <class F>
__global__ void __launch_bounds__(element_threads) each_in_rows_kernel(F f, int rows, RowCount count, int row_size) {
    const int i = int(blockIdx.x * blockDim.x + threadIdx.x), active = row_count(count, rows);
    if (i >= row_size) return;
    for (int row = int(blockIdx.y); row < active; row += int(gridDim.y)) f(row, i);
}

/// Threads of a block for `size` elements: whole warps, no more than there is work for.
inline unsigned element_block(std::ptrdiff_t size) {
    return unsigned(std::min<std::ptrdiff_t>(element_threads, ceil_div(size, 32) * 32));
}

/// f(i) for each i in [0, size), a thread each. F is a struct with a __device__ operator(): nvcc takes no lambda.
template <class T, class F>
void each_element(BasicCuda<T>& cuda, const char* op, std::ptrdiff_t size, F f) {
    constexpr std::ptrdiff_t most_blocks = 1 << 16;  // then a thread takes several elements
    const unsigned block = element_block(size);
    if (size == 0) return;
    launch(cuda, op, {.grid = unsigned(std::min(ceil_div(size, std::ptrdiff_t(block)), most_blocks)), .block = block},
           each_element_kernel<F>, f, size);
}

/// f(row, i) for each row in [0, rows) and i in [0, row_size), a thread each: indices that an op takes apart by
/// division fit an int. With `count` only that many rows.
template <class T, class F>
void each_in_rows(BasicCuda<T>& cuda, const char* op, int rows, int row_size, F f, RowCount count = {}) {
    constexpr int most_rows = 65535;  // of a grid; then a thread takes several rows
    if (rows == 0 || row_size == 0) return;
    const unsigned block = element_block(row_size);
    launch(cuda, op,
           {.grid = {unsigned(ceil_div(row_size, int(block))), unsigned(std::min(rows, most_rows))}, .block = block},
           each_in_rows_kernel<F>, f, rows, count, row_size);
}

}  // namespace detail
}  // namespace mia
