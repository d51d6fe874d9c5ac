// What a program without CUDA says in the place of cuda_models.cu and cuda_trainer.cu.
#include "support/cuda_models.hpp"
#include "train/any_trainer.hpp"

namespace {

[[noreturn]] void refuse() {
    throw mia::Error("--device cuda: this build has no CUDA; configure with -DMIA_CUDA=ON, or use --device cpu");
}

}  // namespace

std::unique_ptr<mia::AnyModel> open_cuda_model(const mia::StateDict&, const mia::ModelOptions&) { refuse(); }
std::unique_ptr<AnyTrainer> cuda_trainer(std::vector<mia::TrainingClip>, const mia::TrainerConfig&) { refuse(); }
