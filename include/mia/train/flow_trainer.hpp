#pragma once
#include <algorithm>
#include <cmath>
#include <concepts>
#include <cstdint>
#include <filesystem>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "mia/core/error.hpp"
#include "mia/models/flow.hpp"
#include "mia/models/metadata.hpp"
#include "mia/train/data/clip_sampler.hpp"
#include "mia/train/losses.hpp"
#include "mia/train/training_run.hpp"

namespace mia {

/// A flow network that can be trained: an OpticalFlow that names itself on another backend, as On, and says what it is,
/// as metadata() of strings.
template <class F>
concept TrainableFlow = OpticalFlow<F, Cpu> && OpticalFlow<typename F::template On<Tape<Cpu>>, Tape<Cpu>> && requires {
    { F::metadata() } -> std::convertible_to<std::map<std::string, std::string>>;
};

/// What a flow network learns from.
enum class FlowStage {
    synthetic,   ///< the end-point error on pairs of frames made of photos, whose flow is known
    photometric  ///< how far frames of clips, warped, are from one another; comes second, from the weights of the first
};

/// How a flow network is trained. Both stages see LR frames, as the model does, and count in LR pixels.
struct FlowTrainerConfig : RunConfig {
    FlowStage stage = FlowStage::synthetic;
    ClipSamplerConfig samples = {.frames = 2};  ///< always two frames
};

/// A flow network on pairs of frames, against no motion on the same ones.
struct FlowValidation {
    double end_point_error = 0, end_point_error_at_rest = 0;  ///< LR pixels, mean over all; 0 where it is not known
    double warping_error = 0, warping_error_at_rest = 0;  ///< mean of |warped - ref| where the flow stays in the frame
};

namespace detail {

inline std::string facts_of(const FlowTrainerConfig& c, const std::vector<TrainingClip>& clips) {
    return text(facts_of(c.samples), facts_of(static_cast<const RunConfig&>(c)), "stage ",
                c.stage == FlowStage::synthetic ? "synthetic" : "photometric", '\n', facts_of(clips));
}

}  // namespace detail

/// Trains a flow network on its own, for patch alignment sends no gradient to the flow. As Trainer does: each iteration
/// is a function of the configuration, the clips and its number, whatever the number of threads.
///
///     using Light = SpyNet<light_spynet>;
///     FlowTrainer<Light> first(photos, {...});                          // FlowStage::synthetic
///     while (!first.is_done()) first.step();
///     first.save_weights("synthetic.safetensors");
///     FlowTrainer<Light> second(clips, {... FlowStage::photometric});
///     second.start_from(read_state_dict("synthetic.safetensors"));
template <TrainableFlow Flow>
class FlowTrainer {
public:
    /// Parameters as of initialize(). Error when the configuration makes no sense or a clip is unfit for it.
    FlowTrainer(std::vector<TrainingClip> clips, const FlowTrainerConfig& config)
        : config_(checked(config, clips)), samples_(std::move(clips), config.samples, config.seed), run_(config, {}) {
        for (int i = 0; i < run_.lanes(); ++i) pairs_.emplace_back(config.samples);
    }

    const FlowTrainerConfig& config() const { return config_; }
    const std::vector<TrainingClip>& clips() const { return samples_.clips(); }
    std::int64_t iterations_done() const { return run_.iterations_done(); }
    bool is_done() const { return run_.is_done(); }

    /// One iteration. Error when all are done, and when the loss or a gradient is not finite; the parameters are then
    /// as they were.
    TrainingStep step() {
        return run_.step([this](Tape<Cpu>& tape, int lane, std::uint64_t number, double weight) {
            return loss_of_sample(tape, pairs_[std::size_t(lane)], number, weight);
        });
    }

    /// The averaged parameters on `count` samples, the same in each call, of clips that are cut as the training's are.
    /// The end-point error counts if all clips are photos.
    FlowValidation validate(const std::vector<TrainingClip>& held_out, int count) {
        const ClipSampler samples(held_out, config_.samples, 0);
        const bool is_known = are_photos(held_out);
        const Network<Flow>& network = run_.averaged();
        Pair pair(config_.samples);
        const ClipSamplerConfig& s = config_.samples;
        Tensor<float, 3> found(s.height, s.width, 2), rest(s.height, s.width, 2);
        fill_zero(run_.cpu(), rest.view());
        FlowValidation v;
        for (int n = 0; n < count; ++n) {
            pair.draw(samples, std::uint64_t(n), is_known);
            network->forward(run_.cpu(), pair.ref(), pair.supp(), found);
            if (is_known) {
                v.end_point_error += mean_error(found, pair.flow) / count;
                v.end_point_error_at_rest += mean_error(rest, pair.flow) / count;
            }
            v.warping_error += warping_error(pair, found) / count;
            v.warping_error_at_rest += warping_error(pair, rest) / count;
        }
        return v;
    }

