#include "mia/video/png_writer.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <string>
#include <vector>

#include "media.hpp"
#include "mia/video/image_reader.hpp"

namespace mia {
namespace {

using test::message_of;
using testing::ElementsAre;
using testing::HasSubstr;

class Png : public test::MediaTest {};

/// Every value that 8 bits have.
VideoFrame all_codes() {
    VideoFrame picture;
    picture.resize(7, 256);
    for (std::size_t i = 0; i < picture.pixels.size(); ++i) picture.pixels[i] = float((i * 7) % 256) / 255;
    return picture;
}

TEST_F(Png, EightBitsComeBackExactly) {
    const auto picture = all_codes();
    PngWriter().write(folder / "a.png", picture.view());
    VideoFrame back;
    ImageReader().read(folder / "a.png", back);
    EXPECT_EQ(back.pixels, picture.pixels);
    EXPECT_EQ(back.width, 256);
    EXPECT_EQ(back.height, 7);
    EXPECT_EQ(back.name, "a.png");
}

TEST_F(Png, RoundsHalfToEvenAndClamps) {
    // 0.5 and 2.5 go down, 1.5 goes up, and nothing leaves 0 to 255.
    const std::vector<float> picture = {0.5f / 255, 1.5f / 255, 2.5f / 255, -1, 1.5f, 254.6f / 255};
    PngWriter().write(folder / "a.png", {picture.data(), {1, 2, 3}});
    VideoFrame back;
    ImageReader().read(folder / "a.png", back);
    std::vector<int> codes;
    for (const float x : back.pixels) codes.push_back(int(std::lround(x * 255)));
    EXPECT_THAT(codes, ElementsAre(0, 2, 2, 0, 255, 255));
}

TEST_F(Png, SixteenBitsComeBackExactly) {
    VideoFrame picture, back;
    picture.resize(64, 1024);
    for (std::size_t i = 0; i < picture.pixels.size(); ++i) picture.pixels[i] = float(i % 65536) / 65535;
    PngWriter(16).write(folder / "a.png", picture.view());
    ImageReader().read(folder / "a.png", back);
    EXPECT_EQ(back.pixels, picture.pixels);
    EXPECT_THAT(message_of([] { PngWriter(10); }), HasSubstr("10 bits a sample. Use 8 or 16."));
}

TEST_F(Png, SaysWhatItWrote) {
    const detail::FileStamp stamp = PngWriter().write(folder / "a.png", all_codes().view());
    EXPECT_EQ(stamp, detail::stamp_of(folder / "a.png"));
    EXPECT_GT(stamp.bytes, 100u);
    EXPECT_THAT(names(), ElementsAre("a.png"));
}

TEST_F(Png, OneReaderAndWriterTakeAnySizes) {
    PngWriter writer;
    ImageReader reader;
    for (const int size : {1, 5, 3}) {
        const std::vector<float> picture(std::size_t(size * 3), 1.f);
        writer.write(folder / "a.png", {picture.data(), {size, 1, 3}});
        VideoFrame back;
        reader.read(folder / "a.png", back);
        EXPECT_EQ(back.pixels, picture);
    }
}

TEST_F(Png, UnwritableFileIsAnError) {
    EXPECT_THAT(message_of([&] { PngWriter().write(folder / "none" / "a.png", all_codes().view()); }),
                HasSubstr("cannot be written"));
}

}  // namespace
}  // namespace mia
