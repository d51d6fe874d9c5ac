#pragma once
#include <algorithm>
#include <cstdint>
#include <filesystem>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "mia/core/error.hpp"
#include "mia/models/metadata.hpp"
#include "mia/train/data/clip_sampler.hpp"
#include "mia/train/losses.hpp"
#include "mia/train/training_run.hpp"
#include "mia/train/validation.hpp"

namespace mia {

enum class PixelLoss { charbonnier, l1, mse };

/// How a model is trained. The defaults are the paper's for REDS.
struct TrainerConfig : RunConfig {
    ClipSamplerConfig samples = {};
    PixelLoss loss = PixelLoss::charbonnier;
    /// Of models that have a mask. The paper trains with the mask off, then goes on from those weights with it on.
    MaskUse mask = MaskUse::as_trained;
    double mask_threshold = MaskConfig{}.threshold;  ///< by_hand
    double mask_start =
        0;  ///< as_trained: the threshold that initialize_masks() gets; 0: as of initialize(), the paper
    double sparsity = sparsity_weight;  ///< of the loss of a mask that is trained
    float drop_path = 0.1f;
    bool checkpoint = false;  ///< see TapeConfig
};

namespace detail {

/// One fact a line: what decides the result of a run, but for the seed.
inline std::string facts_of(const TrainerConfig& c, const std::vector<TrainingClip>& clips) {
    static constexpr const char* losses[] = {"charbonnier", "l1", "mse"};
    static constexpr const char* masks[] = {"trained", "off", "by hand"};
    return text(facts_of(c.samples), facts_of(static_cast<const RunConfig&>(c)), "loss ", losses[int(c.loss)],
                "\nmask ", masks[int(c.mask)], ' ', c.mask_threshold, "\nmask_start ", c.mask_start, "\nsparsity ",
                c.sparsity, "\ndrop_path ", c.drop_path, '\n', facts_of(clips));
}

inline void check(const TrainerConfig& c) {
    check(static_cast<const RunConfig&>(c));
    require(c.mask_start >= 0, "Trainer: masks start at a threshold of ", c.mask_start, ". Give 0 or more.");
    require(c.sparsity >= 0 && c.drop_path >= 0 && c.drop_path < 1, "Trainer: sparsity ", c.sparsity, " and drop path ",
            c.drop_path, ". Give numbers from 0 on, drop path below 1.");
}

}  // namespace detail

/// Trains a model on the backend of its type, in float. Each iteration is a function of the configuration, the clips
/// and its number, whatever the number of threads, so a run that was saved and resumed on the same kind of backend ends
/// with the same bytes as one that nobody disturbed. A GPU (a model on Cuda, with mia/train/cuda.cuh) plays one sample
/// at a time, whatever config.threads.
///
///     Trainer<MiaVsrLite<>> trainer(clips, config);
///     while (!trainer.is_done()) trainer.step();
///     trainer.save_weights("mine.safetensors");
template <class Model>
class Trainer {
    using B = typename Model::BackendType;

public:
    /// Parameters as of initialize(). Error when the configuration makes no sense or a clip is unfit for it.
    Trainer(std::vector<TrainingClip> clips, const TrainerConfig& config)
        : config_(checked(config)),
          samples_(std::move(clips), config.samples, config.seed),
          run_(config, {.drop_path = config.drop_path, .checkpoint = config.checkpoint}) {
        run_.for_each_model([&](auto& model) {
            if (config.mask_start > 0) initialize_masks(model, config.mask_start);
            set_mask_use(model, config.mask, float(config.mask_threshold));
        });
        const ClipSamplerConfig& s = config.samples;
        for (int i = 0; i < run_.lanes(); ++i)
            frames_.push_back({Tensor<float, 4>(s.frames, s.height, s.width, 3),
                               Tensor<float, 4>(s.frames, s.scale * s.height, s.scale * s.width, 3)});
    }

    const TrainerConfig& config() const { return config_; }
    const std::vector<TrainingClip>& clips() const { return samples_.clips(); }
    std::int64_t iterations_done() const { return run_.iterations_done(); }
    bool is_done() const { return run_.is_done(); }

