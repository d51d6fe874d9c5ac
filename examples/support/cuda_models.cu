// The programs' models on a GPU, for nvcc.
#include "mia/models/model_list.hpp"
#include "support/cuda_models.hpp"
#include "support/require_gpu.cuh"

std::unique_ptr<mia::AnyModel> open_cuda_model(const mia::StateDict& file, const mia::ModelOptions& options) {
    using namespace mia;
    require_gpu();
    constexpr std::tuple models{
        NamedModel<MiaVsrLite<Cuda>>{"mia_vsr_lite"}, NamedModel<MiaVsrLite<CudaBf16>>{"mia_vsr_lite_bf16"},
        NamedModel<MiaVsrBase<Cuda>>{"mia_vsr_base"}, NamedModel<MiaVsrSmall<Cuda>>{"mia_vsr_small"},
        NamedModel<MiaVsrTiny<Cuda>>{"mia_vsr_tiny"},
    };
    return open_model(file, options, models);
}
