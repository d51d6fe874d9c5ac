#pragma once
#include <cstdint>
#include <filesystem>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "mia/train/trainer.hpp"

/// A Trainer of the small model on the device that was asked for; for what its functions do see there.
class AnyTrainer {
public:
    virtual ~AnyTrainer() = default;
    virtual const std::vector<mia::TrainingClip>& clips() const = 0;
    virtual std::int64_t iterations_done() const = 0;
    virtual bool is_done() const = 0;
    virtual mia::TrainingStep step() = 0;
    virtual mia::Validation validate(const mia::Clip& truth) = 0;
    virtual void start_from(const mia::StateDict& weights) = 0;
    virtual void save(const std::filesystem::path& path) = 0;
    virtual void resume(const std::filesystem::path& path) = 0;
    virtual void save_weights(const std::filesystem::path& path, const std::map<std::string, std::string>& more) = 0;
};

/// The one of a model's type.
template <class Model>
class TrainerOf final : public AnyTrainer {
public:
    TrainerOf(std::vector<mia::TrainingClip> clips, const mia::TrainerConfig& config)
        : trainer_(std::move(clips), config) {}
    const std::vector<mia::TrainingClip>& clips() const override { return trainer_.clips(); }
    std::int64_t iterations_done() const override { return trainer_.iterations_done(); }
    bool is_done() const override { return trainer_.is_done(); }
    mia::TrainingStep step() override { return trainer_.step(); }
    mia::Validation validate(const mia::Clip& truth) override { return trainer_.validate(truth); }
    void start_from(const mia::StateDict& weights) override { trainer_.start_from(weights); }
    void save(const std::filesystem::path& path) override { trainer_.save(path); }
    void resume(const std::filesystem::path& path) override { trainer_.resume(path); }
    void save_weights(const std::filesystem::path& path, const std::map<std::string, std::string>& more) override {
        trainer_.save_weights(path, more);
    }

private:
    mia::Trainer<Model> trainer_;
};

/// On the first GPU. Error when there is none, and in a build without CUDA.
std::unique_ptr<AnyTrainer> cuda_trainer(std::vector<mia::TrainingClip> clips, const mia::TrainerConfig& config);
