// mia_cut_error CLIP [FRAMES]: what is lost by computing a video in parts. Runs the built-in small model on the clip's
// first frames as a whole, then in tiles and in chunks of several sizes, and prints the differences as tables:
// PSNR, 99.9th percentile and largest, for tiles apart within four result pixels of a seam and elsewhere.
#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <thread>
#include <vector>

#include "mia/io/safetensors.hpp"
#include "mia/models/model_list.hpp"
#include "mia/models/session.hpp"
#include "mia/video/reader.hpp"

namespace {

using mia::Tensor;

Tensor<float, 4> first_frames(const char* path, int count) {
    mia::VideoReader reader(path);
    const int height = reader.info().height, width = reader.info().width;
    std::vector<float> pixels;
    mia::VideoFrame frame;
    int frames = 0;
    for (; frames < count && reader.read(frame); ++frames)
        pixels.insert(pixels.end(), frame.pixels.begin(), frame.pixels.end());
    Tensor<float, 4> clip(frames, height, width, 3);
    std::copy(pixels.begin(), pixels.end(), clip.data());
    return clip;
}

/// Differences of two results as people look at them: clamped to [0, 1], in units of 1/255.
std::vector<float> differences(const Tensor<float, 4>& a, const Tensor<float, 4>& b) {
    std::vector<float> d(std::size_t(a.size()));
    for (std::ptrdiff_t i = 0; i < a.size(); ++i)
        d[std::size_t(i)] = 255 * std::abs(std::clamp(a.data()[i], 0.f, 1.f) - std::clamp(b.data()[i], 0.f, 1.f));
    return d;
}
float percentile(std::vector<float> d, double share) {
    if (d.empty()) return 0;
    const auto at = d.begin() + std::ptrdiff_t(share * double(d.size() - 1));
    std::nth_element(d.begin(), at, d.end());
    return *at;
}
double psnr(const std::vector<float>& d) {
    double squares = 0;
    for (const float x : d) squares += double(x) * double(x);
    return squares == 0 ? INFINITY : -10 * std::log10(squares / double(d.size()) / (255.0 * 255));
}

/// Whether a result row or column lies within four pixels of a border between parts.
std::vector<bool> near_seam(int extent, int parts, int overlap, int unit, int scale) {
    std::vector<bool> near(std::size_t(extent * scale), false);
    const mia::TileAxis axis(extent, parts, overlap, unit);
    for (int i = 1; i < axis.parts(); ++i)
        for (int x = axis.part(i).begin * scale - 4; x < axis.part(i).begin * scale + 4; ++x)
            near[std::size_t(x)] = true;
    return near;
}

void tiles(mia::AnyModel& model, const Tensor<float, 4>& clip, const Tensor<float, 4>& whole) {
    const int T = clip.extent(0), H = clip.extent(1), W = clip.extent(2), scale = model.scale();
    Tensor<float, 4> out(T, scale * H, scale * W, 3);
    std::puts(
        "| tiles | overlap | work | PSNR | at a seam: 99.9 % | largest | elsewhere: 99.9 % | largest |\n"
        "| --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: |");
    for (const auto& [rows, columns] : {std::pair{2, 2}, {3, 4}})
        for (const int overlap : {0, 8, 16, 32, 64}) {
            mia::TiledModel tiled(model, {rows, columns, overlap}, T, T, H, W);
            tiled.forward(clip, 0, out, nullptr);
            const auto d = differences(out, whole);
            const auto seam_row = near_seam(H, rows, overlap, model.tile_unit(), scale);
            const auto seam_column = near_seam(W, columns, overlap, model.tile_unit(), scale);
            std::vector<float> seam, elsewhere;
            for (std::size_t i = 0; i < d.size(); ++i) {
                const std::size_t pixel = i / 3, column = pixel % seam_column.size();
                const std::size_t row = pixel / seam_column.size() % seam_row.size();
                (seam_row[row] || seam_column[column] ? seam : elsewhere).push_back(d[i]);
            }
            std::printf("| %d x %d | %d | %.2f | %.1f | %.3f | %.2f | %.3f | %.2f |\n", rows, columns, overlap,
                        tiled.effort(), psnr(d), double(percentile(seam, 0.999)), double(percentile(seam, 1)),
                        double(percentile(elsewhere, 0.999)), double(percentile(elsewhere, 1)));
        }
}

void chunks(mia::AnyModel& model, const Tensor<float, 4>& clip, const Tensor<float, 4>& whole) {
    const int T = clip.extent(0), scale = model.scale();
    Tensor<float, 4> out(T, scale * clip.extent(1), scale * clip.extent(2), 3);
    std::puts("| chunk | context | work | largest | 99.9 % | PSNR |\n| ---: | ---: | ---: | ---: | ---: | ---: |");
    for (const int chunk : {8, 16})
        for (const int context : {0, 1, 2, 4, 8}) {
            if (chunk >= T) continue;
            mia::Session session(model,
                                 {.chunk_frames = chunk, .context_frames = context, .scenes = {.detect = false}});
            int next = 0;
            const auto pull = [&] {
                while (next < T && session.pull(out.view()[next])) ++next;
            };
            for (int t = 0; t < T; ++t) {
                session.push(clip.view()[t]);
                pull();
            }
            session.finish();
            pull();
            const auto d = differences(out, whole);
            std::printf("| %d | %d | %.2f | %.2f | %.3f | %.1f |\n", chunk, context, 1 + 2.0 * context / chunk,
                        double(percentile(d, 1)), double(percentile(d, 0.999)), psnr(d));
        }
}

}  // namespace

int main(int argc, char** argv) {
    if (argc < 2) {
        std::fputs("mia_cut_error CLIP [FRAMES]\n", stderr);
        return 2;
    }
    std::setvbuf(stdout, nullptr, _IOLBF, 0);  // a row as soon as it is known
    try {
        mia::silence_ffmpeg();
        const auto clip = first_frames(argv[1], argc > 2 ? std::atoi(argv[2]) : 20);
        const int threads = int(std::max(1u, std::thread::hardware_concurrency()));
        const auto model =
            mia::open_model(mia::read_safetensors(MIA_MODELS "/mia_lite.safetensors"), {.threads = threads},
                            std::tuple{mia::NamedModel<mia::MiaVsrLite<>>{"mia_vsr_lite"}});
        const int scale = model->scale();
        Tensor<float, 4> whole(clip.extent(0), scale * clip.extent(1), scale * clip.extent(2), 3);
        model->forward(clip, whole);
        std::printf("%d frames of %d x %d, differences in units of 1/255\n\n", clip.extent(0), clip.extent(2),
                    clip.extent(1));
        tiles(*model, clip, whole);
        std::puts("");
        chunks(*model, clip, whole);
    } catch (const std::exception& error) {
        std::fprintf(stderr, "mia_cut_error: %s\n", error.what());
        return 1;
    }
}
