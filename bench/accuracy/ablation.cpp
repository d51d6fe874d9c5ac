// mia_ablation DATA CLIP...: the paper's choices at toy scale, trained by the library's own trainer on DATA (a list as
// `train` takes it), each with the same budget and the same seed, and measured on true CLIPs that were made 4 times
// smaller. Prints two tables: what attention looks at, and how features of earlier frames come to it; what decides
// which tokens are skipped. A second run with the same folder only measures.
#include <CLI/CLI.hpp>
#include <algorithm>
#include <array>
#include <chrono>
#include <cstdio>
#include <filesystem>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "mia/io/safetensors.hpp"
#include "mia/models/model_list.hpp"
#include "mia/train/data/load_clips.hpp"
#include "mia/train/trainer.hpp"
#include "mia/video/ffmpeg.hpp"

namespace {

constexpr mia::MiaVsrConfig published{.embed_dim = 16,
                                      .num_heads = 2,
                                      .window = {3, 4, 4},
                                      .depths = {{2}},
                                      .directions = mia::directions(mia::Direction::backward, mia::Direction::forward),
                                      .mid_channels = 16};
constexpr mia::MiaVsrConfig fused = [] {
    mia::MiaVsrConfig config = published;
    config.fusion = mia::Fusion::linear;
    return config;
}();
constexpr mia::MiaVsrConfig without_mask = [] {
    mia::MiaVsrConfig config = published;
    config.mask.kind = mia::MaskKind::none;  // joint attention knows none
    return config;
}();

/// The default model's flow and upsampler, the paper's alignment by whole pixels.
struct WholePixels : mia::LiteParts {
    template <class B>
    using Alignment = mia::PatchAlignment<B>;
};
template <class Parts>
struct Joint : Parts {
    template <mia::AttentionConfig C, class B>
    using Attention = mia::JointAttention<C, B>;
};
template <class Parts>
struct Intra : Parts {
    template <mia::AttentionConfig C, class B>
    using Attention = mia::IntraFrameAttention<C, B>;
};
template <mia::MiaVsrConfig C, class Parts>
using Toy = mia::MiaVsr<C, mia::Cpu, Parts>;
using Small = Toy<fused, mia::LiteParts>;  ///< the default model's kind

struct Arguments {
    std::filesystem::path data, weights, folder = std::filesystem::temp_directory_path() / "mia_ablation";
    std::vector<std::filesystem::path> clips;
    int iterations = 1500, sample_frames = 5, frames = 12,
        threads = int(std::max(1u, std::thread::hardware_concurrency()));
};

/// What a model does on one clip.
struct Measured {
    double psnr_y = 0, skipped = 0, seconds = 0;  ///< share of tokens; seconds a frame
};

class Ablation {
public:
    explicit Ablation(const Arguments& arguments) : arguments_(arguments) {
        config_.samples = {.frames = arguments.sample_frames, .height = 32, .width = 32, .reverse_time = true};
        config_.iterations = arguments.iterations;
        config_.batch = 2;
        config_.learning_rate = 2e-3;
        config_.least_learning_rate = 1e-6;
        config_.warm_up = arguments.iterations / 20;
        config_.average_decay = 0.99;
        config_.largest_gradient = 1;
        config_.drop_path = 0;
        config_.optimizer = mia::Optimizer::muon;
        config_.threads = arguments.threads;
        material_ = mia::load_clips(mia::read_data_set(arguments.data), config_.samples).clips;
        for (const auto& path : arguments.clips) clips_.push_back(mia::read_clip(path, arguments.frames));
        std::filesystem::create_directories(arguments.folder);
    }

