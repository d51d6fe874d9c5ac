// mia_use_of_time CLIP...: what the small model gains from a frame's neighbours. Makes true clips 4 times smaller and
// runs the built-in model on them as a whole, with its flow set to zero, and on each frame alone; prints PSNR-Y, and
// that of bicubic.
#include <algorithm>
#include <cstdio>
#include <filesystem>
#include <limits>
#include <thread>
#include <tuple>

#include "mia/io/safetensors.hpp"
#include "mia/metrics/imresize.hpp"
#include "mia/models/model_list.hpp"
#include "mia/train/data/load_clips.hpp"
#include "mia/train/validation.hpp"

namespace {

using Frames = mia::View<const float, 4>;
using Result = mia::View<float, 4>;

void print_row(mia::AnyModel& model, const char* path) {
    const mia::Clip clip = mia::read_clip(path, std::numeric_limits<int>::max());
    const auto psnr_y = [&](auto run) {
        return mia::validate_on(clip, model.scale(), mia::Degradation::bicubic, run).psnr_y;
    };
    const double bicubic = psnr_y([](Frames lr, Result out) {
        for (int t = 0; t < lr.extent(0); ++t) mia::imresize_8_bit(lr[t], out[t]);
    });
    const double alone = psnr_y([&](Frames lr, Result out) {
        for (int t = 0; t < lr.extent(0); ++t) model.forward(lr.slice(t, 1), out.slice(t, 1));
    });
    const double without_flow = psnr_y([&](Frames lr, Result out) {
        mia::Tensor<float, 4> still(lr.extent(0) - 1, lr.extent(1), lr.extent(2), 2);
        std::fill(still.data(), still.data() + still.size(), 0.f);
        model.forward_with_flows(lr, {still, still}, 0, out, nullptr);
    });
    const double as_it_is = psnr_y([&](Frames lr, Result out) { model.forward(lr, out); });
    std::printf("| %s | %.3f | %.3f | %.3f | %.3f |\n", std::filesystem::path(path).stem().c_str(), bicubic, alone,
                without_flow, as_it_is);
}

}  // namespace

int main(int argc, char** argv) {
    if (argc < 2) {
        std::fputs("mia_use_of_time CLIP...\n", stderr);
        return 2;
    }
    std::setvbuf(stdout, nullptr, _IOLBF, 0);  // a row as soon as it is known
    try {
        mia::silence_ffmpeg();
        const int threads = int(std::max(1u, std::thread::hardware_concurrency()));
        const auto model =
            mia::open_model(mia::read_safetensors(MIA_MODELS "/mia_lite.safetensors"), {.threads = threads},
                            std::tuple{mia::NamedModel<mia::MiaVsrLite<>>{"mia_vsr_lite"}});
        std::puts("| clip | bicubic | each frame alone | flow set to zero | as it is |\n|---|---|---|---|---|");
        for (int i = 1; i < argc; ++i) print_row(*model, argv[i]);
    } catch (const std::exception& error) {
        std::fprintf(stderr, "mia_use_of_time: %s\n", error.what());
        return 1;
    }
}
