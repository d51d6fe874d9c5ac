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
#include "mia/core/transfer.hpp"
#include "mia/io/load_parameters.hpp"
#include "mia/models/metadata.hpp"
#include "mia/train/data/sample_random.hpp"
#include "mia/train/initialize.hpp"
#include "mia/train/muon.hpp"
#include "mia/train/tape.hpp"
#include "mia/train/training_state.hpp"

namespace mia {

enum class Optimizer { adam, muon };

/// How parameters are moved, whatever is trained. The defaults are the paper's for REDS.
struct RunConfig {
    std::int64_t iterations = 600000;
    int batch = 24;  ///< samples an iteration
    double learning_rate = 2e-4, least_learning_rate = 1e-7;
    std::int64_t warm_up = 0;
    Optimizer optimizer = Optimizer::adam;
    AdamConfig adam = {};  ///< without weight decay, which would reach what is not trained too
    double average_decay = 0.999;
    double largest_gradient = 0;  ///< the norm that gradients are scaled down to; 0: as they are
    std::uint64_t seed = 1;       ///< of parameters, samples and noise
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

namespace detail {

/// One fact a line: what decides the result of a run, but for the seed.
inline std::string facts_of(const RunConfig& c) {
    return text("iterations ", c.iterations, "\nbatch ", c.batch, "\nlearning_rate ", c.learning_rate,
                "\nleast_learning_rate ", c.least_learning_rate, "\nwarm_up ", c.warm_up, "\noptimizer ",
                c.optimizer == Optimizer::muon ? "muon" : "adam", "\nadam ", c.adam.beta1, ' ', c.adam.beta2, ' ',
                c.adam.eps, "\naverage_decay ", c.average_decay, "\nlargest_gradient ", c.largest_gradient, '\n');
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

inline void check(const RunConfig& c) {
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
    require(c.largest_gradient >= 0, "Trainer: a largest gradient of ", c.largest_gradient,
            ". Give a number from 0 on.");
}

}  // namespace detail

/// What trainers of all kinds share: a model's parameters, their average, the optimiser that moves them, and tapes that
/// play the samples of a batch, all in the memory of B, which Model runs on. Each iteration is a function of the
/// configuration and its number, whatever the number of threads, so a run that was saved and resumed ends with the same
/// bytes as one that nobody disturbed.
template <class Model, class B = Cpu>
class TrainingRun {
public:
    using Trained = typename Model::template On<Tape<B>>;

    /// Parameters as of initialize(). Error when the configuration makes no sense.
    TrainingRun(const RunConfig& config, const TapeConfig& tape)
        : config_(checked(config)),
          backend_(detail::make_backend<B>(config.threads)),
          model_(backend_),
          averaged_(backend_),
          optimizer_(backend_, model_.flat().size(), matrices(), {.adam = config.adam}),
          average_(backend_, initialized(), config.average_decay) {
        gradients_.resize(backend_, model_.flat().extent(0));
        const int lanes = B::memory_is_host ? std::min(config.threads, config.batch) : 1;
        for (int i = 0; i < lanes; ++i)
            lanes_.emplace_back(backend_of_lane(config.threads / lanes), model_.flat(), tape);
    }
    TrainingRun(const TrainingRun&) = delete;
    TrainingRun& operator=(const TrainingRun&) = delete;

    std::int64_t iterations_done() const { return iteration_; }
    bool is_done() const { return iteration_ == config_.iterations; }
    /// How many samples are played at once.
    int lanes() const { return int(lanes_.size()); }
    const Trained& model() const { return *model_; }
    /// f(model) for the model that is trained and the one that runs the average, with parameters in host memory; to
    /// set them up, before the first iteration: the average begins with what f leaves.
    template <class F>
    void for_each_model(F f) {
        model_.on_host(backend_, f);
        averaged_.on_host(backend_, f);
        begin_average();
    }

