#include "mia/video/stream_color.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstring>
#include <string>

#include "reading.hpp"
#include "y4m.hpp"

extern "C" {
#include <libavutil/mastering_display_metadata.h>
}

namespace mia {
namespace {

using testing::AllOf;
using testing::HasSubstr;

class StreamColor : public test::ReadingTest {
protected:
    static VideoColor color_of(const std::filesystem::path& path) { return VideoReader(path).info().color; }

    const std::string picture = "-f lavfi -i testsrc2=size=64x48:rate=10:duration=0.3 ";
};

AVCodecParameters coded_as(const VideoColor& color) {
    AVCodecParameters coded = {};
    coded.color_space = color.matrix;
    coded.color_range = color.range;
    coded.color_primaries = color.primaries;
    coded.color_trc = color.transfer;
    coded.chroma_location = color.chroma_location;
    return coded;
}

detail::FramePtr frame_of(const VideoColor& color, AVPixelFormat format, int width = 64, int height = 48) {
    auto frame = detail::make_frame();
    frame->width = width;
    frame->height = height;
    frame->format = format;
    detail::set_color(color, *frame);
    return frame;
}

const VideoColor silent = {AVCOL_SPC_UNSPECIFIED, AVCOL_RANGE_UNSPECIFIED, AVCOL_PRI_UNSPECIFIED, AVCOL_TRC_UNSPECIFIED,
                           AVCHROMA_LOC_UNSPECIFIED};
const VideoColor hdr = {AVCOL_SPC_BT2020_NCL, AVCOL_RANGE_JPEG, AVCOL_PRI_BT2020, AVCOL_TRC_SMPTE2084,
                        AVCHROMA_LOC_TOPLEFT};
const VideoColor sd = {AVCOL_SPC_BT470BG, AVCOL_RANGE_MPEG, AVCOL_PRI_BT470BG, AVCOL_TRC_GAMMA28, AVCHROMA_LOC_LEFT};

TEST(StreamColour, TheContainerThenTheFrameThenTheCustom) {
    const auto yuv = AV_PIX_FMT_YUV420P;
    EXPECT_EQ(detail::stream_color(coded_as(hdr), *frame_of(sd, yuv), "x"), hdr);
    EXPECT_EQ(detail::stream_color(coded_as(silent), *frame_of(sd, yuv), "x"), sd);
    VideoColor half = silent;
    half.transfer = AVCOL_TRC_ARIB_STD_B67;
    VideoColor mixed = sd;
    mixed.transfer = half.transfer;
    EXPECT_EQ(detail::stream_color(coded_as(half), *frame_of(sd, yuv), "x"), mixed);
    const VideoColor guess = detail::stream_color(coded_as(silent), *frame_of(silent, yuv, 1280, 720), "x");
    EXPECT_TRUE(guess.guessed);
    EXPECT_EQ(guess.matrix, AVCOL_SPC_BT709);
    EXPECT_EQ(guess.range, AVCOL_RANGE_MPEG);
    EXPECT_EQ(guess.primaries, AVCOL_PRI_UNSPECIFIED);
}

TEST(StreamColour, FormatsThatLeaveNoChoice) {
    const auto none = coded_as(silent);
    EXPECT_EQ(detail::stream_color(none, *frame_of(silent, AV_PIX_FMT_RGB24), "x").matrix, AVCOL_SPC_RGB);
    EXPECT_EQ(detail::stream_color(none, *frame_of(silent, AV_PIX_FMT_PAL8), "x").range, AVCOL_RANGE_JPEG);
    EXPECT_EQ(detail::stream_color(coded_as(sd), *frame_of(sd, AV_PIX_FMT_YUVJ420P), "x").range, AVCOL_RANGE_JPEG);
    EXPECT_EQ(detail::stream_color(none, *frame_of(silent, AV_PIX_FMT_GRAY8), "x").range, AVCOL_RANGE_JPEG);
    EXPECT_EQ(detail::stream_color(coded_as(sd), *frame_of(sd, AV_PIX_FMT_GRAY8), "x").range, AVCOL_RANGE_MPEG);
    VideoColor wrong = silent;  // Y'CbCr tagged as RGB, as some capture programs do
    wrong.matrix = AVCOL_SPC_RGB;
    EXPECT_TRUE(detail::stream_color(coded_as(wrong), *frame_of(silent, AV_PIX_FMT_YUV420P), "x").guessed);
}

TEST(StreamColour, UnknownMatrixIsNamedWithTheFile) {
    VideoColor odd = silent;
    odd.matrix = AVCOL_SPC_SMPTE2085;
    EXPECT_THAT(
        test::message_of([&] { detail::stream_color(coded_as(odd), *frame_of(odd, AV_PIX_FMT_YUV420P), "in.mkv"); }),
        AllOf(HasSubstr("in.mkv: the colour matrix smpte2085"), HasSubstr("convert the video to bt709")));
}

TEST_F(StreamColor, OfFiles) {
    MIA_NEEDS_FFMPEG();
    const auto tagged = make(picture +
                                 "-pix_fmt yuv420p10le -c:v libx265 -x265-params log-level=none "
                                 "-color_primaries bt2020 -color_trc smpte2084 -colorspace bt2020nc -color_range tv",
                             "a.mp4");
    const VideoInfo info = VideoReader(tagged).info();
    EXPECT_EQ(info.bit_depth, 10);
    EXPECT_EQ(info.pixel_format, AV_PIX_FMT_YUV420P10);
    EXPECT_EQ(info.color.matrix, AVCOL_SPC_BT2020_NCL);
    EXPECT_EQ(info.color.transfer, AVCOL_TRC_SMPTE2084);
    EXPECT_EQ(info.color.primaries, AVCOL_PRI_BT2020);
    EXPECT_FALSE(info.color.guessed);
    EXPECT_EQ(color_of(make(picture + "-c:v mjpeg -pix_fmt yuvj420p", "b.avi")).range, AVCOL_RANGE_JPEG);
    for (const auto& [chroma, location] : {std::pair<std::string, AVChromaLocation>{"420jpeg", AVCHROMA_LOC_CENTER},
                                           {"420mpeg2", AVCHROMA_LOC_LEFT},
                                           {"420paldv", AVCHROMA_LOC_TOPLEFT}})
        EXPECT_EQ(color_of(write_bytes("c.y4m", test::y4m("W4 H4 F25:1 C" + chroma, 1, 24))).chroma_location, location);
    const auto full = write_bytes("d.y4m", test::y4m("W4 H4 F25:1 C420jpeg XCOLORRANGE=FULL", 1, 24));
    EXPECT_EQ(color_of(full).range, AVCOL_RANGE_JPEG);
}

// The middle of a flat grey: 128 of 255, or 112 of 219 above black.
TEST_F(StreamColor, FramesAreConvertedAsInfoSays) {
    const auto grey = [&](const std::string& fields) {
        std::string bytes = test::y4m("W4 H4 F25:1 C420jpeg" + fields, 1, 24);
        bytes.replace(bytes.size() - 24, 24, std::string(24, char(128)));
        return all(write_bytes("a.y4m", bytes)).at(0).view()(2, 2, 1);
    };
    EXPECT_NEAR(grey(" XCOLORRANGE=FULL"), 128. / 255, 1e-5);
    EXPECT_NEAR(grey(" XCOLORRANGE=LIMITED"), 112. / 219, 1e-5);
}

TEST_F(StreamColor, LightOfTheFirstFrameIsTheStreams) {
    MIA_NEEDS_FFMPEG();
    const auto path =
        make(picture +
                 "-pix_fmt yuv420p10le -c:v libx265 -x265-params \"log-level=none:hdr10=1:repeat-headers=1:"
                 "colorprim=bt2020:transfer=smpte2084:colormatrix=bt2020nc:master-display=G(13250,34500)B(7500,3000)"
                 "R(34000,16000)WP(15635,16450)L(10000000,500):max-cll=1000,400\"",
             "a.ts");  // a container without a place for them
    const VideoReader reader(path);
    const AVStream& stream = *reader.streams()->streams[reader.info().stream_index];
    const AVPacketSideData* light = detail::find_side_data(stream, AV_PKT_DATA_CONTENT_LIGHT_LEVEL);
    ASSERT_NE(light, nullptr);
    AVContentLightMetadata levels;
    std::memcpy(&levels, light->data, sizeof levels);
    EXPECT_EQ(levels.MaxCLL, 1000u);
    EXPECT_EQ(levels.MaxFALL, 400u);
    const AVPacketSideData* mastering = detail::find_side_data(stream, AV_PKT_DATA_MASTERING_DISPLAY_METADATA);
    ASSERT_NE(mastering, nullptr);
    AVMasteringDisplayMetadata display;
    std::memcpy(&display, mastering->data, sizeof display);
    EXPECT_NEAR(av_q2d(display.max_luminance), 1000, 1e-9);
    EXPECT_NEAR(av_q2d(display.display_primaries[0][0]), 0.68, 1e-9);
}

TEST_F(StreamColor, RotationStaysSideData) {
    MIA_NEEDS_FFMPEG();
    make(picture + "-c:v libx264", "a.mp4");
    const auto path = make("-i '" + (folder / "a.mp4").string() + "' -c copy -metadata:s:v rotate=90", "b.mp4");
    const VideoReader reader(path);
    EXPECT_EQ(reader.info().width, 64);
    EXPECT_NE(detail::find_side_data(*reader.streams()->streams[0], AV_PKT_DATA_DISPLAYMATRIX), nullptr);
}

}  // namespace
}  // namespace mia
