#pragma once
#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <filesystem>
#include <map>
#include <span>
#include <sstream>
#include <string>
#include <utility>
#include <vector>

#include "mia/core/cpu.hpp"
#include "mia/core/error.hpp"
#include "mia/core/module.hpp"
#include "mia/io/load_parameters.hpp"
#include "mia/metrics/quality.hpp"
#include "mia/models/metadata.hpp"
#include "mia/train/data/clip_sampler.hpp"
#include "mia/train/initialize.hpp"
#include "mia/train/losses.hpp"
#include "mia/train/muon.hpp"
#include "mia/train/tape.hpp"
#include "mia/train/training_state.hpp"

namespace mia {

enum class PixelLoss { charbonnier, l1, mse };
enum class Optimizer { adam, muon };

/// How a model is trained. The defaults are the paper's for REDS.
struct TrainerConfig {
    ClipSamplerConfig samples = {};
    std::int64_t iterations = 600000;
    int batch = 24;  ///< samples an iteration
    double learning_rate = 2e-4, least_learning_rate = 1e-7;
    std::int64_t warm_up = 0;
    Optimizer optimizer = Optimizer::adam;
    AdamConfig adam = {};  ///< without weight decay, which would reach what is not trained too
    double average_decay = 0.999;
    double largest_gradient = 0;  ///< the norm that gradients are scaled down to; 0: as they are
    PixelLoss loss = PixelLoss::charbonnier;
    /// Of models that have a mask. The paper trains with the mask off, then goes on from those weights with it on.
    MaskUse mask = MaskUse::as_trained;
    double mask_threshold = MaskConfig{}.threshold;  ///< by_hand
    double sparsity = sparsity_weight;               ///< of the loss of a mask that is trained
    float drop_path = 0.1f;
    bool checkpoint = false;  ///< see TapeConfig
    std::uint64_t seed = 1;   ///< of parameters, samples and noise
    /// Of no influence on the result. Up to `batch` of them have a sample each, with memory for its activations.
    int threads = 1;
};

/// What an iteration did.
struct TrainingStep {
    std::int64_t iteration = 0;  ///< 1, 2, ..., iterations
    double loss = 0;             ///< mean over the batch
    double gradient_norm = 0;    ///< before it was scaled down
    double learning_rate = 0;
};

/// How a true clip looks after it was made small, and large again by the model.
struct Validation {
    double psnr_y = 0;               ///< dB, mean over the frames
    Tensor<float, 4> input;          ///< (T, H, W, 3)
    Tensor<float, 4> result, truth;  ///< (T, scale H, scale W, 3); the result in 8 bits
};

namespace detail {

/// One fact a line: what decides the result of a run, but for the seed.
inline std::string facts_of(const TrainerConfig& c, const std::vector<TrainingClip>& clips) {
    static constexpr const char* losses[] = {"charbonnier", "l1", "mse"};
    static constexpr const char* masks[] = {"trained", "off", "by hand"};
    const ClipSamplerConfig& s = c.samples;
    const MotionConfig& m = s.motion;
    std::string facts =
        text("frames ", s.frames, "\nheight ", s.height, "\nwidth ", s.width, "\ndegradation ",
             s.degradation == Degradation::bicubic ? "bicubic" : "blur", "\nsymmetries ", s.symmetries,
             "\nreverse_time ", s.reverse_time, "\nmotion ", m.max_speed, ' ', m.max_acceleration, ' ',
             m.max_zoom_change, ' ', m.max_rotation, ' ', m.min_zoom, ' ', m.max_zoom, ' ', m.object_probability, ' ',
             m.min_object, ' ', m.max_object, "\niterations ", c.iterations, "\nbatch ", c.batch, "\nlearning_rate ",
             c.learning_rate, "\nleast_learning_rate ", c.least_learning_rate, "\nwarm_up ", c.warm_up, "\noptimizer ",
             c.optimizer == Optimizer::muon ? "muon" : "adam", "\nadam ", c.adam.beta1, ' ', c.adam.beta2, ' ',
             c.adam.eps, "\naverage_decay ", c.average_decay, "\nlargest_gradient ", c.largest_gradient, "\nloss ",
             losses[int(c.loss)], "\nmask ", masks[int(c.mask)], ' ', c.mask_threshold, "\nsparsity ", c.sparsity,
             "\ndrop_path ", c.drop_path, '\n');
    for (const TrainingClip& source : clips)
        facts += text("clip ", source.clip.name, ", ", source.clip.frames, " frames of ", source.clip.width, " x ",
                      source.clip.height, ", weight ", source.weight, '\n');
    return facts;
}

/// Error with the first fact that differs.
inline void check_facts(const std::string& source, const std::string& saved, const std::string& own) {
    std::istringstream saved_lines(saved), own_lines(own);
    for (std::string a, b;;) {
        const bool has_a = bool(std::getline(saved_lines, a)), has_b = bool(std::getline(own_lines, b));
        if (!has_a && !has_b) return;
        require(has_a && has_b && a == b, source, ": the run was begun with ", has_a ? printable(a) : "nothing more",
                ", and this one has ", has_b ? printable(b) : "nothing more",
                ". Go on with the configuration and the data it was begun with, or begin a new run.");
    }
}

inline void check(const TrainerConfig& c) {
    require(c.iterations > 0 && c.batch > 0 && c.warm_up >= 0 && c.warm_up < c.iterations, "Trainer: ", c.iterations,
            " iterations, ", c.warm_up, " of them for warm-up, and a batch of ", c.batch,
            ". Give positive numbers, and a warm-up shorter than the run.");
    require(c.learning_rate > 0 && std::isfinite(c.learning_rate) && c.least_learning_rate >= 0 &&
                c.least_learning_rate <= c.learning_rate,
            "Trainer: a learning rate from ", c.learning_rate, " down to ", c.least_learning_rate,
            ". Give a positive one, and a least one that is not above it.");
    require(c.adam.weight_decay == 0, "Trainer: a weight decay of ", c.adam.weight_decay,
            " would reach parameters that are not trained. Leave it 0.");
    require(c.adam.beta1 >= 0 && c.adam.beta1 < 1 && c.adam.beta2 >= 0 && c.adam.beta2 < 1 && c.adam.eps > 0,
            "Trainer: Adam with betas ", c.adam.beta1, ", ", c.adam.beta2, " and eps ", c.adam.eps,
            ". Give betas in [0, 1) and a positive eps.");
    require(c.largest_gradient >= 0 && c.sparsity >= 0 && c.drop_path >= 0 && c.drop_path < 1,
            "Trainer: a largest gradient of ", c.largest_gradient, ", sparsity ", c.sparsity, " and drop path ",
            c.drop_path, ". Give numbers from 0 on, drop path below 1.");
}

}  // namespace detail

/// Trains a model. Each iteration is a function of the configuration, the clips and its number, whatever the number of
/// threads, so a run that was saved and resumed ends with the same bytes as one that nobody disturbed.
///
///     Trainer<MiaVsrLite<>> trainer(clips, config);
///     while (!trainer.is_done()) trainer.step();
///     trainer.save_weights("mine.safetensors");
template <class Model>
class Trainer {
    using Trained = typename Model::template On<Tape<Cpu>>;

public:
    /// Parameters as of initialize(). Error when the configuration makes no sense or a clip is unfit for it.
    Trainer(std::vector<TrainingClip> clips, const TrainerConfig& config)
        : config_(checked(config)),
          samples_(std::move(clips), config.samples, config.seed),
          cpu_(config.threads),
          model_(cpu_),
          averaged_(cpu_),
          gradients_(model_.flat().extent(0)),
          optimizer_(model_.flat().size(), matrices(), {.adam = config.adam}),
          average_(initialized(), config.average_decay) {
        set_mask_use(*model_, config.mask, float(config.mask_threshold));
        set_mask_use(*averaged_, config.mask, float(config.mask_threshold));
        const int lanes = std::min(config.threads, config.batch);
        for (int i = 0; i < lanes; ++i) lanes_.emplace_back(config, config.threads / lanes, model_.flat());
    }
    Trainer(const Trainer&) = delete;
    Trainer& operator=(const Trainer&) = delete;

