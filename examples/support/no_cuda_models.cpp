#include "support/cuda_models.hpp"

std::unique_ptr<mia::AnyModel> open_cuda_model(const mia::StateDict&, const mia::ModelOptions&) {
    throw mia::Error("--device cuda: this build has no CUDA; configure with -DMIA_CUDA=ON, or use --device cpu");
}
