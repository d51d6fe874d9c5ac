#pragma once
#include <set>
#include <string>
#include <vector>

#include "mia/core/module.hpp"
#include "mia/io/safetensors.hpp"
#include "mia/io/state_dict.hpp"

namespace mia {

/// Whether file and model must agree on mask predictors.
enum class MaskTensors {
    strict,
    optional  ///< the file may hold some that the model has not (unmasked files of the official code do), and the other
              ///< way round: the model's keep their values, for a mask that is off or yet to be trained
};

struct LoadOptions {
    std::string prefix;  ///< of the names in the file: "params." loads "params.conv_first.weight" as conv_first.weight
    MaskTensors mask = MaskTensors::strict;
};

namespace detail {

/// Tensors that official files hold and the graph never runs. `name` ends in one of these.
struct UnusedTensor {
    const char* ending;
    const char* reason;
};
inline constexpr UnusedTensor unused_tensors[] = {
    {".attn.relative_position_index", "a table of integers that follows from the window's size"},
    {".conv_first.weight", "built in every branch, called only for three channels"},
    {".conv_first.bias", "the same"},
    {".conv_first_feat.weight", "built in every branch, called only for 64 channels"},
    {".conv_first_feat.bias", "the same"},
    {".conv_before_upsample.weight", "built in every branch, called in none: the model has one of its own"},
    {".conv_before_upsample.bias", "the same"},
};

inline bool is_of_mask(const std::string& name) { return name.find("attn.predmask.") != std::string::npos; }

inline bool is_unused(const std::string& name, MaskTensors mask) {
    if (mask == MaskTensors::optional && is_of_mask(name)) return true;
    if (!name.starts_with("patch_align.")) return false;
    for (const UnusedTensor& unused : unused_tensors)
        if (name.ends_with(unused.ending)) return true;
    return false;
}

}  // namespace detail

/// Fills a module's parameters from a file, strictly by name and shape: each parameter is there with its shape, and
/// each tensor of the file belongs to one, but for the few that official files hold and nothing runs. Buffers (not
/// trained) may be absent and keep their values. Error with every missing, unexpected and misshapen tensor in one
/// message, and for NaN or Inf; the module is then half filled. Call prepare() afterwards.
template <class M>
void load_parameters(M& module, const StateDict& file, const LoadOptions& options = {}) {
    std::vector<std::string> problems;
    std::set<std::string> known;
    bool misshapen = false;
    for_each_parameter(std::as_const(module), [&](const std::string& name, const auto& parameter) {
        known.insert(name);
        const TensorEntry* entry = file.find(options.prefix + name);
        const std::vector<std::int64_t> shape(parameter.shape.begin(), parameter.shape.end());
        if (!entry) {
            const bool may_lack = options.mask == MaskTensors::optional && detail::is_of_mask(name);
            if (parameter.is_trained && !may_lack)
                problems.push_back(text(name, ": missing; model ", shape_text(shape)));
        } else if (entry->shape != shape) {
            misshapen = true;
            problems.push_back(text(name, ": file ", shape_text(entry->shape), ", model ", shape_text(shape)));
        }
    });
    for (const TensorEntry& entry : file.entries()) {
        if (!entry.name.starts_with(options.prefix)) continue;
        const std::string name = entry.name.substr(options.prefix.size());
        if (!known.contains(name) && !detail::is_unused(name, options.mask))
            problems.push_back(text(detail::printable(name), ": unexpected; file ", shape_text(entry.shape)));
    }
    if (!problems.empty()) {
        constexpr std::size_t most = 20;
        std::string message =
            text(file.source(), ": ", problems.size(),
                 problems.size() == 1 ? " tensor does not fit this model" : " tensors do not fit this model");
        for (std::size_t i = 0; i < std::min(problems.size(), most); ++i) message += "\n  " + problems[i];
        if (problems.size() > most) message += text("\n  ... and ", problems.size() - most, " more");
        message +=
            misshapen ? "\nAssemble the model with the configuration that the file was trained with (embed_dim, "
                        "num_heads, window, mid_channels), or load another file."
                      : "\nAssemble the model with the parts that the file was trained with (depths, directions, mask, "
                        "flow, upsampler), or load another file.";
        throw Error(message);
    }
    for_each_parameter(module, [&](const std::string& name, const auto& parameter) {
        if (const TensorEntry* entry = file.find(options.prefix + name)) copy_as(*entry, parameter.data, file.source());
    });
}

/// The same for a network on any backend. Waits for it.
template <class M, class B>
void load_parameters(B& backend, Network<M, B>& network, const StateDict& file, const LoadOptions& options = {}) {
    network.on_host(backend, [&](M& module) { load_parameters(module, file, options); });
}

/// Writes a module's parameters and buffers under their official names, mask predictors only where `with_mask`; the
/// file appears only when it is whole.
template <class M>
void save_parameters(const M& module, const std::filesystem::path& path,
                     const std::map<std::string, std::string>& metadata = {}, bool with_mask = true) {
    std::vector<TensorToWrite> tensors;
    for_each_parameter(module, [&](const std::string& name, const ParameterRef<const float>& parameter) {
        if (!with_mask && detail::is_of_mask(name)) return;
        tensors.push_back({name, {parameter.shape.begin(), parameter.shape.end()}, parameter.data});
    });
    write_safetensors(path, tensors, metadata);
}

}  // namespace mia