    const TrainerConfig& config() const { return config_; }
    const std::vector<TrainingClip>& clips() const { return samples_.clips(); }
    std::int64_t iterations_done() const { return iteration_; }
    bool is_done() const { return iteration_ == config_.iterations; }

    /// One iteration. Error when all are done, and when the loss or a gradient is not finite; the parameters are then
    /// as they were.
    TrainingStep step() {
        require(!is_done(), "Trainer: all ", config_.iterations,
                " iterations are done. Save the weights, or begin a longer run from them.");
        TrainingStep done{.iteration = iteration_ + 1, .learning_rate = schedule().at(iteration_ + 1)};
        done.loss = play_batch();
        const View<float, 1> gradients = gradients_;
        done.gradient_norm = config_.largest_gradient > 0 ? clip_norm(cpu_, gradients, config_.largest_gradient)
                                                          : norm<float>(cpu_, gradients);
        if (!std::isfinite(done.loss) || !std::isfinite(done.gradient_norm)) fail(done);
        optimizer_.step(cpu_, model_.flat(), gradients, done.learning_rate);
        average_.update(cpu_, model_.flat());
        ++iteration_;
        return done;
    }

    /// The averaged parameters on a clip of true frames: degraded as the samples are, run as a whole. Frames are
    /// cropped to a multiple of the scale.
    Validation validate(const Clip& truth) {
        constexpr int s = Model::scale;
        const int T = truth.frames, H = truth.height / s, W = truth.width / s;
        require(T > 0 && H > 0 && W > 0, truth.name, ": ", T, " frames of ", truth.width, " x ", truth.height,
                " cannot be made ", s, " times smaller. Give a clip of larger frames.");
        Validation v{.input = Tensor<float, 4>(T, H, W, 3),
                     .result = Tensor<float, 4>(T, s * H, s * W, 3),
                     .truth = Tensor<float, 4>(T, s * H, s * W, 3)};
        for (int t = 0; t < T; ++t) {
            copy_region(truth.view()[t], {0, 0, s * H, s * W}, v.truth.view()[t]);
            degrade(v.truth.view()[t], s, config_.samples.degradation, v.input.view()[t]);
        }
        averaged()->forward(cpu_, v.input, v.result);
        for (int t = 0; t < T; ++t) {
            round_to_8_bit(v.result.view()[t]);
            v.psnr_y += psnr(v.result.view()[t], v.truth.view()[t], Channels::y) / T;
        }
        return v;
    }