    /// One iteration. Error when all are done, and when the loss or a gradient is not finite; the parameters are then
    /// as they were.
    TrainingStep step() {
        return run_.step([this](Tape<B>& tape, int lane, std::uint64_t number, double weight) {
            return loss_of_sample(tape, frames_[std::size_t(lane)], number, weight);
        });
    }

    /// The averaged parameters on a clip of true frames: degraded as the samples are, run as a whole. Frames are
    /// cropped to a multiple of the scale.
    Validation validate(const Clip& truth) {
        return validate_on(truth, Model::scale, config_.samples.degradation,
                           [&](View<const float, 4> lr, View<float, 4> out) {
                               B& backend = run_.backend();
                               const auto scope = backend.scope();
                               const auto result = room_for(backend, out);
                               run_.averaged()->forward(backend, uploaded(backend, lr), result);
                               fetch(backend, result, out);
                           });
    }

    /// Begins with these weights instead, by name and shape; what they lack of a mask stays as it begins. Error
    /// after the first iteration, and as of load_parameters.
    void start_from(const StateDict& weights) { run_.start_from(weights); }

    /// Writes all that the run needs to go on (training_state.hpp), whole or not at all.
    void save(const std::filesystem::path& path) { run_.save(path, facts()); }

    /// Goes on where save() was called. Error when the file is none of this run: another model, configuration, seed or
    /// data; do not use the trainer then.
    void resume(const std::filesystem::path& path) { run_.resume(path, facts()); }

    /// Writes the averaged parameters with what the model is, and `more` facts, for programs that run the model; a
    /// mask's only when it was trained.
    void save_weights(const std::filesystem::path& path, const std::map<std::string, std::string>& more = {}) {
        const bool with_mask = config_.mask == MaskUse::as_trained;
        auto metadata = model_metadata<Model>(with_mask);
        metadata.insert(more.begin(), more.end());
        run_.averaged().on_host(run_.backend(),
                                [&](const Model& model) { save_parameters(model, path, metadata, with_mask); });
    }

    /// As they are now, and averaged; in the order of the model's walk, in the backend's memory. To be written to by
    /// who knows what he does.
    View<float, 1> parameters() { return run_.parameters(); }
    View<float, 1> average() { return run_.average(); }
    B& backend() { return run_.backend(); }

private:
    struct Frames {
        Tensor<float, 4> lr, hr;  ///< (frames, height, width, 3)
    };

    static const TrainerConfig& checked(const TrainerConfig& config) {
        detail::check(config);
        require(config.samples.scale == Model::scale, "Trainer: samples of scale ", config.samples.scale,
                " for a model of scale ", Model::scale, ". Give both one scale.");
        return config;
    }
    std::string facts() const {
        return detail::facts_of(config_, samples_.clips()) + (B::memory_is_host ? "" : "device cuda\n");
    }

    double loss_of_sample(Tape<B>& tape, Frames& frames, std::uint64_t number, double weight) const {
        samples_.draw(number, frames.lr, frames.hr);
        const auto lr = uploaded(tape.backend(), View<const float, 4>(frames.lr));
        const auto hr = uploaded(tape.backend(), View<const float, 4>(frames.hr));
        const auto out = tape.scratch(hr.extent(0), hr.extent(1), hr.extent(2), 3);
        run_.model().forward(tape, lr, out);
        double loss = pixel_loss(tape, out, hr, weight);
        if (Model::config.mask.kind == MaskKind::learned && config_.mask == MaskUse::as_trained)
            loss += sparsity_loss(tape, weight * config_.sparsity);
        return loss;
    }
    double pixel_loss(Tape<B>& tape, View<const float, 4> out, View<const float, 4> target, double weight) const {
        switch (config_.loss) {
            case PixelLoss::l1:
                return l1_loss(tape, out, target, weight);
            case PixelLoss::mse:
                return mse_loss(tape, out, target, weight);
            default:
                return charbonnier_loss(tape, out, target, weight);
        }
    }

    TrainerConfig config_;
    ClipSampler samples_;
    TrainingRun<Model, B> run_;
    std::vector<Frames> frames_;  ///< one for each lane
};

}  // namespace mia
