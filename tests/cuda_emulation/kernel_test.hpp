#pragma once
#include <vector>

#include "mia/core/cuda.cuh"

/// What tests of kernels have in common.
namespace cuda_emulation {

/// Device memory that holds values.
template <class T>
class Device {
public:
    Device(mia::Cuda& cuda, int size, T value = {}) : Device(cuda, std::vector<T>(std::size_t(size), value)) {}
    Device(mia::Cuda& cuda, const std::vector<T>& values) : cuda_(cuda) {
        tensor_.resize(cuda, int(values.size()));
        mia::upload(cuda, mia::View<const T, 1>{values.data(), {int(values.size())}}, tensor_.view());
        synchronize(cuda);
    }
    T* data() { return tensor_.data(); }
    std::vector<T> host() const {
        std::vector<T> values(static_cast<std::size_t>(tensor_.size()));
        mia::download(cuda_, tensor_.view(), mia::View<T, 1>{values.data(), {int(values.size())}});
        synchronize(cuda_);
        return values;
    }

private:
    mia::Cuda& cuda_;
    mia::Tensor<T, 1, mia::Cuda> tensor_;
};

/// The message of the error that a launch or its kernel ends in, or "".
template <class... P, class... A>
std::string error_of(mia::Cuda& cuda, const mia::detail::LaunchShape& shape, void (*kernel)(P...), A... arguments) {
    try {
        mia::detail::launch(cuda, "test", shape, kernel, arguments...);
        synchronize(cuda);
    } catch (const std::exception& error) {
        return error.what();
    }
    return "";
}

inline unsigned seed_of_this_run() {
    const char* text = std::getenv("MIA_EMULATION_SEED");
    return text ? unsigned(std::strtoul(text, nullptr, 10)) : 0u;
}

}  // namespace cuda_emulation
