#pragma once
#include <memory>

#include "mia/io/state_dict.hpp"
#include "mia/models/any_model.hpp"

/// mia::open_model with the models that programs have on a GPU, those of mia::shipped_models; with one GPU, the first
/// that there is. Error when there is none, when it is too old for bf16 and that is asked for, and in a build without
/// CUDA.
std::unique_ptr<mia::AnyModel> open_cuda_model(const mia::StateDict& file, const mia::ModelOptions& options);