    /// Begins with these weights instead, by name and shape. Error after the first iteration, and as of
    /// load_parameters.
    void start_from(const StateDict& weights) { run_.start_from(weights); }

    /// Writes all that the run needs to go on (training_state.hpp), whole or not at all.
    void save(const std::filesystem::path& path) { run_.save(path, facts()); }

    /// Goes on where save() was called. Error when the file is none of this run: another network, configuration, seed
    /// or data; do not use the trainer then.
    void resume(const std::filesystem::path& path) { run_.resume(path, facts()); }

    /// Writes the averaged parameters with what the network is, and `more` facts. A model whose flow is of this type
    /// loads them by load_parameters(its flow, ...).
    void save_weights(const std::filesystem::path& path, const std::map<std::string, std::string>& more = {}) {
        auto metadata = model_metadata<Flow>();
        metadata.insert(more.begin(), more.end());
        save_parameters(*run_.averaged(), path, metadata);
    }

    /// As they are now, and averaged; in the order of the network's walk. To be written to by who knows what he does.
    View<float, 1> parameters() { return run_.parameters(); }
    View<float, 1> average() { return run_.average(); }

private:
    /// A sample: two LR frames, and what moves from the first to the second.
    struct Pair {
        explicit Pair(const ClipSamplerConfig& s) : frames(2, s.height, s.width, 3), flow(s.height, s.width, 2) {}
        void draw(const ClipSampler& samples, std::uint64_t number, bool with_flow) {
            samples.draw(number, frames, {}, with_flow ? flow.view() : View<float, 3>{});
        }
        View<const float, 3> ref() const { return frames.view()[0]; }
        View<const float, 3> supp() const { return frames.view()[1]; }
        Tensor<float, 4> frames;
        Tensor<float, 3> flow;
    };

    static bool are_photos(const std::vector<TrainingClip>& clips) {
        return std::all_of(clips.begin(), clips.end(), [](const TrainingClip& c) { return c.is_photo; });
    }
    static const FlowTrainerConfig& checked(const FlowTrainerConfig& config, const std::vector<TrainingClip>& clips) {
        const ClipSamplerConfig& s = config.samples;
        require(s.frames == 2, "FlowTrainer: samples of ", s.frames,
                " frames. A flow leads from one to another: give 2.");
        require(std::min(s.height, s.width) >= Flow::least_size, "FlowTrainer: samples of ", s.width, " x ", s.height,
                " LR pixels, the network needs ", Flow::least_size, " x ", Flow::least_size, ". Give larger samples.");
        for (const TrainingClip& source : clips)
            require(config.stage == FlowStage::photometric || source.is_photo, "FlowTrainer: ", source.clip.name,
                    " is a clip whose flow nobody knows. Give photos only, or train it in the photometric stage.");
        return config;
    }
    std::string facts() const { return detail::facts_of(config_, samples_.clips()); }

    double loss_of_sample(Tape<Cpu>& tape, Pair& pair, std::uint64_t number, double weight) const {
        const bool is_synthetic = config_.stage == FlowStage::synthetic;
        pair.draw(samples_, number, is_synthetic);
        const auto flow = tape.scratch(pair.ref().extent(0), pair.ref().extent(1), 2);
        run_.model().forward(tape, pair.ref(), pair.supp(), flow);
        if (is_synthetic) return end_point_error(tape, flow, pair.flow, weight);
        return photometric_loss(tape, pair.ref(), pair.supp(), flow, weight);
    }

    double mean_error(View<const float, 3> flow, View<const float, 3> target) {
        double sum = 0;
        for (std::ptrdiff_t i = 0; i < flow.size(); i += 2)
            sum += std::hypot(flow.data[i] - target.data[i], flow.data[i + 1] - target.data[i + 1]);
        return sum / (double(flow.size()) / 2);
    }
    double warping_error(const Pair& pair, View<const float, 3> flow) {
        Tape<Cpu> tape(run_.cpu());
        return photometric_loss(tape, pair.ref(), pair.supp(), tape.variable(flow), 1, 0);
    }

    FlowTrainerConfig config_;
    ClipSampler samples_;
    TrainingRun<Flow> run_;
    std::vector<Pair> pairs_;  ///< one for each lane
};

}  // namespace mia
