#pragma once
#include <filesystem>
#include <memory>

#include "mia/models/any_model.hpp"

/// What the command line says about the model.
struct ModelRequest {
    std::filesystem::path weights;  ///< empty: the built-in default
    int threads = 0;                ///< 0: one for each processor
    bool mask = true;               ///< skip the tokens that the weights' mask predictor allows to skip
};

/// The model that the weights belong to, ready to run. In a file of its own: it compiles every model there is.
std::unique_ptr<mia::AnyModel> choose_model(const ModelRequest& request);
