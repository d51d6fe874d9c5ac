#pragma once
#include <algorithm>
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

/// A flow on pairs of frames, and no motion on the same ones.
struct FlowQuality {
    double end_point_error = 0, end_point_error_at_rest = 0;  ///< LR pixels, mean over all; 0 where it is not known
    double warping_error = 0, warping_error_at_rest = 0;  ///< mean of |warped - ref| where the flow stays in the frame
};

namespace detail {

inline std::string facts_of(const FlowTrainerConfig& c, const std::vector<TrainingClip>& clips) {
    return text(facts_of(c.samples), facts_of(static_cast<const RunConfig&>(c)), "stage ",
                c.stage == FlowStage::synthetic ? "synthetic" : "photometric", '\n', facts_of(clips));
}

/// A sample: two LR frames, and how the first one's pixels move.
struct FlowSample {
    explicit FlowSample(const ClipSamplerConfig& s) : frames(2, s.height, s.width, 3), flow(s.height, s.width, 2) {}
    void draw(const ClipSampler& samples, std::uint64_t number, bool with_flow) {
        samples.draw(number, frames, {}, with_flow ? flow.view() : View<float, 3>{});
    }
    View<const float, 3> ref() const { return frames.view()[0]; }
    View<const float, 3> supp() const { return frames.view()[1]; }
    Tensor<float, 4> frames;
    Tensor<float, 3> flow;
};

}  // namespace detail

/// Measures a flow on `count` pairs of frames, the same in each call, cut out of clips or made of photos as
/// samples.frames = 2 says. The end-point error is known if all are photos.
template <OpticalFlow<Cpu> Flow>
FlowQuality measure_flow(Cpu& cpu, const Flow& flow, const std::vector<TrainingClip>& clips,
                         const ClipSamplerConfig& samples, int count) {
    const ClipSampler sampler(clips, samples, 0);
    const bool is_known = std::all_of(clips.begin(), clips.end(), [](const TrainingClip& c) { return c.is_photo; });
    detail::FlowSample pair(samples);
    Tensor<float, 3> found(samples.height, samples.width, 2), rest(samples.height, samples.width, 2);
    fill_zero(cpu, rest.view());
    Tape<Cpu> tape(cpu);
    // The losses without their eps; nothing is played backwards.
    const auto error = [&](View<const float, 3> of) {
        return end_point_error(tape, tape.variable(of), pair.flow, 1, 0);
    };
    const auto warping_error = [&](View<const float, 3> of) {
        return photometric_loss(tape, pair.ref(), pair.supp(), tape.variable(of), 1, 0);
    };
    FlowQuality q;
    for (int n = 0; n < count; ++n) {
        tape.restart();
        pair.draw(sampler, std::uint64_t(n), is_known);
        flow.forward(cpu, pair.ref(), pair.supp(), found);
        q.end_point_error += is_known ? error(found) / count : 0;
        q.end_point_error_at_rest += is_known ? error(rest) / count : 0;
        q.warping_error += warping_error(found) / count;
        q.warping_error_at_rest += warping_error(rest) / count;
    }
    return q;
}

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

    /// The averaged parameters on clips held out (see measure_flow).
    FlowQuality validate(const std::vector<TrainingClip>& held_out, int count) {
        return measure_flow(run_.backend(), *std::as_const(run_.averaged()), held_out, config_.samples, count);
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

    double loss_of_sample(Tape<Cpu>& tape, detail::FlowSample& pair, std::uint64_t number, double weight) const {
        const bool is_synthetic = config_.stage == FlowStage::synthetic;
        pair.draw(samples_, number, is_synthetic);
        const auto flow = tape.scratch(pair.ref().extent(0), pair.ref().extent(1), 2);
        run_.model().forward(tape, pair.ref(), pair.supp(), flow);
        if (is_synthetic) return end_point_error(tape, flow, pair.flow, weight);
        return photometric_loss(tape, pair.ref(), pair.supp(), flow, weight);
    }

    FlowTrainerConfig config_;
    ClipSampler samples_;
    TrainingRun<Flow> run_;
    std::vector<detail::FlowSample> pairs_;  ///< one for each lane
};

}  // namespace mia
