#pragma once
#include <memory>

#include "mia/io/state_dict.hpp"
#include "mia/models/any_model.hpp"

/// mia::open_model with the models that programs have on a GPU, in fp32; with one GPU, the first that there is. Error
/// when there is none, and in a build without CUDA.
std::unique_ptr<mia::AnyModel> open_cuda_model(const mia::StateDict& file, const mia::ModelOptions& options);
