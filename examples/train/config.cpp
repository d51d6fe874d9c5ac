#include "train/config.hpp"

#include <algorithm>
#include <fstream>
#include <limits>
#include <nlohmann/json.hpp>
#include <numeric>
#include <string>
#include <vector>

#include "mia/core/error.hpp"

namespace {

using mia::require;
using mia::text;

/// Levenshtein's distance: letters to change, insert or leave out.
std::size_t edit_distance(const std::string& a, const std::string& b) {
    std::vector<std::size_t> row(b.size() + 1);
    std::iota(row.begin(), row.end(), std::size_t(0));
    for (std::size_t i = 0; i < a.size(); ++i) {
        std::size_t diagonal = std::exchange(row[0], i + 1);
        for (std::size_t j = 0; j < b.size(); ++j) {
            const std::size_t replaced = diagonal + (a[i] != b[j]);
            diagonal = row[j + 1];
            row[j + 1] = std::min({replaced, diagonal + 1, row[j] + 1});
        }
    }
    return row.back();
}

/// The members of a JSON object, each of which must be asked for.
class Members {
public:
    explicit Members(const std::filesystem::path& path) : source_(path.string()), folder_(path.parent_path()) {
        std::ifstream in(path);
        require(in.is_open() && !std::filesystem::is_directory(path), source_,
                ": the configuration cannot be opened. Check the path and its permissions.");
        try {
            object_ = nlohmann::json::parse(in);
        } catch (const nlohmann::json::exception& error) {
            throw mia::Error(text(source_, " is not JSON: ", error.what(), ". Mend it there."));
        }
        require(object_.is_object(), source_,
                ": the configuration is no JSON object. Write {\"data\": \"data.txt\", ...}.");
    }

    void read(const char* key, int& to, std::int64_t least) {
        std::int64_t wide = to;
        read(key, wide, least, std::numeric_limits<int>::max());
        to = int(wide);
    }
    void read(const char* key, std::int64_t& to, std::int64_t least,
              std::int64_t most = std::numeric_limits<std::int64_t>::max()) {
        const auto* value = find(key);
        if (value == nullptr) return;
        // Beyond 2^63 a JSON number counts as unsigned and turns negative here.
        const bool fits =
            value->is_number_integer() && value->get<std::int64_t>() >= least && value->get<std::int64_t>() <= most;
        if (!fits) refuse(key, *value, text("a whole number from ", least, " on"));
        to = value->get<std::int64_t>();
    }
    void read(const char* key, double& to, double least, double most) {
        const auto* value = find(key);
        if (value == nullptr) return;
        if (!value->is_number() || !(value->get<double>() >= least && value->get<double>() <= most))
            refuse(key, *value, text("a number from ", least, " to ", most));
        to = value->get<double>();
    }
    void read(const char* key, bool& to) {
        const auto* value = find(key);
        if (value == nullptr) return;
        if (!value->is_boolean()) refuse(key, *value, "true or false");
        to = value->get<bool>();
    }
    /// One of the words, which stand for the values 0, 1, ...
    template <class Enum>
    void read(const char* key, Enum& to, const std::vector<std::string>& words) {
        const auto* value = find(key);
        if (value == nullptr) return;
        const auto at = value->is_string() ? std::ranges::find(words, value->get<std::string>()) : words.end();
        if (at == words.end()) {
            std::string all;
            for (const std::string& word : words) all += text(all.empty() ? "\"" : ", \"", word, '"');
            refuse(key, *value, "one of " + all);
        }
        to = Enum(at - words.begin());
    }
    void read(const char* key, std::filesystem::path& to) {
        const auto* value = find(key);
        if (value == nullptr) return;
        if (!value->is_string() || value->get<std::string>().empty()) refuse(key, *value, "a path");
        to = folder_ / value->get<std::string>();
    }

