#include "mia/video/reader.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <string>

#include "reading.hpp"

namespace mia {
namespace {

using testing::AllOf;
using testing::HasSubstr;

class Reader : public test::ReadingTest {
protected:
    /// The frames as ffmpeg decodes them, rgb24.
    std::string raw_rgb(const std::filesystem::path& path) const {
        const auto raw = make("-i '" + path.string() + "' -fps_mode passthrough -f rawvideo -pix_fmt rgb24", "raw.rgb");
        return bytes_of(raw);
    }
};

const std::string test_picture = "-f lavfi -i testsrc2=size=64x48:rate=10 -t 1 ";

TEST_F(Reader, Properties) {
    MIA_NEEDS_FFMPEG();
    const auto path = make(test_picture +
                               "-vf setsar=4/3 -c:v libx264 -pix_fmt yuv420p -colorspace smpte170m "
                               "-color_primaries smpte170m -color_trc smpte170m -color_range pc",
                           "a.mp4");
    const VideoInfo info = VideoReader(path).info();
    EXPECT_EQ(info.width, 64);
    EXPECT_EQ(info.height, 48);
    EXPECT_EQ(info.frame_count, 10);
    EXPECT_NEAR(info.seconds, 1, 1e-9);
    EXPECT_NEAR(av_q2d(info.frame_rate), 10, 1e-9);
    EXPECT_NEAR(av_q2d(info.sample_aspect_ratio), 4. / 3, 1e-9);
    EXPECT_EQ(info.codec, "h264");
    EXPECT_EQ(info.stream_index, 0);
    EXPECT_EQ(info.color, (VideoColor{AVCOL_SPC_SMPTE170M, AVCOL_RANGE_JPEG, AVCOL_PRI_SMPTE170M, AVCOL_TRC_SMPTE170M,
                                      AVCHROMA_LOC_LEFT}));
}

TEST_F(Reader, UntaggedColourIsGuessedBySize) {
    MIA_NEEDS_FFMPEG();
    const VideoColor small = VideoReader(make(test_picture + "-c:v ffv1 -pix_fmt yuv420p", "a.mkv")).info().color;
    EXPECT_TRUE(small.guessed);
    EXPECT_EQ(small.matrix, AVCOL_SPC_SMPTE170M);
    EXPECT_EQ(small.range, AVCOL_RANGE_MPEG);
    const auto path = make("-f lavfi -i color=size=1280x720:rate=1 -frames:v 1 -c:v ffv1 -pix_fmt yuv420p", "b.mkv");
    EXPECT_EQ(VideoReader(path).info().color.matrix, AVCOL_SPC_BT709);
    const VideoColor jpeg = VideoReader(make(test_picture + "-c:v mjpeg -pix_fmt yuvj420p", "c.mkv")).info().color;
    EXPECT_EQ(jpeg.range, AVCOL_RANGE_JPEG);
}

TEST_F(Reader, RgbDecodesExactly) {
    MIA_NEEDS_FFMPEG();
    const auto path = make(test_picture + "-c:v libx264rgb -crf 20", "a.mkv");
    ASSERT_EQ(VideoReader(path).info().pixel_format, AV_PIX_FMT_GBRP);
    const std::string raw = raw_rgb(path);
    std::size_t at = 0;
    for (const auto& frame : all(path))
        for (const float x : frame.pixels) {
            ASSERT_LT(at, raw.size());
            ASSERT_EQ(x, float(static_cast<unsigned char>(raw[at++])) / 255);
        }
    EXPECT_EQ(at, raw.size());
}

// swscale, which makes the picture to compare with, rounds to 8 bits twice; in full range of 10 bits its white is 1020
// where 1023 is meant. Bars are flat, so that inside them only the matrix and the range matter.
TEST_F(Reader, BarsOfEachMatrixAndRangeAgreeWithFfmpeg) {
    MIA_NEEDS_FFMPEG();
    for (const std::string format : {"yuv420p", "yuv444p", "yuv422p10le"})
        for (const std::string matrix : {"bt709", "smpte170m", "bt2020nc"})
            for (const std::string range : {"tv", "pc"}) {
                const std::string convert = "scale=out_color_matrix=" + (matrix == "smpte170m" ? "bt601" : matrix) +
                                            ":out_range=" + range + ":flags=accurate_rnd+full_chroma_int";
                const auto path =
                    make("-f lavfi -i rgbtestsrc=size=192x96:rate=5 -frames:v 1 -vf format=gbrp," + convert +
                             ",format=" + format + " -c:v ffv1 -colorspace " + matrix + " -color_range " + range,
                         "a.mkv");
                const auto frames = all(path);
                ASSERT_EQ(frames.size(), 1u);
                for (int band = 0; band < 3; ++band)  // red, green, blue, each a third of the height
                    for (int c = 0; c < 3; ++c)
                        EXPECT_NEAR(frames[0].view()(32 * band + 16, 190, c), c == band ? 1 : 0, 3. / 255)
                            << format << ' ' << matrix << ' ' << range << " band " << band;
            }
}

TEST_F(Reader, PacketsOfOtherStreams) {
    MIA_NEEDS_FFMPEG();
    const auto path = make(test_picture + "-f lavfi -i sine -t 1 -c:v mpeg4 -c:a aac", "a.mkv");
    for (const bool keep : {true, false}) {
        VideoReader reader(path, {.keep_packets = keep});
        std::size_t count = 0, bytes = 0;
        for (VideoFrame frame; reader.read(frame);)
            for (Packet packet; reader.take_packet(packet);) {
                EXPECT_EQ(packet->stream_index, 1);
                ++count;
                bytes += std::size_t(packet->size);
            }
        for (Packet packet; reader.take_packet(packet);) ++count;
        if (keep) {
            EXPECT_GE(count, 44u);  // 44100 / 1024 and the priming
            EXPECT_GT(bytes, 1000u);
        } else {
            EXPECT_EQ(count, 0u);
        }
    }
}

TEST_F(Reader, NamesWithColonsAndPercentAreFiles) {
    MIA_NEEDS_FFMPEG();
    std::filesystem::rename(make(test_picture + "-c:v mpeg4", "a.mp4"), folder / "http:x%03d.mp4");
    EXPECT_EQ(all(folder / "http:x%03d.mp4").size(), 10u);
}

TEST_F(Reader, WhatIsNoVideo) {
    EXPECT_THAT(error_of(folder / "none.mp4"), AllOf(HasSubstr("none.mp4: no such file"), HasSubstr("Check the path")));
    EXPECT_THAT(error_of(write_bytes("empty.mp4", "")), HasSubstr("the file is empty"));
    EXPECT_THAT(error_of(write_bytes("text.mp4", std::string(5000, 'x'))),
                HasSubstr("not a video that FFmpeg can read"));
    std::filesystem::create_directory(folder / "sub");
    EXPECT_THAT(error_of(folder / "sub"), HasSubstr("holds no image"));
}

TEST_F(Reader, NoVideoStream) {
    MIA_NEEDS_FFMPEG();
    EXPECT_THAT(error_of(make("-f lavfi -i sine -t 0.2 -c:a aac", "sound.mp4")),
                AllOf(HasSubstr("no video stream"), HasSubstr("audio (aac)")));
}

TEST_F(Reader, NoFrames) {
    MIA_NEEDS_FFMPEG();
    const auto path = make(test_picture + "-c:v libx264 -frames:v 0 -f matroska", "none.mkv");
    EXPECT_THAT(error_of(path),
                testing::AnyOf(HasSubstr("no frame"), HasSubstr("no picture size"), HasSubstr("not a video")));
}

TEST_F(Reader, CutShort) {
    MIA_NEEDS_FFMPEG();
    const std::string h264 = test_picture + "-c:v libx264 -g 5 ";
    for (const auto& [options, name] : {std::pair<std::string, std::string>{h264, "a.mp4"},
                                        {h264 + "-movflags +faststart", "b.mp4"},
                                        {h264, "c.mkv"},
                                        {test_picture + "-c:v ffv1", "d.avi"}}) {
        const auto whole = make(options, name);
        EXPECT_EQ(all(whole).size(), 10u);
        for (const double share : {0.03, 0.6, 0.9})
            EXPECT_THAT(
                error_of(truncated(whole, "cut" + whole.extension().string(), share)),
                testing::AnyOf(HasSubstr("cut short"), HasSubstr("cannot be decoded"), HasSubstr("not a video")))
                << name << " cut to " << share;
    }
}

TEST_F(Reader, Damaged) {
    MIA_NEEDS_FFMPEG();
    for (const auto& [codec, name] : {std::pair<std::string, std::string>{"-c:v libx264 -crf 10", "a.mp4"},
                                      {"-c:v ffv1 -slicecrc 1 -level 3", "b.mkv"},
                                      {"-c:v libx264 -crf 10", "c.ts"}}) {
        auto bytes = bytes_of(make(test_picture + codec, name));
        for (std::size_t i = bytes.size() / 2; i < bytes.size() / 2 + 300; ++i) bytes[i] = char(i * 89);
        EXPECT_THAT(error_of(write_bytes(name, bytes)), HasSubstr("cannot be decoded")) << name;
    }
}

}  // namespace
}  // namespace mia
