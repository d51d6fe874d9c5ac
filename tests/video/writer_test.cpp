#include "mia/video/writer.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <string>
#include <vector>

#include "output.hpp"

namespace mia {
namespace {

using test::frame_of;
using test::info_of;
using test::message_of;
using test::quick;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

class Writer : public test::MediaTest {
protected:
    void write_two(const std::string& name, const VideoInfo& info, const VideoWriterConfig& config = quick()) const {
        VideoWriter writer(folder / name, info, config);
        test::write_frames(writer, info, 0, 2);
        writer.finish();
    }
};

TEST_F(Writer, NothingStaysWithoutAFinishedChunk) {
    const VideoInfo info = info_of(16, 16);
    for (const std::string name : {"a.mp4", "a.mkv", "images"}) {
        {
            VideoWriter writer(folder / name, info, quick());
            EXPECT_EQ(writer.partial_path(), folder / (name + ".partial"));
            EXPECT_TRUE(std::filesystem::exists(writer.partial_path()));
            EXPECT_FALSE(std::filesystem::exists(folder / name));
            writer.write(frame_of(info, 0));
            EXPECT_FALSE(writer.resumable());
        }
        EXPECT_THAT(names(), IsEmpty()) << name;
    }
}

TEST_F(Writer, AFinishedChunkStays) {
    const VideoInfo info = info_of(16, 16);
    for (const std::string name : {"a.mp4", "images"}) {
        {
            VideoWriter writer(folder / name, info, quick());
            test::write_frames(writer, info, 0, 4);
            EXPECT_TRUE(writer.resumable());
        }
        EXPECT_THAT(message_of([&] { VideoWriter(folder / name, info, quick()); }),
                    HasSubstr("unfinished, 3 frames are done"));
        {
            VideoWriter writer(folder / name, info, test::resuming());
            EXPECT_EQ(writer.frames_done(), 3);
            test::write_frames(writer, info, 3, 5);
            writer.finish();
            EXPECT_FALSE(writer.resumable());
        }
    }
    EXPECT_THAT(names(), ElementsAre("a.mp4", "images"));
    EXPECT_EQ(names("images").size(), 5u);
}

TEST_F(Writer, AnOldOutputIsReplacedOnlyWhenAsked) {
    write_bytes("a.mp4", "old");
    const VideoInfo info = info_of(16, 16);
    EXPECT_EQ(message_of([&] { VideoWriter(folder / "a.mp4", info, quick()); }),
              (folder / "a.mp4").string() + ": the output exists already. Choose another name, or ask for overwrite.");
    VideoWriterConfig config = quick();
    config.existing = Existing::overwrite;
    {
        VideoWriter writer(folder / "a.mp4", info, config);
        writer.write(frame_of(info, 0));
    }
    EXPECT_EQ(bytes_of(folder / "a.mp4"), "old");
    write_two("a.mp4", info, config);
    EXPECT_GT(std::filesystem::file_size(folder / "a.mp4"), 100u);
    EXPECT_THAT(names(), ElementsAre("a.mp4"));
}

TEST_F(Writer, BadOutputs) {
    const auto open = [&](const std::filesystem::path& path, VideoInfo info = info_of(16, 16)) {
        return message_of([&] { VideoWriter(path, info, quick()); });
    };
    EXPECT_THAT(open(folder / "a.xyz"),
                HasSubstr("extension \".xyz\" is not supported. Use .mp4, .mov, .mkv or .webm"));
    EXPECT_THAT(open(folder / "a.png"), HasSubstr("extension \".png\" is not supported"));
    EXPECT_THAT(open(folder / "none" / "a.mp4"),
                HasSubstr("cannot be written (No such file or directory). Check that"));
    EXPECT_THAT(open(folder / "none" / "images"),
                HasSubstr("cannot be written (No such file or directory). Check that"));
    EXPECT_THAT(open(folder / "a.mp4", info_of(0, 16)), HasSubstr("the output's size is 0 x 16"));
    std::filesystem::create_directory(folder / "full");
    write_bytes("full/x.txt", "x");
    EXPECT_THAT(open(folder / "full"), HasSubstr("not empty. Empty it or choose another; it is never written over"));
    EXPECT_EQ(bytes_of(folder / "full" / "x.txt"), "x");
    write_bytes("file", "x");
    EXPECT_THAT(open(folder / "file"), HasSubstr("a file of this name is in the way"));
    EXPECT_EQ(mkfifo((folder / "fifo.mp4").c_str(), 0600), 0);
    EXPECT_THAT(open(folder / "fifo.mp4"), HasSubstr("is that of something that is no file"));
    if (geteuid() != 0) {  // root writes everywhere
        std::filesystem::create_directory(folder / "locked");
        std::filesystem::permissions(folder / "locked", std::filesystem::perms::owner_read);
        EXPECT_THAT(open(folder / "locked" / "a.mp4"), HasSubstr("cannot be written"));
        std::filesystem::permissions(folder / "locked", std::filesystem::perms::owner_all);
    }
    EXPECT_THAT(names(), testing::Not(testing::Contains(testing::EndsWith(".partial"))));
}

TEST_F(Writer, TheInputIsNotTheOutput) {
    const auto open = [&](const std::string& name, const VideoInfo& info) {
        return message_of([&] { VideoWriter(folder / name, info, quick()); });
    };
    VideoInfo info = info_of(16, 16);
    info.path = write_bytes("in.mp4", "input");
    std::filesystem::create_hard_link(folder / "in.mp4", folder / "link.mp4");
    EXPECT_THAT(open("./in.mp4", info), HasSubstr("the output is the input"));
    EXPECT_THAT(open("link.mp4", info), HasSubstr("the output is the input"));
    EXPECT_EQ(bytes_of(folder / "in.mp4"), "input");
    std::filesystem::create_directory(folder / "out.mp4.partial");
    info.path = folder / "out.mp4.partial";
    info.kind = SourceKind::images;
    EXPECT_THAT(open("out.mp4", info), HasSubstr("which is the input"));
}

TEST_F(Writer, WrongFrames) {
    const VideoInfo info = info_of(16, 16);
    VideoWriter writer(folder / "a.mp4", info, quick());
    EXPECT_THAT(message_of([&] { writer.finish(); }), HasSubstr("no frame was written"));
    writer.write(frame_of(info, 5));
    EXPECT_THAT(message_of([&] { writer.write(frame_of(info, 5)); }),
                HasSubstr("frame 1 has the time stamp 5, the one before it 5"));
}

TEST_F(Writer, FramesOfAnotherSizeAreResized) {
    const VideoInfo info = info_of(40, 24);
    VideoWriterConfig config;
    config.codec = "ffv1";
    config.pixel_format = "gbrp10le";
    VideoWriter writer(folder / "a.mkv", info, config);
    VideoFrame large = frame_of(info_of(160, 96), 0);
    writer.write(large);
    writer.finish();
    VideoFrame back, wanted;
    ASSERT_TRUE(VideoReader(folder / "a.mkv").read(back));
    wanted.resize(24, 40);
    FrameResizer().resize(large.view(), wanted.view());
    for (std::size_t i = 0; i < wanted.pixels.size(); ++i)
        ASSERT_NEAR(back.pixels[i], std::clamp(wanted.pixels[i], 0.f, 1.f), 0.5 / 1023 + 1e-6);
}

TEST_F(Writer, OnlyOneAtATime) {
    const VideoInfo info = info_of(16, 16);
    const VideoWriter writer(folder / "a.mp4", info, quick());
    EXPECT_THAT(message_of([&] { VideoWriter(folder / "a.mp4", info, quick()); }),
                HasSubstr("another run is writing this output"));
}

}  // namespace
}  // namespace mia
