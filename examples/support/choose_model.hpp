#pragma once
#include <filesystem>
#include <memory>
#include <string>

#include "mia/models/any_model.hpp"

enum class Device { cpu, cuda };

/// What the command line says about the model.
struct ModelRequest {
    std::filesystem::path weights;            ///< empty: the built-in default
    mia::ModelOptions options{.threads = 0};  ///< 0 threads: one for each processor
    Device device = Device::cpu;
};

/// The model that the weights belong to, ready to run. In a file of its own: it compiles every model there is.
std::unique_ptr<mia::AnyModel> choose_model(const ModelRequest& request);

/// SHA-256 of the weights' file, or of the built-in ones, in hexadecimal.
std::string weights_hash(const ModelRequest& request);
