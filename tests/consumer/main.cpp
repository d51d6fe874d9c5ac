#include <cstdio>
#include <mia/mia.hpp>

int main() {
    mia::Cpu cpu(2);
    mia::Network<mia::MiaVsrLite<>> model(cpu);
    mia::prepare(cpu, *model);
    mia::Tensor<float, 4> clip(1, 8, 8, 3), out(1, 32, 32, 3);
    std::fill(clip.data(), clip.data() + clip.size(), 0.5f);
    model->forward(cpu, clip, out);
    std::printf("mia %d.%d: %g\n", MIA_VERSION_MAJOR, MIA_VERSION_MINOR, double(out.view()(0, 31, 31, 2)));
    return out.view()(0, 31, 31, 2) == 0.5f ? 0 : 1;
}
