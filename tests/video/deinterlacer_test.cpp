#include "mia/video/deinterlacer.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <cstdint>
#include <string>
#include <vector>

#include "reading.hpp"
#include "y4m.hpp"

namespace mia {
namespace {

using testing::AllOf;
using testing::HasSubstr;

class Deinterlacing : public test::ReadingTest {
protected:
    /// How much neighbouring lines differ: combs, where two fields of different moments were woven.
    static double comb(const std::vector<VideoFrame>& frames) {
        double sum = 0;
        for (const auto& frame : frames)
            for (int y = 1; y + 1 < frame.height; ++y)
                for (int x = 0; x < frame.width; ++x)
                    sum += std::abs(2 * frame.view()(y, x, 1) - frame.view()(y - 1, x, 1) - frame.view()(y + 1, x, 1));
        return sum;
    }

    // A bar that moves to the right, and the same as 25 pairs of fields.
    const std::string bar =
        "-f lavfi -i \"color=black:size=96x64:rate=50:duration=1,geq=lum='255*between(X,8+mod(N,50),24+mod(N,50))'"
        ":cb=128:cr=128\" ";
    const std::string woven = bar + "-vf interlace=lowpass=off,format=yuv420p";
};

TEST_F(Deinterlacing, RefusedUnlessAskedFor) {
    MIA_NEEDS_FFMPEG();
    const auto marked = make(woven + " -c:v libx264 -flags +ildct+ilme", "a.mp4");
    EXPECT_THAT(error_of(marked), AllOf(HasSubstr("a.mp4: the video is interlaced, which frame 0 says"),
                                        HasSubstr("Set VideoReaderConfig::deinterlace")));
    const auto by_container = make(woven + " -c:v ffv1 -field_order tt", "b.mkv");
    EXPECT_THAT(error_of(by_container), HasSubstr("b.mkv: the video is interlaced"));
    EXPECT_THAT(error_of(make(woven, "c.y4m")), HasSubstr("c.y4m: the video is interlaced"));
}

TEST_F(Deinterlacing, OneFrameForEachWithItsTime) {
    MIA_NEEDS_FFMPEG();
    const auto pairs = make(bar + "-vf interlace=lowpass=off,format=yuv420p,setfield=prog -c:v ffv1", "a.mkv");
    const auto coded = "-i '" + pairs.string() + "' ";
    const auto pairs_frames = all(pairs);
    for (const auto& [options, name] :
         {std::pair<std::string, std::string>{"-c:v libx264 -qp 0 -flags +ildct+ilme -bf 2", "b.mp4"},
          {"-c:v ffv1 -field_order tt", "c.mkv"},
          {"-c:v mpeg2video -q:v 1 -flags +ildct+ilme", "d.ts"},
          {"-vf setfield=tff", "e.y4m"}}) {
        SCOPED_TRACE(name);
        const auto path = make(coded + options, name);
        const VideoReader reader(path, {.deinterlace = true});
        EXPECT_TRUE(reader.info().interlaced);
        const auto frames = all(path, {.deinterlace = true});
        ASSERT_EQ(frames.size(), 25u);
        for (std::size_t i = 0; i < frames.size(); ++i) {
            const double unit = av_q2d(reader.info().time_base);
            EXPECT_NEAR(double(frames[i].pts - frames[0].pts) * unit, double(i) / 25, 1e-3) << i;
            EXPECT_NEAR(double(frames[i].duration) * unit, 1. / 25, 1e-3) << i;
        }
        EXPECT_LT(comb(frames), comb(pairs_frames) / 10);
    }
}

// A frame is the moment of its first field, whose lines stay as they are. These codecs' frames tell nothing of fields.
TEST_F(Deinterlacing, FieldsComeInTheContainersOrder) {
    MIA_NEEDS_FFMPEG();
    const auto pairs = all(make(bar + "-vf interlace=lowpass=off,format=yuv420p,setfield=prog -c:v huffyuv", "a.mkv"));
    for (const int first : {0, 1}) {
        const auto path =
            make("-i '" + (folder / "a.mkv").string() + "' -c:v huffyuv -field_order " + (first == 0 ? "tt" : "bb"),
                 "b.mkv");
        const auto frames = all(path, {.deinterlace = true});
        ASSERT_EQ(frames.size(), pairs.size());
        double kept = 0, made = 0;  // how far lines of the first and the second field are from what they were
        for (std::size_t i = 0; i < frames.size(); ++i)
            for (int y = 0; y < 64; ++y)
                for (int x = 0; x < 96; ++x)
                    (y % 2 == first ? kept : made) += std::abs(frames[i].view()(y, x, 1) - pairs[i].view()(y, x, 1));
        EXPECT_LT(kept, 1e-2);
        EXPECT_GT(made, 100);
    }
}

TEST_F(Deinterlacing, TimesAreTheUndeinterlacedOnes) {
    MIA_NEEDS_FFMPEG();
    const std::string varying = "'select=mod(n\\,3),setpts=PTS+2/TB' -fps_mode passthrough -c:v ffv1 ";
    const auto progressive = all(make(woven + ",setfield=prog," + varying, "a.mkv"));
    const auto frames = all(make(woven + "," + varying + "-field_order tt", "b.mkv"), {.deinterlace = true});
    ASSERT_EQ(frames.size(), 16u);
    EXPECT_EQ(times_of(frames), times_of(progressive));
    EXPECT_EQ(durations_of(frames), durations_of(progressive));
}

TEST_F(Deinterlacing, ProgressiveFramesPassUnchanged) {
    MIA_NEEDS_FFMPEG();
    const auto path = make(bar + "-c:v libx264 -bf 2", "a.mp4");
    const auto plain = all(path), asked = all(path, {.deinterlace = true});
    ASSERT_EQ(asked.size(), plain.size());
    for (std::size_t i = 0; i < plain.size(); ++i) {
        EXPECT_TRUE(asked[i].pixels == plain[i].pixels) << i;
        EXPECT_EQ(asked[i].pts, plain[i].pts);
    }
    EXPECT_FALSE(VideoReader(path, {.deinterlace = true}).info().interlaced);
}

TEST_F(Deinterlacing, OneFrameAndPartsOfAVideo) {
    MIA_NEEDS_FFMPEG();
    const auto path = make(woven + " -c:v ffv1 -field_order tt", "a.mkv");
    const auto whole = all(path, {.deinterlace = true});
    const auto part = all(path, {.start = FrameNumber{7}, .end = FrameNumber{9}, .deinterlace = true});
    ASSERT_EQ(part.size(), 2u);
    EXPECT_TRUE(part[0].pixels == whole[7].pixels);
    EXPECT_TRUE(part[1].pixels == whole[8].pixels);
    const auto one = write_bytes("one.y4m", test::y4m("W16 H16 F25:1 It C420jpeg", 1, 384));
    EXPECT_EQ(all(one, {.deinterlace = true}).size(), 1u);
}

TEST_F(Deinterlacing, TooSmallForTheFilter) {
    const auto path = write_bytes("a.y4m", test::y4m("W2 H2 F25:1 It C420jpeg", 3, 6));
    EXPECT_THAT(
        error_of(path, {.deinterlace = true}),
        AllOf(HasSubstr("a.y4m: bwdif does not deinterlace frames of 2 x 2, yuv420p"), HasSubstr("first: ffmpeg")));
}

}  // namespace
}  // namespace mia
