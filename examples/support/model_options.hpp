#pragma once
#include <CLI/CLI.hpp>
#include <charconv>
#include <map>
#include <string>

#include "support/choose_model.hpp"

/// "on", "off", or a number from 0: the mask set by hand.
inline void set_mask(mia::ModelOptions& options, const std::string& words) {
    options.mask = words == "off"  ? mia::MaskUse::off
                   : words == "on" ? mia::MaskUse::as_trained
                                   : mia::MaskUse::by_hand;
    if (options.mask != mia::MaskUse::by_hand) return;
    const char* end = words.data() + words.size();
    const auto [at, error] = std::from_chars(words.data(), end, options.threshold);
    if (error != std::errc() || at != end || !(options.threshold >= 0))
        throw CLI::ValidationError("--mask", "\"" + words + "\" is not on, off or a number from 0");
}

/// "fp32" or "bf16".
inline CLI::Option* add_precision(CLI::App& app, mia::ModelOptions& options) {
    static const std::map<std::string, mia::Precision> words{{"fp32", mia::Precision::fp32},
                                                             {"bf16", mia::Precision::bf16}};
    return app
        .add_option_function<std::string>(
            "--precision", [&options](const std::string& word) { options.precision = words.at(word); },
            "of weights and features: fp32, or bf16 (the default model)")
        ->check(CLI::IsMember(words));
}

/// "cpu" or "cuda".
inline CLI::Option* add_device(CLI::App& app, Device& device) {
    static const std::map<std::string, Device> words{{"cpu", Device::cpu}, {"cuda", Device::cuda}};
    return app
        .add_option_function<std::string>(
            "--device", [&device](const std::string& word) { device = words.at(word); },
            "cpu, or cuda: a GPU, if built with -DMIA_CUDA=ON")
        ->check(CLI::IsMember(words));
}

/// The options that say which model runs and how. `chosen`, when given, becomes true when a model is asked for.
inline void add_model_options(CLI::App& app, ModelRequest& request, bool* chosen = nullptr) {
    const char* group = "Model";
    app.add_option_function<std::string>(
           "--model",
           [&request, chosen](const std::string& words) {
               if (words != "default") request.weights = words;
               if (chosen != nullptr) *chosen = true;
           },
           "\"default\", the built-in one, or weights: .safetensors or .pth")
        ->group(group);
    app.add_option_function<std::string>(
           "--mask", [&request](const std::string& words) { set_mask(request.options, words); },
           "on, off, or a number: skip what changes less (try 0.05)")
        ->group(group);
    add_precision(app, request.options)->group(group);
    add_device(app, request.device)->group(group);
    app.add_option("--threads", request.options.threads, "default: one for each processor")
        ->check(CLI::Range(1, 1024))
        ->group(group);
}
