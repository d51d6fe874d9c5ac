#include "mia/video/y4m_writer.hpp"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <string>

#include "output.hpp"

namespace mia::detail {
namespace {

using test::frame_of;
using test::info_of;
using test::message_of;
using testing::HasSubstr;
using testing::StartsWith;

class Y4m : public test::MediaTest {
protected:
    std::filesystem::path write(const VideoInfo& info, const VideoWriterConfig& config = {}, int frames = 3) const {
        const auto path = folder / "a.y4m";
        const Descriptor file(::open(path.c_str(), O_WRONLY | O_CREAT | O_TRUNC, 0600));
        Y4mWriter writer(file.get(), "the stream", info, config);
        for (int i = 0; i < frames; ++i) writer.write(frame_of(info, i));
        writer.finish();
        return path;
    }
    std::string header(const VideoInfo& info, const VideoWriterConfig& config = {}) const {
        const std::string bytes = bytes_of(write(info, config, 1));
        return bytes.substr(0, bytes.find('\n'));
    }
};

TEST_F(Y4m, Headers) {
    VideoInfo info = info_of(16, 8);
    info.sample_aspect_ratio = {4, 3};
    info.frame_rate = {30000, 1001};
    EXPECT_EQ(header(info), "YUV4MPEG2 W16 H8 F30000:1001 Ip A4:3 C420mpeg2 XCOLORRANGE=LIMITED");
    info.color.chroma_location = AVCHROMA_LOC_CENTER;
    info.color.range = AVCOL_RANGE_JPEG;
    EXPECT_THAT(header(info), HasSubstr("C420jpeg XCOLORRANGE=FULL"));
    info.bit_depth = 10;
    EXPECT_THAT(header(info), HasSubstr(" C420p10 "));
    info.bit_depth = 16;
    EXPECT_THAT(header(info, {.pixel_format = "yuv422p12le"}), HasSubstr(" C422p12 "));
    EXPECT_THAT(header(info_of(15, 8)), StartsWith("YUV4MPEG2 W15 H8 F25:1 Ip A0:0 C444 "));
    EXPECT_THAT(message_of([&] { header(info, {.pixel_format = "gbrp"}); }),
                HasSubstr("y4m has no pixel format \"gbrp\""));
    EXPECT_THAT(message_of([&] { header(info_of(15, 8), {.pixel_format = "yuv420p"}); }),
                HasSubstr("needs an even size, the output is 15 x 8"));
}

TEST_F(Y4m, FfmpegReadsWhatFromRgbMade) {
    MIA_NEEDS_FFMPEG();
    for (const char* format :
         {"yuv420p", "yuv422p", "yuv444p", "yuv420p10le", "yuv422p10le", "yuv444p10le", "yuv420p12le", "yuv422p12le",
          "yuv444p12le", "yuv420p16le", "yuv422p16le", "yuv444p16le"}) {
        const VideoInfo info = info_of(48, 34);
        VideoWriterConfig config;
        config.pixel_format = format;
        const auto path = write(info, config);
        EXPECT_EQ(
            test::probe(path, "-show_entries stream=pix_fmt,width,height,nb_read_frames -count_frames -of csv=p=0"),
            text("48,34,", format, ",3"));
        VideoReader reader(path);
        VideoFrame back;
        int count = 0;
        for (; reader.read(back); ++count) EXPECT_EQ(back.pts, count);
        EXPECT_EQ(count, 3) << format;
        // The planes themselves, as ffmpeg has them.
        const auto raw = make("-i '" + path.string() + "' -frames:v 1 -f rawvideo", "raw");
        const FramePtr picture = make_frame();
        picture->format = av_get_pix_fmt(format);
        picture->width = info.width;
        picture->height = info.height;
        av_frame_get_buffer(picture.get(), 1);
        FromRgb().convert(frame_of(info, 0).view(), output_color(info.color), *picture);
        const int size = av_image_get_buffer_size(AVPixelFormat(picture->format), info.width, info.height, 1);
        std::string wanted(std::size_t(size), '\0');
        av_image_copy_to_buffer(reinterpret_cast<std::uint8_t*>(wanted.data()), size, picture->data, picture->linesize,
                                AVPixelFormat(picture->format), info.width, info.height, 1);
        EXPECT_EQ(bytes_of(raw) == wanted, true) << format;
    }
}

TEST_F(Y4m, AClosedPipeIsAnError) {
    int ends[2];
    ASSERT_EQ(pipe(ends), 0);
    const VideoInfo info = info_of(64, 64);
    Y4mWriter writer(ends[1], "standard output", info, {});
    close(ends[0]);
    EXPECT_THAT(message_of([&] { writer.write(frame_of(info, 0)); }),
                HasSubstr("standard output: the program that reads it has ended (Broken pipe)"));
    // SIGPIPE was held back, is gone, and would end the process again.
    sigset_t pending;
    sigpending(&pending);
    EXPECT_EQ(sigismember(&pending, SIGPIPE), 0);
    EXPECT_EXIT(
        {
            signal(SIGPIPE, SIG_DFL);
            [[maybe_unused]] const auto count = ::write(ends[1], "x", 1);
        },
        testing::KilledBySignal(SIGPIPE), "");
    close(ends[1]);
}

}  // namespace
}  // namespace mia::detail
