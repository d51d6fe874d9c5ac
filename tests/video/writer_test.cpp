#include "mia/video/writer.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <cstdlib>
#include <string>
#include <vector>

#include "media.hpp"
#include "mia/video/reader.hpp"

namespace mia {
namespace {

using test::message_of;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

const VideoWriterConfig quick = {.preset = "ultrafast", .threads = 1};

class Writer : public test::MediaTest {
protected:
    static VideoInfo info_of(int width, int height) {
        VideoInfo info;
        info.width = width;
        info.height = height;
        return info;
    }
    static VideoFrame frame_of(const VideoInfo& info, std::int64_t pts, float level = 0.5f) {
        VideoFrame frame;
        frame.resize(info.height, info.width);
        std::fill(frame.pixels.begin(), frame.pixels.end(), level);
        frame.pts = pts;
        frame.duration = 1;
        return frame;
    }
    void write_two(const std::string& name, const VideoInfo& info, const VideoWriterConfig& config = quick) const {
        VideoWriter writer(folder / name, info, config);
        writer.write(frame_of(info, 0));
        writer.write(frame_of(info, 1));
        writer.finish();
    }
    /// One value of the first video stream, as ffprobe says.
    std::string probe(const std::string& name, const std::string& entry) const {
        auto words = test::output_of("ffprobe -v error -select_streams v:0 -show_entries stream=" + entry +
                                     " -of csv=p=0 '" + (folder / name).string() + "'");
        while (!words.empty() && (words.back() == '\n' || words.back() == ',')) words.pop_back();
        return words;
    }
};

TEST_F(Writer, ContainersCodecsAndTags) {
    MIA_NEEDS_FFMPEG();
    VideoInfo info = info_of(64, 48);
    info.sample_aspect_ratio = {4, 3};
    for (const std::string name : {"a.mp4", "a.mov", "a.mkv", "a.MKV"}) {
        write_two(name, info);
        EXPECT_EQ(probe(name, "codec_name,width,height,sample_aspect_ratio,pix_fmt"), "h264,64,48,4:3,yuv420p") << name;
        EXPECT_EQ(probe(name, "color_range,color_space,color_transfer,color_primaries"), "tv,bt709,bt709,bt709")
            << name;
    }
    info.color = {AVCOL_SPC_SMPTE170M, AVCOL_RANGE_JPEG, AVCOL_PRI_SMPTE170M, AVCOL_TRC_SMPTE170M};
    write_two("b.mp4", info);
    EXPECT_EQ(probe("b.mp4", "color_range,color_space,color_transfer,color_primaries"),
              "pc,smpte170m,smpte170m,smpte170m");
    write_two("c.mkv", info, {.codec = "ffv1"});
    EXPECT_EQ(probe("c.mkv", "codec_name"), "ffv1");
    EXPECT_THAT(names(), ElementsAre("a.MKV", "a.mkv", "a.mov", "a.mp4", "b.mp4", "c.mkv"));
}

TEST_F(Writer, OddSizesBecome444) {
    MIA_NEEDS_FFMPEG();
    write_two("a.mp4", info_of(63, 45));
    EXPECT_EQ(probe("a.mp4", "width,height,pix_fmt"), "63,45,yuv444p");
}

TEST_F(Writer, TimeStampsOfAnyShape) {
    MIA_NEEDS_FFMPEG();
    // A late start, gaps of all lengths, and a last frame that stays for a second.
    VideoInfo info = info_of(16, 16);
    info.time_base = {1, 90000};
    const std::vector<std::int64_t> times = {45000, 48003, 48004, 60000, 150000, 150900, 151800, 152700, 200000};
    for (const std::string name : {"a.mp4", "a.mov"}) {
        for (const char* preset : {"ultrafast", "medium"}) {
            VideoWriter writer(folder / name, info, {.preset = preset, .threads = 1});
            for (std::size_t i = 0; i < times.size(); ++i) {
                auto frame = frame_of(info, times[i], float(i) / 10);
                frame.duration = i + 1 < times.size() ? times[i + 1] - times[i] : 90000;
                writer.write(frame);
            }
            writer.finish();
            VideoReader reader(folder / name);
            ASSERT_EQ(av_cmp_q(reader.info().time_base, info.time_base), 0);
            std::vector<std::int64_t> found;
            std::int64_t last_duration = 0;
            for (VideoFrame frame; reader.read(frame); last_duration = frame.duration) found.push_back(frame.pts);
            EXPECT_EQ(found, times) << name << ' ' << preset;
            // With reordered frames FFmpeg's muxer states the whole length in the edit list alone, not in the samples.
            if (std::string(preset) == "ultrafast") {
                EXPECT_EQ(last_duration, 90000) << name;
            }
            EXPECT_NEAR(std::atof(test::output_of("ffprobe -v error -show_entries format=duration -of csv=p=0 '" +
                                                  (folder / name).string() + "'")
                                      .c_str()),
                        290000. / 90000, 0.001)
                << name << ' ' << preset;
        }
    }
}

TEST_F(Writer, PicturesSurviveTheEncoder) {
    // Flat colours: what differs is the rounding to 8 bits of Y'CbCr (0.0065, color_test.cpp) and, for h264, what the
    // encoder takes, which at crf 0 is nothing.
    for (const VideoWriterConfig& config :
         {VideoWriterConfig{.crf = 0, .preset = "ultrafast"}, VideoWriterConfig{.codec = "ffv1"}}) {
        const VideoInfo info = info_of(32, 32);
        VideoWriter writer(folder / "a.mkv", info, config);
        VideoFrame frame = frame_of(info, 0);
        for (std::size_t i = 0; i < frame.pixels.size(); i += 3) {
            frame.pixels[i] = 0.8f;
            frame.pixels[i + 2] = 0.1f;
        }
        writer.write(frame);
        writer.finish();
        VideoFrame back;
        ASSERT_TRUE(VideoReader(folder / "a.mkv").read(back));
        for (std::size_t i = 0; i < frame.pixels.size(); ++i) ASSERT_NEAR(back.pixels[i], frame.pixels[i], 0.0065);
    }
}

TEST_F(Writer, FolderOfImages) {
    const VideoInfo info = info_of(5, 3);
    for (const std::string name : {"out", "slash/"}) {
        VideoWriter writer(folder / name, info);
        auto frame = frame_of(info, 0);
        writer.write(frame);
        frame.name = "named.png";
        writer.write(frame);
        EXPECT_THAT(names(), testing::Not(testing::Contains(name)));
        writer.finish();
        EXPECT_THAT(names(name), ElementsAre("000001.png", "named.png"));
    }
    EXPECT_THAT(names(), ElementsAre("out", "slash"));
    std::filesystem::create_directory(folder / "empty");
    write_two("empty", info);
    EXPECT_THAT(names("empty"), ElementsAre("000001.png", "000002.png"));
}

TEST_F(Writer, NothingStaysWithoutFinish) {
    const VideoInfo info = info_of(16, 16);
    for (const std::string name : {"a.mp4", "a.mkv", "images"}) {
        {
            VideoWriter writer(folder / name, info, quick);
            EXPECT_TRUE(std::filesystem::exists(writer.partial_path()));
            EXPECT_FALSE(std::filesystem::exists(folder / name));
            writer.write(frame_of(info, 0));
        }
        EXPECT_THAT(names(), IsEmpty()) << name;
    }
}

TEST_F(Writer, AnOldOutputStaysUntilTheNewOneIsWhole) {
    write_bytes("a.mp4", "old");
    const VideoInfo info = info_of(16, 16);
    {
        VideoWriter writer(folder / "a.mp4", info, quick);
        writer.write(frame_of(info, 0));
    }
    EXPECT_EQ(bytes_of(folder / "a.mp4"), "old");
    write_two("a.mp4", info);
    EXPECT_GT(std::filesystem::file_size(folder / "a.mp4"), 100u);
    EXPECT_THAT(names(), ElementsAre("a.mp4"));
}

TEST_F(Writer, BadOutputs) {
    const auto open = [&](const std::filesystem::path& path, VideoInfo info = info_of(16, 16)) {
        return message_of([&] { VideoWriter(path, info, quick); });
    };
    EXPECT_THAT(open(folder / "a.avi"), HasSubstr("extension \".avi\" is not supported. Use .mp4"));
    EXPECT_THAT(open(folder / "none" / "a.mp4"), HasSubstr("cannot be written (No such file or directory)"));
    EXPECT_THAT(open(folder / "none" / "images"), HasSubstr("the output folder cannot be made"));
    std::filesystem::create_directory(folder / "full");
    write_bytes("full/x.txt", "x");
    EXPECT_THAT(open(folder / "full"), HasSubstr("not empty. Empty it or choose another"));
    EXPECT_EQ(bytes_of(folder / "full" / "x.txt"), "x");
    write_bytes("file", "x");
    EXPECT_THAT(open(folder / "file"), HasSubstr("a file of this name is in the way"));

    VideoInfo info = info_of(16, 16);
    info.path = write_bytes("in.mp4", "input");
    EXPECT_THAT(open(folder / "." / "in.mp4", info), HasSubstr("the output is the input"));
    info.path = write_bytes("out.partial.mp4", "input");
    EXPECT_THAT(open(folder / "out.mp4", info), HasSubstr("which is the input"));
    EXPECT_EQ(bytes_of(folder / "in.mp4"), "input");
    EXPECT_EQ(bytes_of(folder / "out.partial.mp4"), "input");
    if (geteuid() != 0) {  // root writes everywhere
        std::filesystem::create_directory(folder / "locked");
        std::filesystem::permissions(folder / "locked", std::filesystem::perms::owner_read);
        EXPECT_THAT(open(folder / "locked" / "a.mp4"), HasSubstr("cannot be written"));
        std::filesystem::permissions(folder / "locked", std::filesystem::perms::owner_all);
    }
    EXPECT_THAT(names(), testing::Not(testing::Contains("a.mp4")));
}

TEST_F(Writer, FullDisk) {
    if (!std::filesystem::exists("/dev/full")) GTEST_SKIP() << "no /dev/full here";
    const VideoInfo info = info_of(64, 64);
    EXPECT_THAT(message_of([&] {
                    // The partial name leads to a device that is always full.
                    std::filesystem::create_symlink("/dev/full", folder / "link.mp4");
                    std::vector<std::string> left_out;
                    detail::VideoFile file(folder / "link.mp4", "out.mp4", info, quick, nullptr, left_out);
                    for (int i = 0; i < 3; ++i) file.write(frame_of(info, i));
                    file.finish();
                }),
                HasSubstr("No space left on device"));
}

TEST_F(Writer, WrongFrames) {
    const VideoInfo info = info_of(16, 16);
    VideoWriter writer(folder / "a.mp4", info, quick);
    EXPECT_THAT(message_of([&] { writer.finish(); }), HasSubstr("no frame was written"));
    EXPECT_THAT(message_of([&] { writer.write(frame_of(info_of(16, 8), 0)); }),
                HasSubstr("frame 0 is 16 x 8, the output 16 x 16"));
    writer.write(frame_of(info, 5));
    EXPECT_THAT(message_of([&] { writer.write(frame_of(info, 5)); }),
                HasSubstr("frame 1 has the time stamp 5, the one before it 5"));
}

}  // namespace
}  // namespace mia
