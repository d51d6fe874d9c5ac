#include "mia/models/session.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <functional>
#include <limits>
#include <utility>
#include <vector>

namespace {

using mia::AnyModel;
using mia::Error;
using mia::Session;
using mia::SessionConfig;
using mia::View;
using testing::HasSubstr;

/// Result of frame t: the mean of frames t - reach .. t + reach that the video has, each pixel repeated 2 x 2. A
/// frame's result is right only if its window held all of these neighbours.
class NeighbourMean : public AnyModel {
public:
    explicit NeighbourMean(int reach, bool bidirectional = true) : reach_(reach), bidirectional_(bidirectional) {}
    std::string name() const override { return "neighbour_mean"; }
    int scale() const override { return 2; }
    bool bidirectional() const override { return bidirectional_; }
    std::size_t memory_bytes(int frames, int, int) const override { return 1000u * std::size_t(frames); }
    void forward(View<const float, 4> clip, int first_frame, View<float, 4> out, mia::ModelObserver*) override {
        calls.push_back(clip.extent(0));
        for (int n = 0; n < out.extent(0); ++n) {
            const int t = first_frame + n;
            const int first = std::max(0, t - reach_);
            const int last = bidirectional_ ? std::min(clip.extent(0) - 1, t + reach_) : t;
            for (int y = 0; y < out.extent(1); ++y)
                for (int x = 0; x < out.extent(2); ++x)
                    for (int c = 0; c < 3; ++c) {
                        float sum = 0;
                        for (int s = first; s <= last; ++s) sum += clip(s, y / 2, x / 2, c);
                        out(n, y, x, c) = sum / float(last - first + 1);
                    }
        }
        if (poison) poison(out);
    }

