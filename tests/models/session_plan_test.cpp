#include "mia/models/session_plan.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace mia {
namespace {

using testing::HasSubstr;

TEST(TileAxis, PartsCoverEachResultOnce) {
    for (const int extent : {1, 7, 8, 9, 40, 61, 100, 720})
        for (const int parts : {1, 2, 3, 7, 50})
            for (const int overlap : {0, 5, 8, 64}) {
                const TileAxis axis(extent, parts, overlap, 8);
                int at = 0;
                for (int i = 0; i < axis.parts(); ++i) {
                    const auto part = axis.part(i);
                    EXPECT_EQ(part.begin, at);
                    EXPECT_GT(part.end, part.begin);
                    EXPECT_EQ(part.from % 8, 0);
                    EXPECT_LE(part.from, std::max(0, part.begin - overlap));
                    EXPECT_GE(part.to, std::min(extent, part.end + overlap));
                    EXPECT_LE(part.to, extent);
                    EXPECT_LE(part.to - part.from, axis.longest());
                    at = part.end;
                }
                EXPECT_EQ(at, extent);
                EXPECT_GE(axis.effort(), 1);
            }
    EXPECT_EQ(TileAxis(100, 1, 32, 8).effort(), 1);
    EXPECT_EQ(TileAxis(64, 2, 8, 8).effort(), 80.0 / 64);
}

/// Needs 100 bytes for each pixel of a window.
struct Costly : AnyModel {
    std::string name() const override { return "costly"; }
    int scale() const override { return 2; }
    bool bidirectional() const override { return true; }
    void begin(View<const float, 4>, int, int, ModelObserver*) override {}
    void next(View<float, 3>) override {}
    std::size_t memory_bytes(int frames, int height, int width) const override {
        return std::size_t(100) * std::size_t(frames) * std::size_t(height) * std::size_t(width);
    }
    std::size_t tile_memory_bytes(int frames, int height, int width) const override {
        return memory_bytes(frames, height, width);
    }
};

TEST(FitMemory, TakesTheLongestChunkThatFits) {
    Costly model;
    const SessionConfig wanted;
    const int H = 160, W = 320;
    const auto need = [&](const SessionConfig& c) { return session_memory_bytes(model, H, W, c); };
    EXPECT_EQ(fit_memory(model, H, W, need(wanted), wanted).chunk_frames, wanted.chunk_frames);
    SessionConfig nine = wanted;
    nine.chunk_frames = 9;
    const auto fitted = fit_memory(model, H, W, need(nine), wanted);
    EXPECT_EQ(fitted.chunk_frames, 9);
    EXPECT_TRUE(fitted.tiles.whole());
    EXPECT_EQ(fit_memory(model, H, W, need(nine) - 1, wanted).chunk_frames, 8);
    SessionConfig one = wanted;
    one.chunk_frames = 1;
    EXPECT_EQ(fit_memory(model, 8, 8, session_memory_bytes(model, 8, 8, one), wanted).chunk_frames, 1);
}

double effort(Costly& model, int H, int W, const SessionConfig& c) {
    return c.tiled(model, H, W).effort() * c.window_frames(model) / c.chunk_frames;
}

TEST(FitMemory, CutsFramesWhereShortChunksWouldBeMoreWork) {
    Costly model;
    const int H = 720, W = 1280;
    SessionConfig one_frame;
    one_frame.chunk_frames = 1;
    const std::size_t budget = session_memory_bytes(model, H, W, one_frame);
    const auto fitted = fit_memory(model, H, W, budget);
    EXPECT_FALSE(fitted.tiles.whole());
    EXPECT_LE(session_memory_bytes(model, H, W, fitted), budget);
    EXPECT_EQ(fitted.context_frames, 4);
    EXPECT_LT(effort(model, H, W, fitted), effort(model, H, W, one_frame) / 2);

    const auto tight = fit_memory(model, H, W, budget / 2);  // not one whole frame
    EXPECT_LE(session_memory_bytes(model, H, W, tight), budget / 2);
    EXPECT_GT(tight.tiles.rows * tight.tiles.columns, fitted.tiles.rows * fitted.tiles.columns);
}

TEST(FitMemory, SaysTheLeastThatIsNeeded) {
    Costly model;
    try {
        (void)fit_memory(model, 1600, 3200, 1000000);
        FAIL();
    } catch (const Error& error) {
        EXPECT_THAT(error.what(), HasSubstr("frames of 3200 x 1600 need at least"));
        EXPECT_THAT(error.what(), HasSubstr("1 MB may be used"));
    }
}

}  // namespace
}  // namespace mia
