// mia_mask_study CLIP...: what the mask of the small model costs and saves. Makes true clips 4 times smaller and runs
// the built-in model on them: without a mask, with its own (where the weights have one) and with thresholds set by
// hand, and, each time, with as many tokens of every block and frame chosen at random. Prints the share of tokens
// skipped, PSNR-Y, and the model's time.
#include <CLI/CLI.hpp>
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <filesystem>
#include <random>
#include <string>
#include <thread>
#include <tuple>
#include <vector>

#include "mia/io/safetensors.hpp"
#include "mia/models/model_list.hpp"
#include "mia/train/data/load_clips.hpp"
#include "mia/train/validation.hpp"
#include "mia/video/ffmpeg.hpp"

namespace {

using Frames = mia::View<const float, 4>;
using Result = mia::View<float, 4>;

constexpr mia::MiaVsrConfig composed = [] {
    mia::MiaVsrConfig config = mia::mia_vsr_lite;
    config.kernel = mia::BlockKernel::composed;  // lets a probe change the mask
    return config;
}();

/// Keeps as many tokens as the mask does, elsewhere.
class AtRandom : public mia::NoProbe {
public:
    void change_mask(mia::View<std::uint8_t, 3> keep) { std::shuffle(keep.data, keep.data + keep.size(), random_); }

private:
    std::mt19937 random_{1};
};

struct Mask {
    std::string name;
    mia::MaskUse use;
    float threshold = 0;
};

class Study {
public:
    Study(const std::filesystem::path& weights, int threads)
        : weights_(mia::read_safetensors(weights)), threads_(threads) {
        masks_.push_back({"none", mia::MaskUse::off});
        const auto kind = weights_.metadata().find("mask");
        if (kind != weights_.metadata().end() && kind->second == "learned")
            masks_.push_back({"as trained", mia::MaskUse::as_trained});
        for (const float threshold : {0.02f, 0.05f, 0.1f, 0.2f})
            masks_.push_back({mia::text("by hand, ", threshold), mia::MaskUse::by_hand, threshold});
    }

    void rows(const std::filesystem::path& path, int frames) {
        const mia::Clip clip = mia::read_clip(path, frames);
        for (const Mask& mask : masks_) {
            mia::RunningModel<mia::MiaVsrLite<>> model(
                "lite", weights_, {.threads = threads_, .mask = mask.use, .threshold = mask.threshold});
            double seconds = 0;
            const double psnr_y = quality(clip, [&](Frames lr, Result out) {
                model.forward(lr, out);  // takes its memory
                const auto begin = std::chrono::steady_clock::now();
                model.forward(lr, out);
                seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
            });
            std::printf("| %s | %s | %.1f | %.3f | ", path.stem().c_str(), mask.name.c_str(),
                        100 * model.skipped_share(), psnr_y);
            if (mask.use == mia::MaskUse::off)
                std::printf("| ");
            else
                std::printf("%.3f | ", at_random(clip, mask));
            std::printf("%.1f |\n", 1000 * seconds / clip.frames);
        }
    }

private:
    template <class Run>
    static double quality(const mia::Clip& clip, Run&& run) {
        return mia::validate_on(clip, mia::MiaVsrLite<>::scale, mia::Degradation::bicubic, run).psnr_y;
    }
    double at_random(const mia::Clip& clip, const Mask& mask) {
        using Model = mia::MiaVsr<composed, mia::Cpu, mia::LiteParts>;
        mia::Cpu cpu(threads_);
        mia::Network<Model> model(cpu);
        const bool learned = mask.use == mia::MaskUse::as_trained;
        mia::load_parameters(*model, weights_,
                             {.prefix = "", .mask = learned ? mia::MaskTensors::strict : mia::MaskTensors::optional});
        mia::set_mask_use(*model, mask.use, mask.threshold);
        mia::prepare(cpu, *model);
        Model::State state;
        return quality(clip, [&](Frames lr, Result out) { model->forward(cpu, lr, out, state, AtRandom{}); });
    }

    mia::StateDict weights_;
    int threads_;
    std::vector<Mask> masks_;
};

}  // namespace

int main(int argc, char** argv) {
    std::filesystem::path weights = MIA_MODELS "/mia_lite.safetensors";
    std::vector<std::filesystem::path> clips;
    int frames = 1000, threads = int(std::max(1u, std::thread::hardware_concurrency()));
    CLI::App app("What the small model's mask costs and saves.", "mia_mask_study");
    app.add_option("CLIPS", clips, "true videos to measure on")->required();
    app.add_option("--weights", weights, "of the small model; default: the built-in ones");
    app.add_option("--frames", frames, "of each clip, the first ones")->check(CLI::Range(1, 1000));
    app.add_option("--threads", threads, "default: one for each processor")->check(CLI::Range(1, 1024));
    CLI11_PARSE(app, argc, argv);
    std::setvbuf(stdout, nullptr, _IOLBF, 0);  // a row as soon as it is known
    try {
        mia::silence_ffmpeg();
        Study study(weights, threads);
        std::puts(
            "| clip | mask | tokens skipped, % | PSNR-Y | as many at random | ms a frame |\n|---|---|---|---|---|---|");
        for (const auto& path : clips) study.rows(path, frames);
    } catch (const std::exception& error) {
        std::fprintf(stderr, "mia_mask_study: %s\n", error.what());
        return 1;
    }
}
