// What a Session says beforehand that it needs, against what the process then holds.
#include <gtest/gtest.h>
#include <malloc.h>

#include <iostream>

#include "mia/io/safetensors.hpp"
#include "mia/models/model_list.hpp"
#include "mia/models/session.hpp"
#include "support/resident_memory.hpp"

namespace mia {
namespace {

using test::resident_bytes;

TEST(SessionMemory, IsWhatWasSaidAndStaysFlat) {
    if (test::is_sanitized || resident_bytes() == 0) GTEST_SKIP() << "the memory of this process cannot be measured";
    const auto model = open_model(read_safetensors(MIA_MODELS "/mia_lite.safetensors"), {.threads = 2},
                                  std::tuple{NamedModel<MiaVsrLite<>>{"lite"}});
    constexpr int H = 96, W = 160, frames = 25;
    Tensor<float, 3> frame(H, W, 3), out(4 * H, 4 * W, 3);
    std::fill(out.data(), out.data() + out.size(), 0.f);
    malloc_trim(0);
    const double before = resident_bytes();
    Session session(*model, {.chunk_frames = 4, .context_frames = 2});
    const double declared = double(session.memory_bytes(H, W));
    double early = 0, most = 0;
    const auto pull = [&] {
        while (session.pull(out)) {
        }
        most = std::max(most, resident_bytes());
    };
    for (int t = 0; t < frames; ++t) {
        for (std::ptrdiff_t i = 0; i < frame.size(); ++i) frame.data()[i] = float((i * 7 + t * 13) % 251) / 251;
        session.push(frame);
        pull();
        if (t == frames / 2) early = most;
    }
    session.finish();
    pull();
    std::cout << "declared " << declared / 1e6 << " MB, held " << (most - before) / 1e6 << " MB\n";
    EXPECT_NEAR((most - before) / declared, 1, 0.1);
    EXPECT_LT(most - early, 0.1 * declared);  // the last run alone fills the whole output
}

}  // namespace
}  // namespace mia
