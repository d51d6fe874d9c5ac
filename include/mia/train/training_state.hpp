#pragma once
#include <algorithm>
#include <array>
#include <charconv>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "mia/core/error.hpp"
#include "mia/core/module.hpp"
#include "mia/io/load_parameters.hpp"
#include "mia/io/safetensors.hpp"
#include "mia/models/metadata.hpp"

namespace mia {

/// The numbers of a training run, four flat buffers in the order of Network::flat().
struct TrainingBuffers {
    View<float, 1> parameters, average, first_moment, second_moment;
    std::array<View<float, 1>*, 4> all() { return {&parameters, &average, &first_moment, &second_moment}; }
};

/// What else a run needs to go on.
struct TrainingProgress {
    std::int64_t iteration = 0;  ///< iterations done, which are the optimiser's steps
    std::uint64_t seed = 0;      ///< of samples and noise, which are functions of it and the iteration
    std::string config;          ///< one fact a line
};

namespace detail {

inline constexpr const char* training_state_version = "1";

struct NamedBuffer {
    std::string prefix;  ///< of its tensors' names
    View<float, 1> numbers;
};
inline std::vector<NamedBuffer> named(const TrainingBuffers& buffers) {
    return {{"parameters.", buffers.parameters},
            {"average.", buffers.average},
            {"first_moment.", buffers.first_moment},
            {"second_moment.", buffers.second_moment}};
}

template <class Number>
Number whole_number(const StateDict& file, const std::string& key) {
    const auto at = file.metadata().find(key);
    Number value = 0;
    if (at != file.metadata().end()) {
        const char *begin = at->second.data(), *end = begin + at->second.size();
        const auto [stop, error] = std::from_chars(begin, end, value);
        if (error == std::errc() && stop == end && begin != end && std::cmp_greater_equal(value, 0)) return value;
    }
    throw Error(text(file.source(), ": the training state's ", key,
                     " is missing or no whole number. Take an earlier state that is not damaged."));
}

/// The file's facts about its model must be the model's.
template <class M>
void check_model(const StateDict& file) {
    for (const auto& [key, value] : model_metadata<M>()) {
        const auto at = file.metadata().find(key);
        const std::string found = at == file.metadata().end() ? "none" : at->second;
        require(found == value, file.source(), ": the training state is of a model with ", key, " ", found,
                "; this one has ", value, ". Go on with the model that the run began with.");
    }
}

}  // namespace detail

/// Writes a run as one safetensors file, which appears under its name only when it is whole. Error as of
/// write_safetensors, with NaN among them.
template <class M>
void save_training_state(const std::filesystem::path& path, const M& model, const TrainingBuffers& buffers,
                         const TrainingProgress& progress) {
    std::vector<TensorToWrite> tensors;
    for (const detail::NamedBuffer& buffer : detail::named(buffers)) {
        const float* next = buffer.numbers.data;
        for_each_parameter(model, [&](const std::string& name, const ParameterRef<const float>& p) {
            tensors.push_back(
                {buffer.prefix + name, {p.shape.begin(), p.shape.end()}, std::exchange(next, next + p.size)});
        });
    }
    auto metadata = model_metadata<M>();
    metadata["training_state"] = detail::training_state_version;
    metadata["iteration"] = std::to_string(progress.iteration);
    metadata["seed"] = std::to_string(progress.seed);
    metadata["config"] = progress.config;
    write_safetensors(path, tensors, metadata);
}

/// Fills the buffers of a run of model M from a file. Strict: Error when the file is damaged, no training state, or of
/// another model, with what differs; the buffers are then as they were.
template <class M>
TrainingProgress load_training_state(const std::filesystem::path& path, const TrainingBuffers& buffers) {
    const StateDict file = read_safetensors(path);
    const auto version = file.metadata().find("training_state");
    require(version != file.metadata().end(), file.source(),
            ": this is no training state; it holds weights or something else. Name the file that the run saved to go "
            "on, or begin a new run.");
    require(version->second == detail::training_state_version, file.source(), ": a training state of version ",
            detail::printable(version->second), ", this program knows version ", detail::training_state_version,
            ". Go on with the program that wrote it.");
    detail::check_model<M>(file);

    TrainingProgress progress{
        detail::whole_number<std::int64_t>(file, "iteration"), detail::whole_number<std::uint64_t>(file, "seed"), {}};
    const auto config = file.metadata().find("config");
    if (config != file.metadata().end()) progress.config = config->second;

    Cpu cpu;
    Network<M> network(cpu);
    const auto targets = detail::named(buffers);
    std::size_t known = 0;
    for_each_parameter(std::as_const(*network), [&](const std::string& name, const auto&) {
        for (const detail::NamedBuffer& buffer : targets) {
            require(file.find(buffer.prefix + name) != nullptr, file.source(), ": ", buffer.prefix, name,
                    " is missing. Go on with the model that the run began with.");
            ++known;
        }
    });
    std::vector<std::vector<float>> read;
    for (const detail::NamedBuffer& buffer : targets) {
        load_parameters(*network, file, {.prefix = buffer.prefix});
        const auto flat = network.flat();
        require(buffer.numbers.size() == flat.size(), "load_training_state: a buffer of ", buffer.numbers.size(),
                " numbers was given for a model of ", flat.size(), ". Give buffers as long as Network::flat().");
        read.emplace_back(flat.data, flat.data + flat.size());
    }
    require(file.entries().size() == known, file.source(), ": ", file.entries().size() - known,
            " tensors belong to nothing in a training state. Go on with the program that wrote it.");
    for (std::size_t i = 0; i < read.size(); ++i) std::copy(read[i].begin(), read[i].end(), targets[i].numbers.data);
    return progress;
}

}  // namespace mia
