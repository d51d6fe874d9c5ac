// What a Session says beforehand that it needs for frames of 320 x 180, against what the process then holds:
//   mia_session_memory lite|tiny|small|base [chunk_frames [context_frames [threads]]]
// Random weights. It runs until every kind of chunk was computed; base takes minutes.
#include <malloc.h>

#include <cstdlib>
#include <filesystem>
#include <iostream>

#include "mia/io/safetensors.hpp"
#include "mia/models/model_list.hpp"
#include "mia/models/session.hpp"
#include "support/fixture.hpp"
#include "support/resident_memory.hpp"

namespace {
using namespace mia;

template <class Model>
std::unique_ptr<AnyModel> random_model(const char* name, int threads) {
    const auto path = std::filesystem::temp_directory_path() / text("mia_session_memory_", getpid(), ".safetensors");
    {
        Cpu cpu;
        save_parameters(*bench::random_network<Model>(cpu, bench::MaskRule::keep_all), path);
    }
    auto model = std::make_unique<RunningModel<Model>>(name, read_safetensors(path), ModelOptions{.threads = threads});
    std::filesystem::remove(path);
    return model;
}

int run(int argc, char** argv) {
    const std::string name = argc > 1 ? argv[1] : "";
    const auto number = [&](int i, int otherwise) { return argc > i ? std::atoi(argv[i]) : otherwise; };
    const SessionConfig config{.chunk_frames = number(2, 16), .context_frames = number(3, 4)};
    const int threads = number(4, 1);
    std::unique_ptr<AnyModel> model;
    if (name == "lite") model = random_model<MiaVsrLite<>>("lite", threads);
    if (name == "tiny") model = random_model<MiaVsrTiny<>>("tiny", threads);
    if (name == "small") model = random_model<MiaVsrSmall<>>("small", threads);
    if (name == "base") model = random_model<MiaVsrBase<>>("base", threads);
    if (!model) {
        std::cerr << "mia_session_memory: no model \"" << name << "\"; give lite, tiny, small or base\n";
        return 2;
    }
    const auto frame = bench::random_tensor({bench::height, bench::width, 3}, 0, 1);
    Tensor<float, 3> out(model->scale() * bench::height, model->scale() * bench::width, 3);
    std::fill(out.data(), out.data() + out.size(), 0.0f);
    malloc_trim(0);
    const double before = test::resident_bytes();
    Session session(*model, config);
    const double declared = double(session.memory_bytes(bench::height, bench::width));
    double most = 0;
    const auto pull = [&] {
        while (session.pull(out)) {
        }
        most = std::max(most, test::resident_bytes());
    };
    for (int t = 0; t < 2 * (config.chunk_frames + config.context_frames); ++t) {
        session.push(frame);
        pull();
    }
    session.finish();
    pull();
    std::cout << name << ": " << config.window_frames(*model) << " frames at once, declared " << declared / 1e6
              << " MB, held " << (most - before) / 1e6 << " MB, ratio " << (most - before) / declared << "\n";
    return 0;
}

}  // namespace

int main(int argc, char** argv) try { return run(argc, argv); } catch (const std::exception& error) {
    std::cerr << "mia_session_memory: " << error.what() << "\n";
    return 1;
}