    void attention() {
        std::printf(
            "%d iterations\n\n| keys | queries | features move by | fusion | parameters | GMAC a frame of 320 x 180 "
            "|%s\n"
            "|---|---|---|---|---|---|%s\n",
            arguments_.iterations, head().c_str(), rule().c_str());
        constexpr const char *one = "current frame", *three = "three frames", *whole = "whole pixels",
                             *quarters = "quarters of a pixel";
        attention_row<Toy<published, WholePixels>>({three, one, whole, "none"}, "inter_whole");
        attention_row<Toy<without_mask, Joint<WholePixels>>>({three, three, whole, "none"}, "joint_whole");
        attention_row<Toy<published, Intra<WholePixels>>>({one, one, whole, "none"}, "intra_whole");
        attention_row<Toy<published, mia::LiteParts>>({three, one, quarters, "none"}, "inter_quarters");
        attention_row<Toy<without_mask, Joint<mia::LiteParts>>>({three, three, quarters, "none"}, "joint_quarters");
        attention_row<Toy<fused, WholePixels>>({three, one, whole, "linear"}, "inter_whole_fused");
        attention_row<Toy<fused, Intra<mia::LiteParts>>>({one, one, quarters, "linear"}, "intra_quarters_fused");
        attention_row<Small>({three, one, quarters, "linear"}, "small");
    }

    /// What decides which tokens are skipped, each trained from the same weights: those of the last model above, or of
    /// the default model if they are given.
    void masks() {
        if (arguments_.weights.empty())
            masks_of<Small>(train<Small>("small", {}, {}));
        else
            masks_of<mia::MiaVsrLite<>>(weights_without_mask(arguments_.weights));
    }

private:
    struct MaskTraining {
        mia::MaskUse use = mia::MaskUse::off;
        double sparsity = 0, start = 0, threshold = 0;  ///< as the trainer's
    };

    /// The default model's weights with no mask in them, so that each training begins one.
    std::filesystem::path weights_without_mask(const std::filesystem::path& weights) {
        mia::TrainerConfig config = config_;
        config.mask = mia::MaskUse::off;
        mia::Trainer<mia::MiaVsrLite<>> trainer(material_, config);
        trainer.start_from(mia::read_safetensors(weights));
        const auto path = arguments_.folder / weights.filename();
        mia::require(weights != path, path.string(), ": the weights lie in the folder for results. Name another.");
        trainer.save_weights(path);
        return path;
    }

    template <class Model>
    void masks_of(const std::filesystem::path& start) {
        std::printf(
            "\nMask, %d iterations from %s; PSNR-Y (tokens skipped %%, ms a frame)\n\n"
            "| mask |%s\n|---|%s\n",
            arguments_.iterations, start.filename().c_str(), head().c_str(), rule().c_str());
        const auto unmasked = train<Model>("unmasked", start, {});
        masks_row<Model>("none", unmasked, {.mask = mia::MaskUse::off});
        const auto learned_row = [&](double sparsity, double threshold) {
            const auto begins = threshold > 0 ? mia::text("as threshold ", threshold) : "at random, as the paper's";
            masks_row<Model>(mia::text("learned, sparsity ", sparsity, ", begins ", begins),
                             train<Model>(mia::text("learned_", sparsity, "_", threshold), start,
                                          {.use = mia::MaskUse::as_trained, .sparsity = sparsity, .start = threshold}),
                             {});
        };
        for (const double sparsity : {1e-4, 1e-3, 1e-2, 1e-1}) learned_row(sparsity, 0);
        for (const double sparsity : {1e-4, 1e-2}) learned_row(sparsity, 0.1);
        for (const float threshold : {0.05f, 0.1f, 0.2f})
            masks_row<Model>(mia::text("threshold ", threshold, ", trained with it"),
                             train<Model>(mia::text("threshold_", threshold), start,
                                          {.use = mia::MaskUse::by_hand, .threshold = double(threshold)}),
                             {.mask = mia::MaskUse::by_hand, .threshold = threshold});
        for (const float threshold : {0.05f, 0.1f, 0.2f})
            masks_row<Model>(mia::text("threshold ", threshold, ", set afterwards"), unmasked,
                             {.mask = mia::MaskUse::by_hand, .threshold = threshold});
    }

    std::string head() const {
        std::string words;
        for (const mia::Clip& clip : clips_) words += " " + std::filesystem::path(clip.name).stem().string() + " |";
        return words + " mean |";
    }
    std::string rule() const {
        std::string words;
        for (std::size_t i = 0; i <= clips_.size(); ++i) words += "---|";
        return words;
    }

