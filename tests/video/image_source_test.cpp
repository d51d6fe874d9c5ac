#include "mia/video/image_source.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "reading.hpp"

namespace mia {
namespace {

using testing::AllOf;
using testing::ElementsAre;
using testing::HasSubstr;

class ImageSequence : public test::ReadingTest {
protected:
    static std::vector<std::string> names_of(const std::vector<VideoFrame>& frames) {
        std::vector<std::string> names;
        for (const auto& frame : frames) names.push_back(frame.name);
        return names;
    }

    const std::string pictures = "-f lavfi -i testsrc2=size=32x24:rate=10:duration=1 ";
};

TEST_F(ImageSequence, FolderInNaturalOrder) {
    MIA_NEEDS_FFMPEG();
    for (const auto& [kind, format] : {std::pair<std::string, std::string>{"png", "rgb48be"},
                                       {"jpg", "yuvj420p"},
                                       {"tif", "rgb24"},
                                       {"bmp", "bgr24"},
                                       {"webp", "yuv420p -c:v libwebp -f image2"}}) {
        SCOPED_TRACE(kind);
        std::filesystem::create_directory(folder / kind);
        make(pictures + "-start_number 7 -pix_fmt " + format, kind + "/f%d." + kind);
        const VideoReader reader(folder / kind);
        const VideoInfo& info = reader.info();
        EXPECT_EQ(info.kind, SourceKind::images);
        EXPECT_EQ(info.stream_index, -1);
        EXPECT_EQ(info.frame_count, 10);
        EXPECT_EQ(info.width, 32);
        EXPECT_EQ(info.height, 24);
        EXPECT_EQ(info.bit_depth, kind == "png" ? 16 : 8);
        EXPECT_EQ(reader.streams(), nullptr);
        const auto frames = all(folder / kind);
        EXPECT_THAT(times_of(frames), ElementsAre(0, 1, 2, 3, 4, 5, 6, 7, 8, 9));
        const auto names = names_of(frames);
        EXPECT_EQ(names.front(), "f7." + kind);
        EXPECT_EQ(names.back(), "f16." + kind);
    }
}

TEST_F(ImageSequence, PatternAndSingleImage) {
    MIA_NEEDS_FFMPEG();
    make(pictures + "-frames:v 3 -start_number 8 -pix_fmt rgb24", "f%03d.png");
    EXPECT_THAT(names_of(all(folder / "f%03d.png")), ElementsAre("f008.png", "f009.png", "f010.png"));
    EXPECT_THAT(names_of(all(folder / "f009.png")), ElementsAre("f009.png"));
    std::filesystem::remove(folder / "f009.png");
    EXPECT_THAT(error_of(folder / "f%03d.png"), HasSubstr("f%03d.png: f009.png is missing"));
    EXPECT_EQ(all(folder).size(), 2u);
}

TEST_F(ImageSequence, FrameRateAndPart) {
    MIA_NEEDS_FFMPEG();
    make(pictures + "-pix_fmt rgb24", "f%d.png");
    EXPECT_NEAR(VideoReader(folder).info().seconds, 10. / 25, 1e-9);
    VideoReaderConfig config = {.frame_rate = {10, 1}, .start = Seconds{0.3}, .end = FrameNumber{6}};
    const VideoInfo info = VideoReader(folder, config).info();
    EXPECT_EQ(info.frame_count, 3);
    EXPECT_NEAR(info.seconds, 0.3, 1e-9);
    EXPECT_NEAR(info.start_seconds, 0.3, 1e-9);
    EXPECT_NEAR(info.end_seconds, 0.6, 1e-9);
    EXPECT_NEAR(av_q2d(info.frame_rate), 10, 1e-9);
    const auto part = all(folder, config);
    EXPECT_THAT(names_of(part), ElementsAre("f4.png", "f5.png", "f6.png"));
    EXPECT_THAT(times_of(part), ElementsAre(0, 1, 2));
    EXPECT_THAT(error_of(folder, {.start = FrameNumber{10}}),
                AllOf(HasSubstr("begins at frame 10, beyond the end: 10 images last 0.4 s")));
    EXPECT_THAT(error_of(folder, {.start = Seconds{0.1}, .end = FrameNumber{2}}), HasSubstr("holds no image"));
}

TEST_F(ImageSequence, ImagesOfAnotherSizeOrKind) {
    MIA_NEEDS_FFMPEG();
    make(pictures + "-frames:v 1", "1.png");
    make("-f lavfi -i testsrc2=size=16x24:rate=10 -frames:v 1", "2.png");
    EXPECT_THAT(error_of(folder), HasSubstr("2.png is 16 x 24, the images before it are 32 x 24. Scale or crop"));
    std::filesystem::rename(make(pictures + "-frames:v 1", "3.bmp"), folder / "2.png");
    EXPECT_THAT(error_of(folder), HasSubstr("2.png: not a PNG image"));
}

}  // namespace
}  // namespace mia