    /// Begins with these weights instead, by name and shape; what they lack of a mask stays as of initialize(). Error
    /// after the first iteration, and as of load_parameters.
    void start_from(const StateDict& weights) {
        require(iteration_ == 0, "Trainer: ", iteration_,
                " iterations are done; weights to start from come before the first. Begin a new run.");
        load_parameters(*model_, weights, {.prefix = "", .mask = MaskTensors::optional});
        average_ = MovingAverage<float>(model_.flat(), config_.average_decay);
    }

    /// Writes all that the run needs to go on (training_state.hpp), whole or not at all.
    void save(const std::filesystem::path& path) {
        save_training_state(path, *averaged_, buffers(), {iteration_, config_.seed, facts()});
        last_saved_ = path.string();
    }

    /// Goes on where save() was called. Error when the file is none of this run: another model, configuration, seed or
    /// data; do not use the trainer then.
    void resume(const std::filesystem::path& path) {
        const TrainingProgress progress = load_training_state<Model>(path, buffers());
        const auto with_seed = [](std::uint64_t seed, const std::string& facts) {
            return text("seed ", seed, '\n', facts);
        };
        detail::check_facts(path.string(), with_seed(progress.seed, progress.config), with_seed(config_.seed, facts()));
        iteration_ = progress.iteration;
        optimizer_.set_steps(iteration_);
        last_saved_ = path.string();
    }

    /// Writes the averaged parameters with what the model is, and `more` facts, for programs that run the model; a
    /// mask's only when it was trained.
    void save_weights(const std::filesystem::path& path, const std::map<std::string, std::string>& more = {}) {
        const bool with_mask = config_.mask == MaskUse::as_trained;
        auto metadata = model_metadata<Model>(with_mask);
        metadata.insert(more.begin(), more.end());
        save_parameters(*averaged(), path, metadata, with_mask);
    }

    /// As they are now, and averaged; in the order of the model's walk. To be written to by who knows what he does.
    View<float, 1> parameters() { return model_.flat(); }
    View<float, 1> average() { return average_.parameters(); }

private:
    static const TrainerConfig& checked(const TrainerConfig& config) {
        detail::check(config);
        require(config.samples.scale == Model::scale, "Trainer: samples of scale ", config.samples.scale,
                " for a model of scale ", Model::scale, ". Give both one scale.");
        return config;
    }
    // Parameters, samples and noise have seeds of their own, all of them functions of the one.
    View<const float, 1> initialized() {
        initialize(*model_, config_.seed ^ 0x9E3779B97F4A7C15);
        return model_.flat();
    }

    std::vector<WeightMatrix> matrices() const {
        if (config_.optimizer == Optimizer::adam) return {};
        return weight_matrices(std::as_const(*averaged_));
    }

    std::string facts() const { return detail::facts_of(config_, samples_.clips()); }
    TrainingBuffers buffers() {
        return {model_.flat(), average_.parameters(), optimizer_.first_moment(), optimizer_.second_moment()};
    }
    CosineSchedule schedule() const {
        return {config_.learning_rate, config_.least_learning_rate, config_.iterations, config_.warm_up};
    }

