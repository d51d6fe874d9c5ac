// Trains MiaVsrLite on the material that a configuration names: reads the data, steps, reports, validates, saves what a
// resumed run needs, and writes the averaged weights at the end. config.cpp reads the configuration, progress.cpp draws
// the curve and the samples.
#include <CLI/CLI.hpp>
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <filesystem>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "mia/io/read_state_dict.hpp"
#include "mia/models/mia_vsr.hpp"
#include "mia/train/data/data_set.hpp"
#include "mia/train/data/load_clips.hpp"
#include "support/clock_text.hpp"
#include "support/interrupt.hpp"
#include "support/model_options.hpp"
#include "support/program.hpp"
#include "train/any_trainer.hpp"
#include "train/config.hpp"
#include "train/progress.hpp"

namespace {

using Clock = std::chrono::steady_clock;
using mia::require;
using mia::text;

constexpr int interrupted = 130;

/// The sources that were used, one a line with its licence.
std::string sources_text(const mia::DataSet& set, const std::vector<mia::TrainingClip>& clips) {
    std::string words;
    for (const mia::DataSource& source : set.sources) {
        const auto is_of_it = [&](const mia::TrainingClip& clip) {
            return clip.clip.name.starts_with(source.path.string());
        };
        if (std::ranges::any_of(clips, is_of_it))
            words += text(words.empty() ? "" : "\n", source.path.filename().string(), ": ", source.licence);
    }
    return words;
}

class Run {
public:
    Run(const TrainConfig& config, Device device, bool resume)
        : config_(config),
          set_(mia::read_data_set(config.data)),
          trainer_(device == Device::cuda ? cuda_trainer(load(), config.trainer)
                                          : std::make_unique<TrainerOf<mia::MiaVsrLite<>>>(load(), config.trainer)),
          curve_(config.table(), config.drawing(), begin(resume)) {
        const auto model = mia::model_metadata<mia::MiaVsrLite<>>();
        for (const auto& [name, value] : config.metadata)
            require(!model.contains(name) && std::ranges::find(own_metadata, name) == std::end(own_metadata),
                    "\"metadata\" has a \"", name, "\", which `train` itself writes. Give it another name.");
        if (config.validation.empty()) return;
        truth_ = mia::read_clip(config.validation, config.validation_frames);
        std::filesystem::create_directories(config.samples());
    }

    /// False when it was asked to stop; it can go on then.
    bool run(std::stop_token stop) {
        std::printf("MiaVsrLite, iteration %lld of %lld\n", static_cast<long long>(trainer_->iterations_done()),
                    static_cast<long long>(config_.trainer.iterations));
        const auto first = trainer_->iterations_done();
        began_ = Clock::now();
        while (!trainer_->is_done() && !stop.stop_requested()) {
            const mia::TrainingStep step = trainer_->step();
            add(step);
            const bool last = trainer_->is_done();
            const auto is_due = [&](std::int64_t every) { return step.iteration % every == 0 || last; };
            std::optional<double> psnr_y;
            if (truth_.frames > 0 && is_due(config_.validate_every)) psnr_y_ = psnr_y = validate(step.iteration);
            if (psnr_y || is_due(config_.report_every)) report(psnr_y, first);
            if (is_due(config_.save_every)) trainer_->save(config_.state());
        }
        if (!trainer_->is_done()) {
            trainer_->save(config_.state());
            return false;
        }
        trainer_->save_weights(config_.output, metadata());
        std::printf("%s is ready\n", config_.output.c_str());
        return true;
    }

private:
    std::vector<mia::TrainingClip> load() {
        auto loaded = mia::load_clips(set_, config_.trainer.samples);
        if (!loaded.skipped.empty()) std::fprintf(stderr, "train: %s\n", loaded.skipped_text().c_str());
        return std::move(loaded.clips);
    }
    /// The number of iterations that are done.
    std::int64_t begin(bool resume) {
        if (resume) trainer_->resume(config_.state());
        if (!config_.start.empty() && !(resume && !exists(config_.start))) {
            const mia::StateDict weights = mia::read_state_dict(config_.start);
            const auto earlier = weights.metadata().find("iterations");
            start_ = config_.start.filename().string() +
                     (earlier == weights.metadata().end() ? "" : ", after " + earlier->second + " iterations");
            if (!resume) trainer_->start_from(weights);
        }
        return trainer_->iterations_done();
    }

