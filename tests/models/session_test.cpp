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
    int tile_unit() const override { return 1; }
    std::size_t memory_bytes(int frames, int, int) const override { return 1000u * std::size_t(frames); }
    void begin(View<const float, 4> clip, int first, int, mia::ModelObserver*) override {
        calls.push_back(clip.extent(0));
        clip_ = clip;
        frame_ = first;
    }
    void next(View<float, 3> out) override {
        const int first = std::max(0, frame_ - reach_);
        const int last = bidirectional_ ? std::min(clip_.extent(0) - 1, frame_ + reach_) : frame_;
        for (int y = 0; y < out.extent(0); ++y)
            for (int x = 0; x < out.extent(1); ++x)
                for (int c = 0; c < 3; ++c) {
                    float sum = 0;
                    for (int s = first; s <= last; ++s) sum += clip_(s, y / 2, x / 2, c);
                    out(y, x, c) = sum / float(last - first + 1);
                }
        ++frame_;
        if (poison) poison(out);
    }

    void step(View<const float, 3> frame, bool is_first, View<float, 3> out, mia::ModelObserver*) override {
        if (is_first) past_.clear();
        past_.insert(past_.end(), frame.data, frame.data + frame.size());
        const int frames = int(std::ptrdiff_t(past_.size()) / frame.size());
        calls.push_back(frames);
        NeighbourMean whole(reach_, false);
        whole.forward({past_.data(), {frames, frame.extent(0), frame.extent(1), 3}}, frames - 1,
                      {out.data, {1, out.extent(0), out.extent(1), 3}}, nullptr);
    }
    std::size_t step_memory_bytes(int, int) const override { return 500; }

    std::vector<int> calls;  ///< frames of each call; of step(): frames of the running clip
    std::function<void(View<float, 3>)> poison;

private:
    int reach_;
    bool bidirectional_;
    int frame_ = 0;
    View<const float, 4> clip_{};
    std::vector<float> past_;
};

SessionConfig chunks(int chunk, int context) {
    return {.chunk_frames = chunk, .context_frames = context, .scenes = {.detect = false}};
}

constexpr int height = 3, width = 5;

std::vector<float> frame_at(int t) {
    std::vector<float> frame(height * width * 3);
    for (std::size_t i = 0; i < frame.size(); ++i) frame[i] = float((t * 37 + int(i) * 11) % 64) / 64;
    return frame;
}
View<const float, 3> view_of(const std::vector<float>& frame) { return {frame.data(), {height, width, 3}}; }