    /// One iteration. play(tape, lane, number, weight): forward pass and loss, which it returns, of sample `number`,
    /// times `weight`; at once for different lanes. Error when all are done, and when the loss or a gradient is not
    /// finite; the parameters are then as they were.
    template <class Play>
    TrainingStep step(Play&& play) {
        require(!is_done(), "Trainer: all ", config_.iterations,
                " iterations are done. Save the weights, or begin a longer run from them.");
        TrainingStep done{.iteration = iteration_ + 1, .learning_rate = schedule().at(iteration_ + 1)};
        done.loss = play_batch(play);
        const View<float, 1> gradients = gradients_;
        done.gradient_norm = config_.largest_gradient > 0 ? clip_norm(backend_, gradients, config_.largest_gradient)
                                                          : norm(backend_, gradients);
        if (!std::isfinite(done.loss) || !std::isfinite(done.gradient_norm)) fail(done);
        optimizer_.step(backend_, model_.flat(), gradients, done.learning_rate);
        average_.update(backend_, model_.flat());
        ++iteration_;
        return done;
    }

    /// Begins with these weights instead, by name and shape; what they lack of a mask stays as it begins. Error
    /// after the first iteration, and as of load_parameters.
    void start_from(const StateDict& weights) {
        require(iteration_ == 0, "Trainer: ", iteration_,
                " iterations are done; weights to start from come before the first. Begin a new run.");
        load_parameters(backend_, model_, weights, {.prefix = "", .mask = MaskTensors::optional});
        begin_average();
    }

    /// Writes all that the run needs to go on (training_state.hpp), whole or not at all. facts: what decides its
    /// result, but for the seed, one fact a line.
    void save(const std::filesystem::path& path, const std::string& facts) {
        with_buffers([&](const TrainingBuffers& buffers) {
            save_training_state(path, *averaged_, buffers, {iteration_, config_.seed, facts});
        });
        last_saved_ = path.string();
    }

    /// Goes on where save() was called. Error when the file is none of this run: another model, seed or facts; do not
    /// use the run then.
    void resume(const std::filesystem::path& path, const std::string& facts) {
        TrainingProgress progress;
        with_buffers([&](const TrainingBuffers& buffers) {
            progress = load_training_state<typename Model::template On<Cpu>>(path, buffers);
        });
        const auto with_seed = [](std::uint64_t seed, const std::string& facts) {
            return text("seed ", seed, '\n', facts);
        };
        detail::check_facts(path.string(), with_seed(progress.seed, progress.config), with_seed(config_.seed, facts));
        iteration_ = progress.iteration;
        optimizer_.set_steps(iteration_);
        last_saved_ = path.string();
    }

    /// The model with the averaged parameters, ready to run.
    Network<Model, B>& averaged() {
        const int size = averaged_.flat().extent(0);
        copy(backend_, average_.parameters().reshape(1, size), averaged_.flat().reshape(1, size));
        prepare(backend_, *averaged_);
        return averaged_;
    }

    B& backend() { return backend_; }
    /// As they are now, and averaged; in the order of the model's walk, in the backend's memory. To be written to by
    /// who knows what he does.
    View<float, 1> parameters() { return model_.flat(); }
    View<float, 1> average() { return average_.parameters(); }

private:
    static const RunConfig& checked(const RunConfig& config) {
        detail::check(config);
        return config;
    }
    // Parameters, samples and noise have seeds of their own, all of them functions of the one.
    View<const float, 1> initialized() {
        model_.on_host(backend_, [&](Trained& model) { initialize(model, config_.seed ^ 0x9E3779B97F4A7C15); });
        return model_.flat();
    }

    void begin_average() { average_ = MovingAverage<float, B>(backend_, model_.flat(), config_.average_decay); }

    std::vector<WeightMatrix> matrices() const {
        if (config_.optimizer == Optimizer::adam) return {};
        return weight_matrices(std::as_const(*averaged_));
    }

