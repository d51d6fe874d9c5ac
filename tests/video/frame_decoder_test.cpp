#include "mia/video/frame_decoder.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cctype>
#include <cstdint>
#include <cstdlib>
#include <sstream>
#include <string>
#include <vector>

#include "reading.hpp"
#include "y4m.hpp"

namespace mia {
namespace {

using testing::AllOf;
using testing::Each;
using testing::ElementsAre;
using testing::HasSubstr;

class Decoding : public test::ReadingTest {
protected:
    /// The frames' times as ffprobe sees them.
    static std::vector<std::int64_t> probed_times(const std::filesystem::path& path) {
        std::vector<std::int64_t> times;
        std::istringstream lines(
            test::output_of("ffprobe -v error -select_streams v -show_entries frame=best_effort_timestamp -of "
                            "csv=p=0 '" +
                            path.string() + "'"));
        for (std::string line; std::getline(lines, line);)
            if (!line.empty() && (std::isdigit(static_cast<unsigned char>(line[0])) != 0 || line[0] == '-'))
                times.push_back(std::atoll(line.c_str()));
        return times;
    }

    const std::string picture = "-f lavfi -i testsrc2=size=64x48:rate=10:duration=1 ";
};

TEST_F(Decoding, TimesAreTheFiles) {
    MIA_NEEDS_FFMPEG();
    const std::string source = "-f lavfi -i testsrc2=size=64x48:rate=30:duration=2 ";
    const std::string varying = "'select=not(mod(n\\,3))+not(mod(n\\,7)),setpts=PTS+%/TB' -fps_mode passthrough ";
    const auto shifted = [&](const std::string& seconds) {
        return source + "-vf " + std::string(varying).replace(varying.find('%'), 1, seconds);
    };
    for (const auto& [options, name] :
         {std::pair<std::string, std::string>{shifted("0") + "-c:v libx264 -bf 3", "vfr.mp4"},
          {shifted("1.5") + "-c:v libx264 -bf 3", "offset.mkv"},
          {shifted("1.5") + "-c:v libx264 -bf 3 -copyts", "offset.mp4"},
          {shifted("-1") + "-c:v ffv1 -copyts -avoid_negative_ts disabled", "negative.mkv"},
          {source + "-c:v mpeg2video -bf 2", "b_frames.ts"},

          {source + "-c:v libvpx-vp9 -deadline realtime", "hidden_frames.webm"}}) {
        const auto path = make(options, name);
        const auto frames = all(path);
        EXPECT_GT(frames.size(), 20u) << name;
        EXPECT_EQ(times_of(frames), probed_times(path)) << name;
        for (std::size_t i = 0; i + 1 < frames.size(); ++i)
            EXPECT_EQ(frames[i].duration, frames[i + 1].pts - frames[i].pts) << name << ' ' << i;
        EXPECT_GT(frames.back().duration, 0) << name;
        EXPECT_LT(frames.back().duration, 2 * frames[frames.size() - 2].duration + 2) << name;
    }
}

TEST_F(Decoding, EditLists) {
    MIA_NEEDS_FFMPEG();
    make("-f lavfi -i testsrc2=size=64x48:rate=10:duration=3 -c:v libx264 -g 10 -bf 2", "whole.mp4");
    const auto path = make("-ss 1.35 -i '" + (folder / "whole.mp4").string() + "' -c copy", "edited.mp4");
    const auto frames = all(path);
    EXPECT_EQ(times_of(frames), probed_times(path));
    EXPECT_LT(frames.size(), 20u);  // those before the edit's start are not shown
    EXPECT_GT(frames.size(), 14u);
}

TEST_F(Decoding, MissingTimesComeFromTheFrameRate) {
    MIA_NEEDS_FFMPEG();
    // AVI tells the order of decoding only, and nothing of the last B frame.
    for (const auto& [options, name] : {std::pair<std::string, std::string>{"-bf 2", "a.h264"},
                                        {"-c:v libx265 -x265-params log-level=none", "a.hevc"},
                                        {"-bf 2", "a.m2v"},
                                        {"", "a.mjpeg"},
                                        {"-bf 2", "a.avi"}}) {
        const auto path = make(picture + options, name);
        const auto frames = all(path);
        ASSERT_EQ(frames.size(), 10u) << name;
        const auto durations = durations_of(frames);
        EXPECT_THAT(durations, Each(durations[0])) << name;
        EXPECT_GT(durations[0], 0) << name;
    }
}

TEST_F(Decoding, TimesThatDoNotGrow) {
    MIA_NEEDS_FFMPEG();
    make(picture + "-c:v flv1", "good.flv");
    const auto path = make(
        "-i '" + (folder / "good.flv").string() + "' -c copy -bsf:v 'setts=ts=if(gte(N\\,5)\\,TS-100\\,TS)'", "a.flv");
    EXPECT_THAT(error_of(path), AllOf(HasSubstr("a.flv: frame 5 has the time stamp 400, the one before it 400"),
                                      HasSubstr("Time stamps must grow; make new ones: ffmpeg")));
}

TEST_F(Decoding, FramesThatChange) {
    MIA_NEEDS_FFMPEG();
    const auto raw = [&](const std::string& source, const std::string& options) {
        return bytes_of(make("-f lavfi -i " + source + ":rate=10:duration=0.5 -c:v libx264 " + options, "part.h264"));
    };
    const std::string plain = raw("testsrc2=size=64x48", "-pix_fmt yuv420p");
    EXPECT_THAT(error_of(write_bytes("a.h264", plain + raw("testsrc2=size=32x48", "-pix_fmt yuv420p"))),
                HasSubstr("a.h264: frame 5 is 32 x 48, the ones before it are 64 x 48. Cut or scale"));
    EXPECT_THAT(error_of(write_bytes("b.h264", plain + raw("testsrc2=size=64x48", "-pix_fmt yuv444p"))),
                HasSubstr("b.h264: frame 5 is yuv444p, the ones before it are yuv420p. Cut the input there"));
    const std::string tags = "-pix_fmt yuv420p -color_primaries bt2020 -colorspace bt2020nc -color_trc ";
    EXPECT_THAT(error_of(write_bytes("c.h264", raw("testsrc2=size=64x48", tags + "smpte2084") +
                                                   raw("testsrc2=size=64x48", tags + "arib-std-b67"))),
                AllOf(HasSubstr("c.h264: frame 5 has other colours"),
                      HasSubstr("transfer arib-std-b67) than the first"), HasSubstr("transfer smpte2084)")));
}

TEST_F(Decoding, Encrypted) {
    MIA_NEEDS_FFMPEG();
    const auto path = make(picture +
                               "-c:v libx264 -encryption_scheme cenc-aes-ctr -encryption_key "
                               "76a6c65c5ea762046bd749a2e632ccbb -encryption_kid a7e61c373e219033c21091fa607bf3b8",
                           "a.mp4");
    EXPECT_THAT(error_of(path), HasSubstr("a.mp4: the video is encrypted. Give a decrypted copy"));
}

TEST_F(Decoding, Y4mOfEveryShape) {
    struct Case {
        const char* fields;
        std::size_t bytes;
        int depth;
    };
    for (const auto& [fields, bytes, depth] :
         {Case{"W5 H3 F25:1 C420jpeg", 15 + 2 * 6, 8}, Case{"W5 H3 F25:1 C422", 15 + 2 * 9, 8},
          Case{"W5 H3 F25:1 C411", 15 + 2 * 6, 8}, Case{"W5 H3 F25:1 C420p10", 2 * (15 + 2 * 6), 10},
          Case{"W5 H3 F25:1 C444p16", 2 * 45, 16}, Case{"W1 H1 F25:1 C420jpeg", 3, 8}, Case{"W5 H3 F25:1 Cmono", 15, 8},
          Case{"W5 H3 F25:1 Cmono12", 30, 12}}) {
        const auto path = write_bytes("a.y4m", test::y4m(fields, 4, bytes));
        EXPECT_THAT(times_of(all(path)), ElementsAre(0, 1, 2, 3)) << fields;
        EXPECT_EQ(VideoReader(path).info().bit_depth, depth) << fields;
    }
}

TEST_F(Decoding, Y4mThatIsWrong) {
    struct Case {
        std::string bytes;
        const char* message;
    };
    const std::string whole = test::y4m("W4 H4 F25:1 C420jpeg", 3, 24);
    for (const auto& [bytes, message] :
         {Case{test::y4m("W4 H4 F25:1 X" + std::string(10 << 20, 'x'), 1, 24),
               "does not end within the first 1024 bytes"},
          Case{test::y4m("W4 H4 F25:1 X" + std::string(200, 'x'), 1, 24), "not a video that FFmpeg can read"},
          Case{test::y4m("W1000000000 H1000000000 F25:1", 1, 24), "more than the limit"},
          Case{test::y4m("W4 H4 F25:1 C999", 1, 24), "y4m header of 26 bytes \"YUV4MPEG2 W4 H4 F25:1 C999\""},
          Case{test::y4m("W4 H4 F25:1 C420jpeg", 0, 0), "holds no frame"},
          Case{whole.substr(0, whole.size() - 1),
               "frame 2 cannot be decoded (only the first 29 bytes of it are there)"},
          Case{test::y4m("W4 H4 F25:1 C420jpeg", 1, 5), "frame 0 cannot be decoded (only the first 11 bytes"},
          Case{whole + "FRA", "frame 3 cannot be decoded (only the first 3 bytes"},
          Case{whole + "RUBBISH" + std::string(100, 'x'), "frame 3 cannot be decoded"}})
        EXPECT_THAT(error_of(write_bytes("a.y4m", bytes)), AllOf(HasSubstr("a.y4m: "), HasSubstr(message)));
}

TEST_F(Decoding, LargerThanTheLimit) {
    MIA_NEEDS_FFMPEG();
    for (const char* name : {"a.mp4", "a.h264", "a.avi", "a.y4m"})
        EXPECT_THAT(error_of(make(picture, name), {.max_pixels = 64 * 48 - 1}),
                    HasSubstr("64 x 48, more than the limit of 3071 pixels"))
            << name;
    EXPECT_EQ(error_of(make(picture, "a.mp4"), {.max_pixels = 64 * 48}), "no error");
}

TEST_F(Decoding, PlaylistsDoNotReachTheNetwork) {
    const auto path = write_bytes("a.m3u8",
                                  "#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\nhttp://127.0.0.1:9/a.ts\n"
                                  "#EXT-X-ENDLIST\n");
    EXPECT_THAT(error_of(path), HasSubstr("a.m3u8: "));
}

}  // namespace
}  // namespace mia
