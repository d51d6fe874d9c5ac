// The programs' models on a GPU: the only source file that nvcc compiles for them, and what the tests let it compile.
#include "mia/cuda.cuh"
#include "mia/models/model_list.hpp"
#include "support/cuda_models.hpp"

std::unique_ptr<mia::AnyModel> open_cuda_model(const mia::StateDict& file, const mia::ModelOptions& options) {
    using namespace mia;
    const std::string missing = missing_gpu();
    require(missing.empty(), "--device cuda: ", missing, ". Use --device cpu, or a machine with one of NVIDIA's GPUs.");
    constexpr std::tuple models{
        NamedModel<MiaVsrLite<Cuda>>{"mia_vsr_lite"}, NamedModel<MiaVsrLite<CudaBf16>>{"mia_vsr_lite_bf16"},
        NamedModel<MiaVsrBase<Cuda>>{"mia_vsr_base"}, NamedModel<MiaVsrSmall<Cuda>>{"mia_vsr_small"},
        NamedModel<MiaVsrTiny<Cuda>>{"mia_vsr_tiny"},
    };
    return open_model(file, options, models);
}