    std::vector<int> calls;  ///< frames of each call
    std::function<void(View<float, 4>)> poison;

private:
    int reach_;
    bool bidirectional_;
};

constexpr int height = 3, width = 5;

std::vector<float> frame_at(int t) {
    std::vector<float> frame(height * width * 3);
    for (std::size_t i = 0; i < frame.size(); ++i) frame[i] = float((t * 37 + int(i) * 11) % 64) / 64;
    return frame;
}
View<const float, 3> view_of(const std::vector<float>& frame) { return {frame.data(), {height, width, 3}}; }

std::vector<std::vector<float>> run(AnyModel& model, SessionConfig config, int frames, bool pull_early = true) {
    Session session(model, config);
    std::vector<std::vector<float>> results;
    std::vector<float> out(2 * height * 2 * width * 3);
    const View<float, 3> out_view{out.data(), {2 * height, 2 * width, 3}};
    for (int t = 0; t < frames; ++t) {
        const auto frame = frame_at(t);
        session.push(view_of(frame));
        while (pull_early && session.pull(out_view)) results.push_back(out);
    }
    session.finish();
    while (session.pull(out_view)) results.push_back(out);
    EXPECT_EQ(session.frames_pushed(), frames);
    EXPECT_EQ(session.frames_pulled(), std::int64_t(results.size()));
    return results;
}

TEST(Session, ChunksWithEnoughContextEqualTheWholeClip) {
    for (const bool bidirectional : {true, false})
        for (const int frames : {1, 2, 3, 4, 5, 6, 7, 8, 9, 13, 31})
            for (const SessionConfig config :
                 {SessionConfig{1, 2}, SessionConfig{3, 2}, SessionConfig{4, 2}, SessionConfig{2, 3}}) {
                NeighbourMean chunked(2, bidirectional), whole(2, bidirectional);
                const auto got = run(chunked, config, frames);
                const auto wanted = run(whole, {1000, 2}, frames);
                ASSERT_EQ(got.size(), std::size_t(frames));
                EXPECT_EQ(got, wanted) << frames << " frames, chunk " << config.chunk_frames << ", context "
                                       << config.context_frames << ", bidirectional " << bidirectional;
            }
}

TEST(Session, ContextIsReallyUsed) {
    NeighbourMean chunked(2), whole(2);
    EXPECT_NE(run(chunked, {4, 0}, 9), run(whole, {1000, 2}, 9));  // else the test above could not fail
}

TEST(Session, WindowsHoldAtMostChunkAndTwoContexts) {
    NeighbourMean model(1);
    run(model, {4, 2}, 19);
    // Results 0-3 from frames 0-5, then 4-7 from 2-9, 8-11 from 6-13, 12-15 from 10-17, at last 16-18 from 14-18.
    EXPECT_THAT(model.calls, testing::ElementsAre(6, 8, 8, 8, 5));
}

TEST(Session, AShortVideoIsOneCall) {
    for (const int frames : {1, 2, 5}) {
        NeighbourMean model(1);
        run(model, {4, 2}, frames);
        EXPECT_THAT(model.calls, testing::ElementsAre(frames));
    }
}

TEST(Session, ModelWithoutLookAheadDeliversAsSoonAsAChunkIsThere) {
    NeighbourMean model(1, false);
    Session session(model, {1, 1});
    std::vector<float> out(2 * height * 2 * width * 3);
    for (int t = 0; t < 5; ++t) {
        session.push(view_of(frame_at(t)));
        EXPECT_TRUE(session.pull({out.data(), {2 * height, 2 * width, 3}})) << "frame " << t;
    }
    EXPECT_THAT(model.calls, testing::ElementsAre(1, 2, 2, 2, 2));
}

TEST(Session, NoFramesNoResults) {
    NeighbourMean model(1);
    EXPECT_TRUE(run(model, {}, 0).empty());
    EXPECT_TRUE(model.calls.empty());
}

TEST(Session, PullingLateChangesNothing) {
    NeighbourMean early(1), late(1);
    EXPECT_EQ(run(early, {8, 2}, 10), run(late, {8, 2}, 10, false));
    EXPECT_EQ(early.calls, late.calls);
}

TEST(Session, DeclaresItsMemoryBeforehand) {
    NeighbourMean model(1);
    const Session session(model, {4, 2});
    EXPECT_EQ(session.window_frames(), 8);
    EXPECT_EQ(session.memory_bytes(height, width), 8u * height * width * 3 * 5 * sizeof(float) + 8000u);
}

template <class Call>
std::string message_of(Call&& call) {
    try {
        call();
    } catch (const Error& error) {
        return error.what();
    }
    return "no error";
}

TEST(Session, NonFiniteInputNamesFrameAndPlace) {
    for (const float bad : {std::numeric_limits<float>::quiet_NaN(), -std::numeric_limits<float>::infinity()}) {
        NeighbourMean model(1);
        Session session(model, {4, 2});
        session.push(view_of(frame_at(0)));
        auto frame = frame_at(1);
        frame[(2 * width + 4) * 3 + 1] = bad;
        const auto message = message_of([&] { session.push(view_of(frame)); });
        EXPECT_THAT(message, HasSubstr("in the input at frame 1, row 2, column 4, channel 1"));
    }
}

TEST(Session, NonFiniteOutputNamesFrameAndPlace) {
    NeighbourMean model(1);
    model.poison = [&](View<float, 4> out) {
        if (model.calls.size() == 2) out(3, 5, 9, 2) = std::numeric_limits<float>::infinity();
    };
    // The second window begins at frame 2, so its fourth entry is frame 5.
    EXPECT_THAT(message_of([&] {
                    run(model, {4, 2}, 19);
                }),
                HasSubstr("in the model's output at frame 5, row 5, column 9, channel 2"));
}

TEST(Session, NonFiniteContextIsNotAResult) {
    NeighbourMean model(1);
    model.poison = [&](View<float, 4> out) {
        if (model.calls.size() == 2) out(1, 0, 0, 0) = std::numeric_limits<float>::quiet_NaN();
    };
    EXPECT_EQ(run(model, {4, 2}, 19).size(), 19u);
}

TEST(Session, WrongUseIsAnError) {
    NeighbourMean model(1);
    EXPECT_THAT(message_of([&] { Session(model, {0, 4}); }), HasSubstr("chunk_frames = 0"));
    EXPECT_THAT(message_of([&] { Session(model, {1, -1}); }), HasSubstr("context_frames = -1"));

    Session session(model, {1, 0});
    const auto frame = frame_at(0);
    EXPECT_THAT(message_of([&] { session.push({frame.data(), {height, width * 3, 1}}); }), HasSubstr("(3, 15, 1)"));
    session.push(view_of(frame));
    EXPECT_THAT(message_of([&] {
                    session.push({frame.data(), {height - 1, width, 3}});
                }),
                HasSubstr("frame 1 is (2, 5, 3), the frames before it are (3, 5, 3)"));
    EXPECT_THAT(message_of([&] { session.push(view_of(frame)); }), HasSubstr("pull() until it returns false"));
    std::vector<float> out(2 * height * 2 * width * 3);
    EXPECT_THAT(message_of([&] { session.pull({out.data(), {height, width, 3}}); }), HasSubstr("(6, 10, 3)"));
    EXPECT_TRUE(session.pull({out.data(), {2 * height, 2 * width, 3}}));
    session.finish();
    EXPECT_THAT(message_of([&] { session.push(view_of(frame)); }), HasSubstr("after finish()"));
}

}  // namespace