    template <class Model>
    std::filesystem::path train(const std::string& name, const std::filesystem::path& start, const MaskTraining& mask) {
        mia::TrainerConfig config = config_;
        config.mask = mask.use;
        config.sparsity = mask.sparsity;
        config.mask_start = mask.start;
        config.mask_threshold = mask.threshold;
        if (!start.empty()) config.learning_rate /= 4;
        const auto path = arguments_.folder / mia::text(name, "_", arguments_.iterations, ".safetensors");
        if (std::filesystem::exists(path)) return path;
        mia::Trainer<Model> trainer(material_, config);
        if (!start.empty()) trainer.start_from(mia::read_safetensors(start));
        while (!trainer.is_done()) trainer.step();
        trainer.save_weights(path);
        return path;
    }

    template <class Model>
    std::vector<Measured> measure(const std::filesystem::path& weights, mia::ModelOptions options) {
        options.threads = arguments_.threads;
        mia::RunningModel<Model> model("toy", mia::read_safetensors(weights), options);
        std::vector<Measured> all;
        for (const mia::Clip& clip : clips_) {
            Measured m;
            const auto run = [&](mia::View<const float, 4> lr, mia::View<float, 4> out) {
                model.forward(lr, out);  // takes its memory
                const auto begin = std::chrono::steady_clock::now();
                model.forward(lr, out);
                m.seconds =
                    std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count() / clip.frames;
                m.skipped = model.skipped_share();
            };
            m.psnr_y = mia::validate_on(clip, Model::scale, mia::Degradation::bicubic, run).psnr_y;
            all.push_back(m);
        }
        Measured mean;
        for (const Measured& m : all) {
            mean.psnr_y += m.psnr_y / double(clips_.size());
            mean.skipped += m.skipped / double(clips_.size());
            mean.seconds += m.seconds / double(clips_.size());
        }
        all.push_back(mean);
        return all;
    }

    template <class Model>
    void attention_row(std::array<const char*, 4> what, const char* name) {
        const auto weights = train<Model>(name, {}, {});
        const mia::Summary summary = mia::summary<Model>(180, 320);
        for (const char* words : what) std::printf("| %s ", words);
        std::printf("| %lld | %.2f |", static_cast<long long>(summary.rows[0].parameters),
                    double(summary.rows[0].macs) / 1e9);
        for (const Measured& m : measure<Model>(weights, {.mask = mia::MaskUse::off})) std::printf(" %.3f |", m.psnr_y);
        std::puts("");
    }
    template <class Model>
    void masks_row(const std::string& name, const std::filesystem::path& weights, const mia::ModelOptions& options) {
        std::printf("| %s |", name.c_str());
        for (const Measured& m : measure<Model>(weights, options))
            std::printf(" %.3f (%.1f, %.1f) |", m.psnr_y, 100 * m.skipped, 1000 * m.seconds);
        std::puts("");
    }

    Arguments arguments_;
    mia::TrainerConfig config_;
    std::vector<mia::TrainingClip> material_;
    std::vector<mia::Clip> clips_;
};

}  // namespace

int main(int argc, char** argv) {
    Arguments arguments;
    CLI::App app("The paper's choices at toy scale: trained alike, measured alike.", "mia_ablation");
    app.add_option("DATA", arguments.data, "list of the training material")->required();
    app.add_option("CLIPS", arguments.clips, "true videos to measure on")->required();
    app.add_option("--iterations", arguments.iterations, "of each training")->check(CLI::Range(20, 1000000));
    app.add_option("--weights", arguments.weights, "of the default model: only the table of masks, from these");
    app.add_option("--sample-frames", arguments.sample_frames, "of each sample")->check(CLI::Range(2, 100));
    app.add_option("--frames", arguments.frames, "of each clip, the first ones")->check(CLI::Range(1, 1000));
    app.add_option("--threads", arguments.threads, "default: one for each processor")->check(CLI::Range(1, 1024));
    app.add_option("--folder", arguments.folder, "for the weights; those that are there are not trained again");
    CLI11_PARSE(app, argc, argv);
    std::setvbuf(stdout, nullptr, _IONBF, 0);  // a row as soon as it is known
    try {
        mia::silence_ffmpeg();
        Ablation ablation(arguments);
        if (arguments.weights.empty()) ablation.attention();
        ablation.masks();
    } catch (const std::exception& error) {
        std::fprintf(stderr, "mia_ablation: %s\n", error.what());
        return 1;
    }
}
