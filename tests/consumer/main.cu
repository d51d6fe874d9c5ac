#include <algorithm>
#include <cstdio>
#include <mia/cuda.cuh>
#include <mia/mia.hpp>

int main() {
    if (const std::string missing = mia::missing_gpu(); !missing.empty()) {
        std::printf("not run: %s\n", missing.c_str());
        return 0;
    }
    mia::Cuda cuda;
    mia::Network<mia::MiaVsrLite<mia::Cuda>, mia::Cuda> model(cuda);
    mia::prepare(cuda, *model);
    mia::Tensor<float, 4> frames(1, 8, 8, 3), results(1, 32, 32, 3);
    std::fill(frames.data(), frames.data() + frames.size(), 0.5f);
    mia::Tensor<float, 4, mia::Cuda> clip, out;
    clip.resize(cuda, 1, 8, 8, 3);
    out.resize(cuda, 1, 32, 32, 3);
    upload(cuda, frames.view(), clip.view());
    model->forward(cuda, clip.view(), out.view());
    download(cuda, out.view(), results.view());
    synchronize(cuda);
    std::printf("mia %d.%d on a GPU: %g\n", MIA_VERSION_MAJOR, MIA_VERSION_MINOR, double(results.view()(0, 31, 31, 2)));
    return results.view()(0, 31, 31, 2) == 0.5f ? 0 : 1;
}