    /// f(buffers), which lie in host memory; what f writes there is the run's then, unless it throws.
    template <class F>
    void with_buffers(F f) {
        TrainingBuffers buffers = {model_.flat(), average_.parameters(), optimizer_.first_moment(),
                                   optimizer_.second_moment()};
        if constexpr (B::memory_is_host) {
            f(buffers);
        } else {
            TrainingBuffers own = buffers;
            std::vector<Tensor<float, 1>> copies;
            for (View<float, 1>* x : buffers.all()) {
                copies.emplace_back(x->extent(0));
                download(backend_, *x, copies.back().view());
                *x = copies.back();
            }
            synchronize(backend_);
            f(buffers);
            for (std::size_t i = 0; i < copies.size(); ++i) upload(backend_, copies[i], *own.all()[i]);
            synchronize(backend_);
        }
    }
    CosineSchedule schedule() const {
        return {config_.learning_rate, config_.least_learning_rate, config_.iterations, config_.warm_up};
    }

    /// What plays one sample at a time.
    struct Lane {
        Lane(B& backend, View<float, 1> parameters, const TapeConfig& config)
            : tape(backend, parameters, config, [this](std::span<float> to) {
                  for (float& x : to) x = float(noise.bits() >> 8) * 0x1p-24f;
              }) {}
        SampleRandom noise{0, 0};
        Tape<B> tape;
        double loss = 0;
    };
    /// On the host each lane has threads of its own; on a GPU there is one lane, in the run's stream.
    B& backend_of_lane(int threads) {
        if constexpr (B::memory_is_host)
            return lane_backends_.emplace_back(threads);
        else
            return backend_;
    }

    /// The batch's loss; gradients_ becomes its gradient. As many samples at once as there are lanes, and summed in
    /// order: how many lanes there are is not seen in the sums.
    template <class Play>
    double play_batch(Play& play) {
        prepare(lanes_.front().tape, *model_);
        const int lanes = int(lanes_.size());
        double loss = 0;
        for (int first = 0; first < config_.batch; first += lanes) {
            const int count = std::min(lanes, config_.batch - first);
            const auto play_samples = [&](std::ptrdiff_t begin, std::ptrdiff_t end, int) {
                for (auto i = begin; i < end; ++i) play_sample(play, int(i), first + int(i));
            };
            if constexpr (B::memory_is_host)
                backend_.parallel_for(count, 1, play_samples);
            else
                play_samples(0, count, 0);
            for (int i = 0; i < count; ++i) {
                Lane& lane = lanes_[std::size_t(i)];
                loss += lane.loss;
                add_gradient(backend_, lane.tape.parameter_gradients().data, gradients_.size(),
                             {gradients_.data(), first + i == 0});
            }
        }
        return loss;
    }

    /// Forward and backward on sample b of the batch: its share of the loss and of the gradients are the lane's. Noise
    /// is a function of seed, iteration and b.
    template <class Play>
    void play_sample(Play& play, int lane_number, int b) {
        Lane& lane = lanes_[std::size_t(lane_number)];
        const auto number = std::uint64_t(iteration_) * std::uint64_t(config_.batch) + std::uint64_t(b);
        lane.noise = SampleRandom(~config_.seed, number);
        const auto scope = lane.tape.backend().scope();  // play() may take scratch that the backward pass reads
        lane.tape.restart();
        lane.tape.zero_gradients();
        lane.loss = play(lane.tape, lane_number, number, 1. / config_.batch);
        lane.tape.backward();
    }

    /// The gradient flows from the loss towards the first module, and so does what spoils it.
    [[noreturn]] void fail(const TrainingStep& at) {
        Tensor<float, 1> gradients(gradients_.extent(0));
        download(backend_, gradients_.view(), gradients.view());
        synchronize(backend_);
        const float* gradient = gradients.data();
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

    RunConfig config_;
    B backend_;
    Network<Trained, B> model_;
    Network<Model, B> averaged_;   ///< memory for the averaged parameters when they run
    std::deque<B> lane_backends_;  ///< what lies in a deque stays where it is
    std::deque<Lane> lanes_;       ///< one or more
    Tensor<float, 1, B> gradients_;
    Muon<float, B> optimizer_;
    MovingAverage<float, B> average_;
    std::int64_t iteration_ = 0;
    std::string last_saved_;
};

}  // namespace mia