    void read(const char* key, std::map<std::string, std::string>& to) {
        const auto* value = find(key);
        if (value == nullptr) return;
        if (!value->is_object() || !std::ranges::all_of(*value, [](const auto& word) { return word.is_string(); }))
            refuse(key, *value, "an object of strings, like {\"license\": \"CC0-1.0\"}");
        value->get_to(to);
    }

    /// Error for the first member that nobody asked for.
    void finish() const {
        for (const auto& member : object_.items()) {
            const std::string& key = member.key();
            if (std::ranges::find(known_, key) != known_.end()) continue;
            const auto nearest = std::ranges::min_element(
                known_, {}, [&](const std::string& known) { return edit_distance(key, known); });
            throw mia::Error(
                text(source_, ": there is no key \"", key, "\"; the nearest is \"", *nearest, "\". Correct its name."));
        }
    }

private:
    const nlohmann::json* find(const char* key) {
        known_.emplace_back(key);
        const auto at = object_.find(key);
        return at == object_.end() ? nullptr : &*at;
    }
    [[noreturn]] void refuse(const char* key, const nlohmann::json& found, const std::string& wanted) const {
        throw mia::Error(text(source_, ": \"", key, "\" is ", found.dump(), ". Write ", wanted, "."));
    }

    std::string source_;
    std::filesystem::path folder_;
    nlohmann::json object_;
    std::vector<std::string> known_;
};

}  // namespace

TrainConfig read_config(const std::filesystem::path& path) {
    TrainConfig config;
    mia::TrainerConfig& trainer = config.trainer;
    mia::ClipSamplerConfig& samples = trainer.samples;
    constexpr double any = std::numeric_limits<double>::max();
    double drop_path = double(trainer.drop_path);
    std::int64_t seed = std::int64_t(trainer.seed);

    Members members(path);
    members.read("data", config.data);
    members.read("validation", config.validation);
    members.read("validation_frames", config.validation_frames, 1);
    members.read("start", config.start);
    members.read("output", config.output);
    members.read("metadata", config.metadata);
    members.read("report_every", config.report_every, 1);
    members.read("validate_every", config.validate_every, 1);
    members.read("save_every", config.save_every, 1);

    members.read("iterations", trainer.iterations, 1);
    members.read("batch", trainer.batch, 1);
    members.read("frames", samples.frames, 1);
    members.read("patch", samples.height, 1);  // LR pixels
    samples.width = samples.height;
    members.read("degradation", samples.degradation, {"bicubic", "blur"});
    members.read("symmetries", samples.symmetries);
    members.read("reverse_time", samples.reverse_time);
    members.read("max_speed", samples.motion.max_speed, 0, 64);

    members.read("loss", trainer.loss, {"charbonnier", "l1", "mse"});
    members.read("learning_rate", trainer.learning_rate, 0, any);
    members.read("least_learning_rate", trainer.least_learning_rate, 0, any);
    members.read("warm_up", trainer.warm_up, 0);
    members.read("mask", trainer.mask, {"trained", "off", "by hand"});
    members.read("mask_threshold", trainer.mask_threshold, 0, any);
    members.read("mask_start", trainer.mask_start, 0, any);
    members.read("sparsity", trainer.sparsity, 0, any);
    members.read("optimizer", trainer.optimizer, {"adam", "muon"});
    members.read("beta1", trainer.adam.beta1, 0, 1);
    members.read("beta2", trainer.adam.beta2, 0, 1);
    members.read("average_decay", trainer.average_decay, 0, 1);
    members.read("largest_gradient", trainer.largest_gradient, 0, any);
    members.read("drop_path", drop_path, 0, 1);
    members.read("checkpoint_blocks", trainer.checkpoint);
    members.read("seed", seed, 0);
    members.finish();

    trainer.drop_path = float(drop_path);
    trainer.seed = std::uint64_t(seed);
    require(!config.data.empty(), path.string(), ": \"data\" is missing. Name the text file that lists the material.");
    require(config.output.extension() == ".safetensors", path.string(), ": \"output\" is \"", config.output.string(),
            "\". Name a file that ends in .safetensors.");
    return config;
}