    /// What plays one sample at a time.
    struct Lane {
        Lane(const TrainerConfig& config, int threads, View<float, 1> parameters)
            : cpu(threads),
              tape(cpu, parameters, {.drop_path = config.drop_path, .checkpoint = config.checkpoint},
                   [this](std::span<float> to) {
                       for (float& x : to) x = float(noise.bits() >> 8) * 0x1p-24f;
                   }) {
            const ClipSamplerConfig& s = config.samples;
            lr.resize(cpu, s.frames, s.height, s.width, 3);
            hr.resize(cpu, s.frames, s.scale * s.height, s.scale * s.width, 3);
        }
        Cpu cpu;
        SampleRandom noise{0, 0};
        Tape<Cpu> tape;
        Tensor<float, 4> lr, hr;  ///< (frames, height, width, 3)
        double loss = 0;
    };

    /// The batch's loss; gradients_ becomes its gradient. As many samples at once as there are lanes, and summed in
    /// order: how many lanes there are is not seen in the sums.
    double play_batch() {
        prepare(lanes_.front().tape, *model_);
        const int lanes = int(lanes_.size());
        double loss = 0;
        for (int first = 0; first < config_.batch; first += lanes) {
            const int count = std::min(lanes, config_.batch - first);
            cpu_.parallel_for(count, 1, [&](std::ptrdiff_t begin, std::ptrdiff_t end, int) {
                for (auto i = begin; i < end; ++i) play(lanes_[std::size_t(i)], first + int(i));
            });
            for (int i = 0; i < count; ++i) {
                Lane& lane = lanes_[std::size_t(i)];
                loss += lane.loss;
                detail::add_gradient(cpu_, lane.tape.parameter_gradients().data, gradients_.size(),
                                     {gradients_.data(), first + i == 0});
            }
        }
        return loss;
    }

    /// Forward and backward on sample b of the batch: its share of the loss and of the gradients are the lane's. Sample
    /// and noise are functions of seed, iteration and b.
    void play(Lane& lane, int b) {
        const auto number = std::uint64_t(iteration_) * std::uint64_t(config_.batch) + std::uint64_t(b);
        const double weight = 1. / config_.batch;
        Tape<Cpu>& tape = lane.tape;
        const View<const float, 4> lr = lane.lr, hr = lane.hr;
        samples_.draw(number, lane.lr, lane.hr);
        lane.noise = SampleRandom(~config_.seed, number);
        tape.restart();
        tape.zero_gradients();
        const auto out = tape.scratch(hr.extent(0), hr.extent(1), hr.extent(2), 3);
        std::as_const(*model_).forward(tape, lr, out);
        lane.loss = pixel_loss(tape, out, hr, weight);
        if (Model::config.mask.kind == MaskKind::learned && config_.mask == MaskUse::as_trained)
            lane.loss += sparsity_loss(tape, weight * config_.sparsity);
        tape.backward();
    }
    double pixel_loss(Tape<Cpu>& tape, View<const float, 4> out, View<const float, 4> target, double weight) const {
        switch (config_.loss) {
            case PixelLoss::l1:
                return l1_loss(tape, out, target, weight);
            case PixelLoss::mse:
                return mse_loss(tape, out, target, weight);
            default:
                return charbonnier_loss(tape, out, target, weight);
        }
    }

    Network<Model>& averaged() {
        const auto from = average_.parameters();
        std::copy(from.data, from.data + from.size(), averaged_.flat().data);
        prepare(cpu_, *averaged_);
        return averaged_;
    }

    /// The gradient flows from the loss towards the first module, and so does what spoils it.
    [[noreturn]] void fail(const TrainingStep& at) {
        const float* gradient = gradients_.data();
        int spoilt = 0, all = 0;
        std::string nearest;
        for_each_parameter(std::as_const(*averaged_), [&](const std::string& name, const auto& p) {
            ++all;
            if (!std::all_of(gradient, gradient + p.size, [](float g) { return std::isfinite(g); })) {
                ++spoilt;
                nearest = name.substr(0, name.rfind('.'));
            }
            gradient += p.size;
        });
        throw Error(text("Trainer: iteration ", at.iteration, " has a loss of ", at.loss, ", and ", spoilt, " of ", all,
                         " parameters have a gradient that is not finite",
                         spoilt > 0 ? ", nearest to the loss those of " : "", nearest, ". ",
                         last_saved_.empty() ? "Nothing was saved before. Begin again"
                                             : "The last good state is " + last_saved_ + ". Begin a new run",
                         " with a smaller learning rate, a longer warm-up, or a largest gradient."));
    }

    TrainerConfig config_;
    ClipSampler samples_;
    Cpu cpu_;
    Network<Trained, Cpu> model_;
    Network<Model> averaged_;  ///< memory for the averaged parameters when they run
    std::deque<Lane> lanes_;   ///< one or more; what lies in a deque stays where it is
    Tensor<float, 1> gradients_;
    Muon<float> optimizer_;
    MovingAverage<float> average_;
    std::int64_t iteration_ = 0;
    std::string last_saved_;
};

}  // namespace mia