/// Results for the frames first ... first + frames - 1 of the endless video.
std::vector<std::vector<float>> run(AnyModel& model, SessionConfig config, int frames, bool pull_early = true,
                                    int first = 0) {
    Session session(model, config);
    std::vector<std::vector<float>> results;
    std::vector<float> out(2 * height * 2 * width * 3);
    const View<float, 3> out_view{out.data(), {2 * height, 2 * width, 3}};
    for (int t = 0; t < frames; ++t) {
        const auto frame = frame_at(first + t);
        session.push(view_of(frame));
        while (pull_early && session.pull(out_view)) results.push_back(out);
    }
    session.finish();
    while (session.pull(out_view)) results.push_back(out);
    EXPECT_EQ(session.frames_pushed(), frames);
    EXPECT_EQ(session.frames_pulled(), config.first_frame + std::int64_t(results.size()));
    return results;
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

TEST(Session, ChunksWithEnoughContextEqualTheWholeClip) {
    for (const bool bidirectional : {true, false})
        for (const int frames : {1, 2, 3, 4, 5, 6, 7, 8, 9, 13, 31})
            for (const SessionConfig& config : {chunks(1, 2), chunks(3, 2), chunks(4, 2), chunks(2, 3)}) {
                NeighbourMean chunked(2, bidirectional), whole(2, bidirectional);
                const auto got = run(chunked, config, frames);
                const auto wanted = run(whole, chunks(1000, 2), frames);
                ASSERT_EQ(got.size(), std::size_t(frames));
                EXPECT_EQ(got, wanted) << frames << " frames, chunk " << config.chunk_frames << ", context "
                                       << config.context_frames << ", bidirectional " << bidirectional;
            }
}

TEST(Session, ContextIsReallyUsed) {
    NeighbourMean chunked(2), whole(2);
    EXPECT_NE(run(chunked, chunks(4, 0), 9), run(whole, chunks(1000, 2), 9));  // else the test above could not fail
}

TEST(Session, WindowsHoldAtMostChunkAndTwoContexts) {
    NeighbourMean model(1);
    run(model, chunks(4, 2), 19);
    // Results 0-3 from frames 0-5, then 4-7 from 2-9, 8-11 from 6-13, 12-15 from 10-17, at last 16-18 from 14-18.
    EXPECT_THAT(model.calls, testing::ElementsAre(6, 8, 8, 8, 5));
}

TEST(Session, AShortVideoIsOneCall) {
    for (const int frames : {1, 2, 5}) {
        NeighbourMean model(1);
        run(model, chunks(4, 2), frames);
        EXPECT_THAT(model.calls, testing::ElementsAre(frames));
    }
}

TEST(Session, ModelWithoutLookAheadGivesEachResultAtOnce) {
    NeighbourMean model(1, false), whole(1, false);
    const auto wanted = run(whole, chunks(1000, 1), 5);
    Session session(model, chunks(2, 1));
    std::vector<float> out(2 * height * 2 * width * 3);
    for (int t = 0; t < 5; ++t) {
        session.push(view_of(frame_at(t)));
        EXPECT_TRUE(session.pull({out.data(), {2 * height, 2 * width, 3}})) << "frame " << t;
        EXPECT_EQ(out, wanted[std::size_t(t)]);
        EXPECT_EQ(session.begins_chunk(), t % 2 == 0);
        EXPECT_FALSE(session.pull({out.data(), {2 * height, 2 * width, 3}}));
    }
    EXPECT_THAT(model.calls, testing::ElementsAre(1, 2, 3, 4, 5));  // nothing is computed twice
}

TEST(Session, NoFramesNoResults) {
    NeighbourMean model(1);
    EXPECT_TRUE(run(model, chunks(16, 4), 0).empty());
    EXPECT_TRUE(model.calls.empty());
}

TEST(Session, PullingLateChangesNothing) {
    NeighbourMean early(1), late(1);
    EXPECT_EQ(run(early, chunks(8, 2), 10), run(late, chunks(8, 2), 10, false));
    EXPECT_EQ(early.calls, late.calls);
}

TEST(Session, DeclaresItsMemoryBeforehand) {
    NeighbourMean model(1);
    const Session session(model, chunks(4, 2));
    // Windows of 8 frames; results go to the caller's memory one by one.
    EXPECT_EQ(session.memory_bytes(height, width), 8u * height * width * 3 * sizeof(float) + 8000u);
    NeighbourMean online(1, false);
    EXPECT_EQ(Session(online, chunks(4, 2)).memory_bytes(height, width), height * width * 3 * sizeof(float) + 500u);
}

TEST(Session, NonFiniteInputNamesFrameAndPlace) {
    for (const float bad : {std::numeric_limits<float>::quiet_NaN(), -std::numeric_limits<float>::infinity()}) {
        NeighbourMean model(1);
        Session session(model, chunks(4, 2));
        session.push(view_of(frame_at(0)));
        auto frame = frame_at(1);
        frame[(2 * width + 4) * 3 + 1] = bad;
        const auto message = message_of([&] { session.push(view_of(frame)); });
        EXPECT_THAT(message, HasSubstr("in the input at frame 1, row 2, column 4, channel 1"));
    }
}

TEST(Session, NonFiniteOutputNamesFrameAndPlace) {
    NeighbourMean model(1);
    int results = 0;
    model.poison = [&](View<float, 3> out) {
        if (++results == 6) out(5, 9, 2) = std::numeric_limits<float>::infinity();
    };
    EXPECT_THAT(message_of([&] { run(model, chunks(4, 2), 19); }),
                HasSubstr("in the model's output at frame 5, row 5, column 9, channel 2"));
}

TEST(Session, AScenesResultsAreThoseOfItsOwnVideo) {
    const std::vector<std::int64_t> cuts{1, 4, 5, 14};
    for (const bool bidirectional : {true, false})
        for (const int frames : {5, 14, 15, 20}) {
            SessionConfig config = chunks(3, 2);
            config.scenes.cuts = cuts;
            NeighbourMean model(2, bidirectional);
            const auto got = run(model, config, frames, true);
            std::vector<std::vector<float>> wanted;
            for (std::size_t scene = 0; scene <= cuts.size(); ++scene) {
                const int begin = scene == 0 ? 0 : int(cuts[scene - 1]);
                const int end = scene == cuts.size() ? frames : std::min(frames, int(cuts[scene]));
                if (begin >= end) continue;
                NeighbourMean alone(2, bidirectional);
                for (auto& result : run(alone, chunks(3, 2), end - begin, true, begin)) wanted.push_back(result);
            }
            EXPECT_EQ(got, wanted) << frames << " frames, bidirectional " << bidirectional;
        }
}

/// Still frames of noise with small changes; another picture from each cut on.
std::vector<float> scene_frame(int t, int cut) {
    auto frame = frame_at(t < cut ? 0 : 1);
    for (auto& x : frame) x = t < cut ? x * 0.4f : 0.5f + x * 0.4f;
    frame[std::size_t(t) % frame.size()] += 0.01f;
    return frame;
}

TEST(Session, FindsTheCut) {
    for (const int cut : {1, 3, 7, 100}) {
        NeighbourMean model(1);
        Session session(model, {4, 2});
        std::vector<float> out(2 * height * 2 * width * 3);
        for (int t = 0; t < 10; ++t) {
            session.push(view_of(scene_frame(t, cut)));
            while (session.pull({out.data(), {2 * height, 2 * width, 3}})) {
            }
            EXPECT_EQ(session.scenes(), t < cut ? 1 : 2) << "frame " << t << ", cut " << cut;
        }
    }
}

TEST(Session, GoesOnWhereAChunkBegins) {
    for (const bool bidirectional : {true, false}) {
        SessionConfig config = chunks(3, 2);
        config.scenes.cuts = {7};
        const int frames = 16;
        NeighbourMean model(2, bidirectional);
        std::vector<std::int64_t> begins;
        std::vector<float> out(2 * height * 2 * width * 3);
        std::vector<std::vector<float>> all;
        const auto work = [&](Session& session, auto&& use) {
            for (int t = 0; t <= frames; ++t) {
                if (t == frames)
                    session.finish();
                else
                    session.push(view_of(frame_at(t)));
                while (session.pull({out.data(), {2 * height, 2 * width, 3}})) use(session);
            }
        };
        Session whole(model, config);
        work(whole, [&](Session& session) {
            if (session.begins_chunk()) begins.push_back(session.frames_pulled() - 1);
            all.push_back(out);
        });
        ASSERT_EQ(all.size(), std::size_t(frames));
        ASSERT_GE(begins.size(), 5u);
        EXPECT_THAT(begins, testing::Contains(7));  // a scene begins with a chunk
        for (std::int64_t first = 0; first < frames; ++first) {
            config.first_frame = first;
            Session rest(model, config);
            std::vector<std::vector<float>> got;
            const auto collect = [&](Session&) { got.push_back(out); };
            if (std::find(begins.begin(), begins.end(), first) == begins.end()) {
                EXPECT_THAT(message_of([&] { work(rest, collect); }), HasSubstr("is not where a chunk begins"));
                continue;
            }
            work(rest, collect);
            EXPECT_EQ(got, std::vector(all.begin() + first, all.end())) << "from " << first;
        }
        config.first_frame = 99;
        Session late(model, config);
        EXPECT_THAT(message_of([&] { work(late, [](Session&) {}); }), HasSubstr("the video ended after 16 frames"));
    }
}

TEST(Session, FinishedChunksAreNotComputedAgain) {
    SessionConfig config = chunks(4, 2);
    config.first_frame = 12;
    NeighbourMean model(2);
    EXPECT_EQ(run(model, config, 19).size(), 7u);
    EXPECT_THAT(model.calls, testing::ElementsAre(8, 5));
}

TEST(Session, WrongUseIsAnError) {
    NeighbourMean model(1);
    EXPECT_THAT(message_of([&] { Session(model, chunks(0, 4)); }), HasSubstr("chunk_frames = 0"));
    EXPECT_THAT(message_of([&] { Session(model, chunks(1, -1)); }), HasSubstr("context_frames = -1"));

    Session session(model, chunks(1, 0));
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
