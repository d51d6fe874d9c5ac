#include "mia/video/image_output.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>

#include "mia/video/image_reader.hpp"
#include "output.hpp"

namespace mia {
namespace {

using test::frame_of;
using test::info_of;
using test::message_of;
using testing::ElementsAre;
using testing::HasSubstr;

class Images : public test::MediaTest {
protected:
    const VideoInfo info = info_of(5, 3);

    void leave_unfinished(std::int64_t frames) const {
        VideoWriter writer(folder / "out", info);
        test::write_frames(writer, info, 0, frames);
    }
    void resume_to(std::int64_t frames) const {
        VideoWriter writer(folder / "out", info, test::resuming());
        test::write_frames(writer, info, writer.frames_done(), frames);
        writer.finish();
    }
};

TEST_F(Images, NamesOfTheSourceOrNumbers) {
    for (const std::string name : {"out", "slash/"}) {
        VideoWriter writer(folder / name, info);
        VideoFrame frame = frame_of(info, 0);
        writer.write(frame);
        frame.pts = 1;
        frame.name = "named.png";
        writer.write(frame);
        frame.pts = 2;
        frame.name = "photo.v2.jpg";
        writer.write(frame);
        EXPECT_THAT(names(), testing::Not(testing::Contains(name)));
        writer.finish();
        EXPECT_THAT(names(name), ElementsAre("000001.png", "named.png", "photo.v2.png"));
    }
    EXPECT_THAT(names(), ElementsAre("out", "slash"));
    std::filesystem::create_directory(folder / "empty");
    VideoWriter writer(folder / "empty", info);
    test::write_frames(writer, info, 0, 2);
    writer.finish();
    EXPECT_THAT(names("empty"), ElementsAre("000001.png", "000002.png"));
}

TEST_F(Images, TwoOfOneName) {
    VideoWriter writer(folder / "out", info);
    VideoFrame frame = frame_of(info, 0);
    frame.name = "a.jpg";
    writer.write(frame);
    frame.pts = 1;
    frame.name = "a.bmp";
    EXPECT_THAT(message_of([&] { writer.write(frame); }), HasSubstr("two images would have the name a.png"));
}

TEST_F(Images, DepthOfTheInputOrAsAsked) {
    for (const int asked : {0, 8, 16}) {
        VideoInfo deep = info;
        deep.bit_depth = 12;
        VideoWriterConfig config;
        config.bit_depth = asked;
        const auto out = folder / std::to_string(asked);
        VideoWriter writer(out, deep, config);
        VideoFrame frame = frame_of(deep, 0), back;
        frame.pixels[0] = 1000 / 65535.f;
        writer.write(frame);
        writer.finish();
        ImageReader().read(out / "000001.png", back);
        EXPECT_EQ(back.pixels[0], asked == 8 ? 4 / 255.f : 1000 / 65535.f);
    }
}

TEST_F(Images, ResumedAfterTheLastFinishedChunk) {
    leave_unfinished(8);
    EXPECT_EQ(names("out.partial/images").size(), 8u);
    resume_to(10);
    EXPECT_THAT(names(), ElementsAre("out"));
    ASSERT_EQ(names("out").size(), 10u);
    VideoFrame back;
    for (std::int64_t i = 0; i < 10; ++i) {
        ImageReader().read(folder / "out" / names("out")[std::size_t(i)], back);
        for (std::size_t k = 0; k < back.pixels.size(); ++k)
            ASSERT_NEAR(back.pixels[k], frame_of(info, i).pixels[k], 0.5 / 255 + 1e-6) << i;
    }
}

TEST_F(Images, DamagedAndMissingImagesAreMadeAgain) {
    for (const bool missing : {false, true}) {
        leave_unfinished(9);
        const auto image = folder / "out.partial" / "images" / "000005.png";
        if (missing)
            std::filesystem::remove(image);
        else
            std::filesystem::resize_file(image, std::filesystem::file_size(image) - 1);
        {
            const VideoWriter writer(folder / "out", info, test::resuming());
            EXPECT_EQ(writer.frames_done(), 3);
            EXPECT_THAT(writer.note(), HasSubstr("000005.png is not what was written"));
            EXPECT_THAT(names("out.partial/images"), ElementsAre("000001.png", "000002.png", "000003.png"));
        }
        resume_to(9);
        EXPECT_EQ(names("out").size(), 9u);
        std::filesystem::remove_all(folder / "out");
    }
}

TEST_F(Images, AFolderThatWasFilledMeanwhileIsNotWrittenOver) {
    VideoWriter writer(folder / "out", info);
    test::write_frames(writer, info, 0, 3);
    std::filesystem::create_directory(folder / "out");
    write_bytes("out/mine.txt", "x");
    EXPECT_THAT(message_of([&] { writer.finish(); }), HasSubstr("cannot be written (Directory not empty)"));
    EXPECT_TRUE(writer.resumable());
    EXPECT_THAT(names("out"), ElementsAre("mine.txt"));
}

}  // namespace
}  // namespace mia