    static constexpr const char* own_metadata[] = {"iterations", "start", "training_data", "validation"};
    /// Of the weights, for people.
    std::map<std::string, std::string> metadata() {
        auto words = config_.metadata;
        if (!start_.empty()) words["start"] = start_;
        words["iterations"] = std::to_string(trainer_->iterations_done());
        words["training_data"] = sources_text(set_, trainer_->clips());
        if (truth_.frames > 0) {
            if (!psnr_y_) psnr_y_ = validate(trainer_->iterations_done());
            char number[32];
            std::snprintf(number, sizeof number, "%.3f", *psnr_y_);
            words["validation"] = text(config_.validation.filename().string(), ", the first ", truth_.frames,
                                       " frames: PSNR-Y ", number, " dB");
        }
        return words;
    }

    double validate(std::int64_t iteration) {
        const mia::Validation validation = trainer_->validate(truth_);
        char name[32];
        std::snprintf(name, sizeof name, "%07lld.png", static_cast<long long>(iteration));
        write_sample(validation, config_.samples() / name);
        return validation.psnr_y;
    }

    void add(const mia::TrainingStep& step) {
        sum_.iteration = step.iteration;
        sum_.loss += step.loss;
        sum_.gradient_norm += step.gradient_norm;
        sum_.learning_rate = step.learning_rate;
        ++summed_;
    }
    /// Means since the last report.
    void report(std::optional<double> psnr_y, std::int64_t first) {
        mia::TrainingStep mean = sum_;
        mean.loss /= summed_;
        mean.gradient_norm /= summed_;
        curve_.add(mean, psnr_y);
        const double seconds = std::chrono::duration<double>(Clock::now() - began_).count();
        const auto done = double(mean.iteration - first), left = double(config_.trainer.iterations - mean.iteration);
        std::printf("iteration %lld, loss %.5f, gradient %.3g, rate %.3g", static_cast<long long>(mean.iteration),
                    mean.loss, mean.gradient_norm, mean.learning_rate);
        if (psnr_y) std::printf(", PSNR-Y %.3f dB", *psnr_y);
        std::printf(", %.2f s each, %s left\n", seconds / done, clock_text(seconds / done * left).c_str());
        std::fflush(stdout);
        sum_ = {};
        summed_ = 0;
    }

    const TrainConfig& config_;
    mia::DataSet set_;
    std::unique_ptr<AnyTrainer> trainer_;
    std::string start_;  ///< the weights that the run began with, in words; before curve_: begin() writes it
    Curve curve_;
    mia::Clip truth_;
    std::optional<double> psnr_y_;  ///< of the last validation
    mia::TrainingStep sum_;
    int summed_ = 0;
    Clock::time_point began_;
};

/// Nothing that is there is written over by a run that does not go on with it.
void check_files(const TrainConfig& config, const std::string& name, bool resume) {
    require(!std::filesystem::exists(config.output), config.output.string(),
            " exists already. Name another output, or move it away.");
    const bool has_state = std::filesystem::exists(config.state());
    require(has_state || !resume, config.state().string(),
            " is not there, so no run can be resumed. Leave --resume out.");
    require(!has_state || resume, config.state().string(), " is there: a run was begun. Go on with: train ", name,
            " --resume; or delete the file.");
}

}  // namespace

int main(int argc, char** argv) {
    CLI::App app("Trains the small model on videos and photographs.", "train");
    std::string path;
    bool resume = false, stopped = false;
    Device device = Device::cpu;
    int threads = std::max(1, int(std::thread::hardware_concurrency()));
    app.add_option("CONFIG", path, "JSON; see docs/programs.md and examples/train/mia_lite_1.json")->required();
    app.add_flag("--resume", resume, "go on with a run that was interrupted");
    add_device(app, device);
    app.add_option("--threads", threads, "default: one for each processor")->check(CLI::Range(1, 1024));
    const Interrupt interrupt(interrupted, "train", std::chrono::minutes(30));  // a step of a large batch takes long
    const int code = run_program(app, argc, argv, [&] {
        TrainConfig config = read_config(path);
        config.trainer.threads = threads;
        check_files(config, path, resume);
        stopped = !Run(config, device, resume).run(interrupt.token());
        if (stopped) std::fprintf(stderr, "train: interrupted. Go on with: train %s --resume\n", path.c_str());
    });
    return stopped ? interrupted : code;
}
