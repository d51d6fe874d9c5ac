// mia_use_of_time CLIP...: what the small model gains from a frame's neighbours. Makes true clips 4 times smaller and
// runs the built-in model on them as a whole, with its flow set to zero, and on each frame alone; prints PSNR-Y, and
// that of bicubic.
#include <algorithm>
#include <cstdio>
#include <filesystem>
#include <string>
#include <thread>
#include <tuple>
#include <vector>

#include "mia/io/safetensors.hpp"
#include "mia/metrics/imresize.hpp"
#include "mia/metrics/quality.hpp"
#include "mia/models/model_list.hpp"
#include "mia/train/data/degradation.hpp"
#include "mia/video/reader.hpp"

namespace {

struct Clip {
    mia::Tensor<float, 4> truth, input;  ///< (T, 4 H, 4 W, 3), (T, H, W, 3)
};

Clip read_clip(const char* path) {
    constexpr int scale = 4;
    mia::VideoReader reader(path);
    const int H = reader.info().height / scale, W = reader.info().width / scale;
    std::vector<mia::VideoFrame> frames;
    for (mia::VideoFrame frame; reader.read(frame);) frames.push_back(frame);
    const int T = int(frames.size());
    Clip clip{mia::Tensor<float, 4>(T, scale * H, scale * W, 3), mia::Tensor<float, 4>(T, H, W, 3)};
    for (int t = 0; t < T; ++t) {
        const auto truth = clip.truth.view()[t];
        for (int y = 0; y < scale * H; ++y) {
            const auto row = frames[std::size_t(t)].view()[y];
            std::copy_n(row.data, std::ptrdiff_t(scale * W) * 3, truth[y].data);
        }
        mia::degrade(truth, scale, mia::Degradation::bicubic, clip.input.view()[t]);
    }
    return clip;
}

/// dB, mean over the frames.
double psnr_y(mia::Tensor<float, 4>& result, const mia::Tensor<float, 4>& truth) {
    const int T = truth.extent(0);
    double sum = 0;
    for (int t = 0; t < T; ++t) {
        mia::round_to_8_bit(result.view()[t]);
        sum += mia::psnr(result.view()[t], truth.view()[t], mia::Channels::y);
    }
    return sum / T;
}

void print_row(mia::AnyModel& model, const char* path) {
    const Clip clip = read_clip(path);
    const int T = clip.input.extent(0), H = clip.input.extent(1), W = clip.input.extent(2);
    mia::Tensor<float, 4> out(T, clip.truth.extent(1), clip.truth.extent(2), 3);
    for (int t = 0; t < T; ++t) mia::imresize_8_bit(clip.input.view()[t], out.view()[t]);
    const double bicubic = psnr_y(out, clip.truth);
    for (int t = 0; t < T; ++t) model.forward(clip.input.view().slice(t, 1), out.view().slice(t, 1));
    const double alone = psnr_y(out, clip.truth);
    mia::Tensor<float, 4> still(T - 1, H, W, 2);
    std::fill(still.data(), still.data() + still.size(), 0.f);
    model.forward_with_flows(clip.input, {still, still}, 0, out, nullptr);
    const double without_flow = psnr_y(out, clip.truth);
    model.forward(clip.input, out);
    std::printf("| %s | %.3f | %.3f | %.3f | %.3f |\n", std::filesystem::path(path).stem().c_str(), bicubic, alone,
                without_flow, psnr_y(out, clip.truth));
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
