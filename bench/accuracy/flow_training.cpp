// mia_flow_training PHOTOS VIDEOS --photos HELD_OUT_PHOTOS --videos HELD_OUT_VIDEOS: a light SpyNet trained in both
// stages by the library's own trainer, and measured after each on what it was not trained on, beside no motion and
// block matching. All four are lists as `train` takes them. Prints a table.
#include <CLI/CLI.hpp>
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <filesystem>
#include <string>
#include <thread>
#include <vector>

#include "mia/io/safetensors.hpp"
#include "mia/models/flow.hpp"
#include "mia/train/data/load_clips.hpp"
#include "mia/train/flow_trainer.hpp"
#include "mia/video/ffmpeg.hpp"

namespace {

using Light = mia::SpyNet<mia::light_spynet>;

struct Arguments {
    std::filesystem::path photos, videos, held_out_photos, held_out_videos, folder = ".";
    int iterations = 4000, photometric_iterations = 1000, samples = 200;
    int threads = int(std::max(1u, std::thread::hardware_concurrency()));
};

class FlowTraining {
public:
    explicit FlowTraining(const Arguments& arguments) : arguments_(arguments), cpu_(arguments.threads) {
        config_.samples = {.frames = 2,
                           .height = 48,
                           .width = 48,
                           .reverse_time = true,
                           .motion = {.max_speed = 16, .max_zoom_change = 0.02, .max_rotation = 0.02}};
        config_.iterations = arguments.iterations;
        config_.batch = 4;
        config_.learning_rate = 4e-3;
        config_.least_learning_rate = 1e-6;
        config_.warm_up = arguments.iterations / 20;
        config_.average_decay = 0.99;
        config_.largest_gradient = 1;
        config_.optimizer = mia::Optimizer::muon;
        config_.threads = arguments.threads;
        held_out_photos_ = load(arguments.held_out_photos);
        held_out_videos_ = load(arguments.held_out_videos);
        std::filesystem::create_directories(arguments.folder);
    }

    void run() {
        std::puts(
            "| flow | end-point error, photos | warping error, photos | videos | training, s |\n"
            "| --- | --- | --- | --- | --- |");
        mia::Network<mia::ZeroFlow<>> none(cpu_);
        mia::Network<mia::BlockMatching<>> search(cpu_);
        row("none", *none, 0);
        row("block matching", *search, 0);

        const auto synthetic = arguments_.folder / "light_spynet_synthetic.safetensors";
        const auto photometric = arguments_.folder / "light_spynet.safetensors";
        train("light SpyNet, synthetic", arguments_.photos, nullptr, synthetic);
        config_.stage = mia::FlowStage::photometric;
        config_.iterations = arguments_.photometric_iterations;
        config_.warm_up = arguments_.photometric_iterations / 20;
        config_.learning_rate = 5e-4;
        train("and photometric", arguments_.videos, &synthetic, photometric);
    }

private:
    std::vector<mia::TrainingClip> load(const std::filesystem::path& list) const {
        return mia::load_clips(mia::read_data_set(list), config_.samples).clips;
    }

    void train(const char* name, const std::filesystem::path& list, const std::filesystem::path* start,
               const std::filesystem::path& result) {
        mia::FlowTrainer<Light> trainer(load(list), config_);
        if (start) trainer.start_from(mia::read_safetensors(*start));
        const auto begin = std::chrono::steady_clock::now();
        while (!trainer.is_done()) {
            const mia::TrainingStep step = trainer.step();
            if (step.iteration % 500 == 0)
                std::fprintf(stderr, "%s, iteration %lld: loss %.4f\n", name, static_cast<long long>(step.iteration),
                             step.loss);
        }
        const std::chrono::duration<double> seconds = std::chrono::steady_clock::now() - begin;
        trainer.save_weights(result);
        mia::Network<Light> network(cpu_);
        mia::load_parameters(*network, mia::read_safetensors(result));
        mia::prepare(cpu_, *network);
        row(name, *network, seconds.count());
    }

    template <class Flow>
    void row(const char* name, const Flow& flow, double seconds) {
        const auto measure = [&](const auto& clips) {
            return mia::measure_flow(cpu_, flow, clips, config_.samples, arguments_.samples);
        };
        const mia::FlowQuality photos = measure(held_out_photos_), videos = measure(held_out_videos_);
        std::printf("| %s | %.3f | %.4f | %.4f | %.0f |\n", name, photos.end_point_error, photos.warping_error,
                    videos.warping_error, seconds);
    }

    Arguments arguments_;
    mia::Cpu cpu_;
    mia::FlowTrainerConfig config_;
    std::vector<mia::TrainingClip> held_out_photos_, held_out_videos_;
};

}  // namespace

int main(int argc, char** argv) {
    Arguments arguments;
    CLI::App app("A light SpyNet, trained and measured.", "mia_flow_training");
    app.add_option("PHOTOS", arguments.photos, "list of photos, of which pairs of frames with known flow are made")
        ->required();
    app.add_option("VIDEOS", arguments.videos, "list of videos for the second stage")->required();
    app.add_option("--photos", arguments.held_out_photos, "list of photos to measure on")->required();
    app.add_option("--videos", arguments.held_out_videos, "list of videos to measure on")->required();
    app.add_option("--iterations", arguments.iterations, "of the first stage")->check(CLI::Range(20, 1000000));
    app.add_option("--photometric", arguments.photometric_iterations, "of the second")->check(CLI::Range(20, 1000000));
    app.add_option("--samples", arguments.samples, "pairs to measure on")->check(CLI::Range(1, 1000000));
    app.add_option("--threads", arguments.threads, "default: one for each processor")->check(CLI::Range(1, 1024));
    app.add_option("--folder", arguments.folder, "for the weights");
    CLI11_PARSE(app, argc, argv);
    std::setvbuf(stdout, nullptr, _IONBF, 0);  // a row as soon as it is known
    try {
        mia::silence_ffmpeg();
        FlowTraining(arguments).run();
    } catch (const std::exception& error) {
        std::fprintf(stderr, "mia_flow_training: %s\n", error.what());
        return 1;
    }
}
