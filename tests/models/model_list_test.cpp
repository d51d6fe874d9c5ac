#include "mia/models/model_list.hpp"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <filesystem>
#include <iostream>
#include <memory>
#include <string>
#include <vector>

#include "mia/models/tiles.hpp"
#include "support/golden.hpp"

namespace mia {
namespace {

TEST(Summary, CountsWhatTheSpecificationSays) {
    const Summary tiny = summary<MiaVsrTiny<>>(64, 64);
    std::cout << tiny.text();
    ASSERT_FALSE(tiny.rows.empty());
    EXPECT_EQ(tiny.rows[0].parameters, 4'392'631);
    const Summary base = summary<MiaVsrBase<>>(180, 320);
    std::cout << base.text();
    EXPECT_EQ(base.rows[0].parameters, 16'029'583);
    EXPECT_NEAR(double(base.rows[0].macs), 1.49e12, 0.03e12);  // windows padded from 180 to 184 rows included
}

// Not shipped_models: the programs compile those, and their own checks open them.
constexpr std::tuple models{NamedModel<MiaVsrTiny<>>{"tiny"}, NamedModel<MiaVsrLite<>>{"lite"}};

std::unique_ptr<AnyModel> lite(ModelOptions options = {.threads = 2}) {
    return open_model(read_safetensors(MIA_MODELS "/mia_lite.safetensors"), options, models);
}

/// A pattern that moves a pixel a frame.
Tensor<float, 4> moving_clip(int T, int H, int W, int speed = 1) {
    Tensor<float, 4> clip(T, H, W, 3);
    for (int t = 0; t < T; ++t)
        for (int y = 0; y < H; ++y)
            for (int x = 0; x < W; ++x)
                for (int c = 0; c < 3; ++c)
                    clip.view()(t, y, x, c) = 0.5f + 0.2f * std::sin(0.31f * float(x - speed * t) + float(c)) +
                                              0.2f * std::sin(0.23f * float(y) * (1 + 0.01f * float(x)));
    return clip;
}

TEST(OpenModel, KnowsTheSmallModelByItsFile) {
    const auto model = lite();
    EXPECT_EQ(model->name(), "lite");
    EXPECT_NE(model->summary(8, 8).find("218344"), std::string::npos);
    Tensor<float, 4> clip(1, 5, 3, 3), out(1, 20, 12, 3);
    std::fill(clip.data(), clip.data() + clip.size(), 0.5f);
    model->forward(clip, out);
    for (std::ptrdiff_t i = 0; i < out.size(); ++i) EXPECT_NEAR(out.data()[i], 0.5f, 0.2f);
}

TEST(OpenModel, RefusesAnUnknownOneAndSaysWhatItLooksLike) {
    const auto file = test::Golden("e2e_weights").file();
    try {
        (void)open_model(file, {}, models);
        FAIL() << "a model of width 24 is none of the list";
    } catch (const Error& e) {
        EXPECT_NE(std::string(e.what()).find("embed_dim 24, 2 heads, 4 branches"), std::string::npos) << e.what();
    }
}

/// Counts what it is told.
struct Watcher : ModelObserver {
    double share = 0;
    int flows = 0, steps = 0, masks = 0, tokens = 0, active = 0;
    void progress(double now) override {
        EXPECT_GE(now, share);
        share = now;
    }
    void flow(int from, int to, View<const float, 3> flow) override {
        EXPECT_EQ(std::abs(from - to), 1);
        EXPECT_EQ(flow.extent(2), 2);
        ++flows;
    }
    void step(int, int, int) override { ++steps; }
    void mask(View<const std::uint8_t, 2> keep) override {
        ++masks;
        for (std::ptrdiff_t i = 0; i < keep.size(); ++i) active += keep.data[i];
        tokens += int(keep.size());
    }
};

TEST(RunningModel, TellsItsObserver) {
    const auto model = lite({.threads = 2, .mask = MaskUse::off});
    const auto clip = moving_clip(3, 24, 40);
    Tensor<float, 4> out(2, 96, 160, 3);
    Watcher watcher;
    model->forward(clip, 1, out, &watcher);
    EXPECT_NEAR(watcher.share, 1, 1e-9);  // the counted work is the work done
    EXPECT_EQ(watcher.flows, 4);
    EXPECT_EQ(watcher.steps, 6);
    EXPECT_EQ(watcher.masks, 12);  // two blocks each
    EXPECT_EQ(watcher.tokens, 0);  // no mask
}

const std::string no_result_left = "lite: no result is left; begin() a clip";
std::string error_of_next(AnyModel& model, Tensor<float, 3>& out) {
    try {
        model.next(out);
    } catch (const Error& error) {
        return error.what();
    }
    return {};
}

TEST(RunningModel, GivesResultsOneByOne) {
    const auto model = lite({.threads = 2});
    constexpr int T = 6, H = 24, W = 40;
    const auto clip = moving_clip(T, H, W);
    Tensor<float, 4> whole(3, 4 * H, 4 * W, 3);
    Tensor<float, 3> out(4 * H, 4 * W, 3);
    const auto equals = [&](int n) { return std::equal(out.data(), out.data() + out.size(), whole.view()[n].data); };
    model->forward(clip, 2, whole, nullptr);
    Watcher watcher;
    model->begin(clip, 2, 3, &watcher);
    EXPECT_LT(watcher.share, 0.8);  // the last branch is left, but for the frames before the first result
    model->next(out);
    EXPECT_TRUE(equals(0));
    model->begin(clip, 2, 3, nullptr);  // the rest of the first run is given up
    for (int n = 0; n < 3; ++n) {
        model->next(out);
        EXPECT_TRUE(equals(n)) << n;
    }
    EXPECT_EQ(error_of_next(*model, out), no_result_left);
    model->begin(clip, 2, 3, nullptr);
    (void)model->peak_flops();  // uses scratch of its own
    model->next(out);
    EXPECT_TRUE(equals(0));
}

TEST(RunningModel, AnErrorEndsARun) {
    const auto model = lite({});
    constexpr int T = 3, H = 8, W = 9;
    const auto clip = moving_clip(T, H, W);
    Tensor<float, 3> out(4 * H, 4 * W, 3), small(4 * H, 4 * W - 1, 3);
    struct Impatient : ModelObserver {
        double limit = 0;
        void progress(double share) override { require(share < limit, "enough"); }
    } impatient;
    EXPECT_THROW(model->begin(clip, 0, T, &impatient), Error);
    EXPECT_EQ(error_of_next(*model, out), no_result_left);
    impatient.limit = 0.9;  // in the last branch
    model->begin(clip, 0, T, &impatient);
    const auto take_all = [&] {
        for (int n = 0; n < T; ++n) model->next(out);
    };
    EXPECT_THROW(take_all(), Error);
    EXPECT_EQ(error_of_next(*model, out), no_result_left);
    model->begin(clip, 0, T, nullptr);
    EXPECT_THROW(model->next(small), Error);
    EXPECT_EQ(error_of_next(*model, out), no_result_left);
}

TEST(RunningModel, SharesOutTimeAndWorkAmongItsModules) {
    const auto model = lite({.threads = 2, .mask = MaskUse::off});
    EXPECT_TRUE(model->statistics().empty());
    model->keep_statistics();
    constexpr int T = 3, H = 24, W = 40;
    const auto clip = moving_clip(T, H, W);
    Tensor<float, 4> out(T, 4 * H, 4 * W, 3);
    const auto begin = std::chrono::steady_clock::now();
    model->forward(clip, out);
    model->forward(clip, out);  // sums are over all runs
    const double whole = std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();

    using OnCount = MiaVsrLite<Count>;
    Count setup, count;
    Network<OnCount, Count> counted(setup);
    set_mask_use(*counted, MaskUse::off);
    prepare(setup, *counted);
    OnCount::State state;
    counted->forward(count, count.scratch(T, H, W, 3), count.scratch(T, 4 * H, 4 * W, 3), state);

    const auto modules = model->statistics();
    std::vector<std::string> names;
    double seconds = 0;
    std::int64_t macs = 0;
    for (const auto& m : modules) {
        names.push_back(m.module);
        EXPECT_GT(m.seconds, 0) << m.module;
        EXPECT_EQ(m.work.macs, m.work.dense_macs) << m.module;
        seconds += m.seconds;
        macs += m.work.macs;
    }
    const std::vector<std::string> wanted{"flow",
                                          "conv_first",
                                          "backward_1 alignment",
                                          "backward_1 blocks",
                                          "backward_1 convolutions",
                                          "forward_1 alignment",
                                          "forward_1 blocks",
                                          "forward_1 convolutions",
                                          "upsampler",
                                          "other"};
    ASSERT_EQ(names, wanted);
    EXPECT_LE(seconds, whole + 1e-9);  // laps do not overlap; the rounding of a few hundred additions
    EXPECT_EQ(macs, 2 * count.macs());
    constexpr std::int64_t frames = 2 * T, pixels = frames * H * W, C = 48, M = 48;
    constexpr std::int64_t blocks = 2, block = 2 * 3 * C * C + 2 * C * C + 2 * 3 * 16 * C + 2 * C * 2 * C;  // a token
    EXPECT_EQ(modules[0].work.macs, 0);
    EXPECT_EQ(modules[1].work.macs, pixels * 9 * 3 * C);
    for (const std::size_t branch : {2u, 5u}) {
        EXPECT_EQ(modules[branch].work.macs, 0);
        EXPECT_EQ(modules[branch + 1].work.macs, pixels * blocks * block);
        EXPECT_EQ(modules[branch + 1].work.tokens, pixels * blocks);
        EXPECT_EQ(modules[branch + 2].work.macs, pixels * (3 + 2 * 9) * C * C);  // fusion; the group's, the last
    }
    EXPECT_EQ(modules[8].work.macs, pixels * 9 * (C * M + M * 48));
    EXPECT_EQ(modules[9].work.macs, 0);
    EXPECT_GT(model->peak_flops(), 0);
}

TEST(RunningModel, StatisticsFollowTheMaskAndTheRunsInTiles) {
    const auto masked = lite({.threads = 2, .mask = MaskUse::by_hand, .threshold = 0.3f});
    masked->keep_statistics();
    Tensor<float, 4> out(5, 96, 160, 3);
    masked->forward(moving_clip(5, 24, 40, 0), out);
    WorkCount all;
    for (const auto& m : masked->statistics()) {
        const bool are_blocks = m.module.ends_with(" blocks");
        EXPECT_EQ(m.work.tokens, are_blocks ? 2 * 5 * 24 * 40 : 0) << m.module;
        EXPECT_EQ(m.work.macs < m.work.dense_macs, are_blocks) << m.module;
        all.tokens += m.work.tokens;
        all.active_tokens += m.work.active_tokens;
    }
    EXPECT_DOUBLE_EQ(all.skipped_share(), masked->skipped_share());

    const auto tiles = lite();
    tiles->keep_statistics();
    TiledModel(*tiles, {.rows = 2, .columns = 1, .overlap = 8}, 5, 5, 24, 40)
        .forward(moving_clip(5, 24, 40), 0, out, nullptr);
    const auto modules = tiles->statistics();
    // Rows 0 ... 7 with 8 rows more, and 8 ... 23 with 8 rows more: those of tiles and, for the flow, of the whole.
    EXPECT_EQ(modules[1].work.macs, 5 * (16 + 24) * 40 * 9 * 3 * 48);
    EXPECT_GT(modules[0].seconds, 0);
}

TEST(RunningModel, AMaskByHandSkipsWhatChangesLess) {
    // Features are normed: 0.3 on average is a large change of them, 1000 none can reach.
    const auto masked = lite({.threads = 2, .mask = MaskUse::by_hand, .threshold = 0.3f});
    Tensor<float, 4> out(5, 96, 160, 3), all(5, 96, 160, 3);
    Watcher still;
    masked->forward(moving_clip(5, 24, 40, 0), 0, out, &still);
    EXPECT_GT(masked->skipped_share(), 0.5);
    EXPECT_GT(still.tokens, 0);
    // The share counts the tokens of steps without a mask too.
    EXPECT_NEAR(masked->skipped_share(), double(still.tokens - still.active) / (4 * 5 * 24 * 40), 1e-9);
    const auto every = lite({.threads = 2, .mask = MaskUse::by_hand, .threshold = 0});
    every->forward(moving_clip(5, 24, 40), out);
    EXPECT_EQ(every->skipped_share(), 0);
    const auto first = lite({.threads = 2, .mask = MaskUse::by_hand, .threshold = 1000});
    first->forward(moving_clip(5, 24, 40), all);
    EXPECT_DOUBLE_EQ(first->skipped_share(), 4 / 5.);  // the first frame of each branch is computed
    lite({.threads = 2, .mask = MaskUse::off})->forward(moving_clip(5, 24, 40), all);
    EXPECT_TRUE(std::equal(out.data(), out.data() + out.size(), all.data()));
}

TEST(RunningModel, AMaskInTheWeightsIsUsedUnlessItIsOff) {
    Cpu cpu;
    Network<MiaVsrLite<>> network(cpu);
    load_parameters(*network, read_safetensors(MIA_MODELS "/mia_lite.safetensors"),
                    {.prefix = "", .mask = MaskTensors::optional});
    for_each_parameter(*network, [](const std::string& name, const auto& p) {
        if (name.ends_with("rnn.weight")) std::fill(p.data, p.data + p.size, 1.f / float(p.size));
        if (name.ends_with("rnn.bias")) *p.data = -0.3f;
    });
    const auto saved = [&](const char* name, bool with_mask) {
        const std::string path = testing::TempDir() + name;
        std::filesystem::remove(path);
        save_parameters(*network, path, model_metadata<MiaVsrLite<>>(with_mask), with_mask);
        return read_safetensors(path);
    };
    const StateDict file = saved("lite_with_mask.safetensors", true),
                    without = saved("lite_without_mask.safetensors", false);
    const auto clip = moving_clip(4, 24, 40);
    const auto run = [&](const StateDict& weights, MaskUse mask) {
        const auto model = open_model(weights, {.threads = 2, .mask = mask, .threshold = 0.02f}, models);
        std::vector<float> out(std::size_t(4 * 96 * 160 * 3));
        model->forward(clip, {out.data(), {4, 96, 160, 3}});
        return std::tuple{out, model->skipped_share(), model->memory_bytes(4, 24, 40)};
    };
    const auto plain = run(without, MaskUse::as_trained);
    EXPECT_EQ(run(file, MaskUse::off), plain);
    EXPECT_EQ(run(without, MaskUse::off), plain);
    const auto trained = run(file, MaskUse::as_trained), by_hand = run(file, MaskUse::by_hand);
    EXPECT_EQ(by_hand, run(without, MaskUse::by_hand));
    EXPECT_GT(std::get<1>(trained), 0);
    EXPECT_GT(std::get<2>(trained), std::get<2>(plain)) << "the state";
    EXPECT_TRUE(std::get<0>(trained) != std::get<0>(by_hand));
}

TEST(RunningModel, WithItsOwnFlowsGivenTheNumbersAreTheSame) {
    const auto model = lite();
    const auto clip = moving_clip(4, 24, 40, 2);
    Tensor<float, 4> whole(4, 96, 160, 3), out(4, 96, 160, 3), backward(3, 24, 40, 2), forward(3, 24, 40, 2);
    model->forward(clip, whole);
    model->flows(clip, backward, forward);
    EXPECT_GT(std::abs(backward.view()(1, 12, 20, 0)) + std::abs(forward.view()(1, 12, 20, 0)), 1);
    Watcher watcher;
    model->forward_with_flows(clip, {backward, forward}, 0, out, &watcher);
    EXPECT_TRUE(std::equal(out.data(), out.data() + out.size(), whole.data()));
    EXPECT_NEAR(watcher.share, 1, 1e-9);
}

TEST(TiledModel, WithAnOverlapThatReachesEverywhereItIsTheWhole) {
    const auto model = lite();
    const auto clip = moving_clip(3, 43, 61);
    Tensor<float, 4> whole(3, 172, 244, 3), out(3, 172, 244, 3);
    model->forward(clip, whole);
    TiledModel tiled(*model, {.rows = 2, .columns = 3, .overlap = 64}, 3, 3, 43, 61);
    Watcher watcher;
    tiled.forward(clip, 0, out, &watcher);
    EXPECT_TRUE(std::equal(out.data(), out.data() + out.size(), whole.data()));
    EXPECT_NEAR(watcher.share, 1, 1e-9);
}

TEST(TiledModel, WithASmallerOverlapTheDifferenceIsSmall) {
    const auto model = lite();
    const auto clip = moving_clip(3, 72, 100);
    Tensor<float, 4> whole(2, 288, 400, 3), out(2, 288, 400, 3);
    model->forward(clip, 1, whole, nullptr);
    TiledModel tiled(*model, {.rows = 2, .columns = 2, .overlap = 16}, 3, 2, 72, 100);
    tiled.forward(clip, 1, out, nullptr);
    double squares = 0;
    for (std::ptrdiff_t i = 0; i < out.size(); ++i) squares += std::pow(double(out.data()[i] - whole.data()[i]), 2);
    EXPECT_GT(squares, 0);  // else tiles were not used
    EXPECT_GT(-10 * std::log10(squares / double(out.size())), 50);
}

}  // namespace
}  // namespace mia
