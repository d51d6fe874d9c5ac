#pragma once
#include <memory>

#include "mia/io/state_dict.hpp"
#include "mia/models/any_model.hpp"

std::unique_ptr<mia::AnyModel> open_cuda_model(const mia::StateDict& file, const mia::ModelOptions& options);
