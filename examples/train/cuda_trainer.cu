// The small model's training on a GPU, for nvcc.
#include "mia/models/mia_vsr.hpp"
#include "mia/train/cuda.cuh"
#include "support/require_gpu.cuh"
#include "train/any_trainer.hpp"

std::unique_ptr<AnyTrainer> cuda_trainer(std::vector<mia::TrainingClip> clips, const mia::TrainerConfig& config) {
    require_gpu();
    return std::make_unique<TrainerOf<mia::MiaVsrLite<mia::Cuda>>>(std::move(clips), config);
}
