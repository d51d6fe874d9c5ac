#include "mia/video/images.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <string>
#include <vector>

#include "media.hpp"

namespace mia {
namespace {

using test::message_of;
using testing::ElementsAre;
using testing::HasSubstr;

class Images : public test::MediaTest {};

TEST(NaturalOrder, DigitsCompareAsNumbers) {
    std::vector<std::string> names = {"a10.png", "a9.png", "a09.png", "a1.png", "b.png", "a.png", "a9b.png", "10", "9"};
    std::sort(names.begin(), names.end(), natural_less);
    EXPECT_THAT(names, ElementsAre("9", "10", "a.png", "a1.png", "a09.png", "a9.png", "a9b.png", "a10.png", "b.png"));
    for (const auto& a : names) {
        EXPECT_FALSE(natural_less(a, a));
        for (const auto& b : names) EXPECT_FALSE(natural_less(a, b) && natural_less(b, a)) << a << ' ' << b;
    }
}

VideoFrame all_codes() {
    VideoFrame picture;
    picture.resize(7, 256);
    for (std::size_t i = 0; i < picture.pixels.size(); ++i) picture.pixels[i] = float((i * 7) % 256) / 255;
    return picture;
}

TEST_F(Images, EightBitsComeBackExactly) {
    const auto picture = all_codes();
    PngWriter().write(folder / "a.png", picture.view());
    VideoFrame back;
    PngReader().read(folder / "a.png", back);
    EXPECT_EQ(back.pixels, picture.pixels);
    EXPECT_EQ(back.width, 256);
    EXPECT_EQ(back.height, 7);
    EXPECT_EQ(back.name, "a.png");
}

TEST_F(Images, RoundsHalfToEvenAndClamps) {
    // 0.5 and 2.5 go down, 1.5 goes up, and nothing leaves 0 to 255.
    const std::vector<float> picture = {0.5f / 255, 1.5f / 255, 2.5f / 255, -1, 1.5f, 254.6f / 255};
    PngWriter().write(folder / "a.png", {picture.data(), {1, 2, 3}});
    VideoFrame back;
    PngReader().read(folder / "a.png", back);
    std::vector<int> codes;
    for (const float x : back.pixels) codes.push_back(int(std::lround(x * 255)));
    EXPECT_THAT(codes, ElementsAre(0, 2, 2, 0, 255, 255));
}

TEST_F(Images, PicturesDoNotMeet) {
    PngReader reader;
    VideoFrame first, second;
    PngWriter().write(folder / "a.png", all_codes().view());
    reader.read(folder / "a.png", first);
    reader.read(folder / "a.png", second);
    EXPECT_EQ(second.pixels, first.pixels);
}

TEST_F(Images, OneReaderAndWriterTakeAnySizes) {
    PngWriter writer;
    PngReader reader;
    for (const int size : {1, 5, 3}) {
        const std::vector<float> picture(std::size_t(size * 3), 1.f);
        writer.write(folder / "a.png", {picture.data(), {size, 1, 3}});
        VideoFrame back;
        reader.read(folder / "a.png", back);
        EXPECT_EQ(back.pixels, picture);
    }
}

TEST_F(Images, SixteenBitsGreyPaletteAndAlpha) {
    MIA_NEEDS_FFMPEG();
    VideoFrame rgb, deep, grey, palette, alpha;
    PngReader reader;
    const std::string source = "-f lavfi -i testsrc=size=32x24:rate=1 -frames:v 1 ";
    reader.read(make(source + "-pix_fmt rgb24", "rgb.png"), rgb);
    reader.read(make(source + "-pix_fmt rgb48be", "deep.png"), deep);
    reader.read(make(source + "-pix_fmt rgba", "alpha.png"), alpha);
    reader.read(make("-f lavfi -i color=0x808080:size=32x24:rate=1 -frames:v 1 -pix_fmt gray", "grey.png"), grey);
    reader.read(make("-f lavfi -i color=red:size=32x24:rate=1 -frames:v 1 -pix_fmt pal8", "palette.png"), palette);
    EXPECT_EQ(alpha.pixels, rgb.pixels);
    // ffmpeg's own way from 8 to 16 bits is off by up to 1.2 steps of 8 bits.
    for (std::size_t i = 0; i < rgb.pixels.size(); ++i) ASSERT_NEAR(deep.pixels[i], rgb.pixels[i], 1.2 / 255);
    EXPECT_EQ(grey.pixels, std::vector<float>(32 * 24 * 3, 128.f / 255));
    EXPECT_GT(palette.pixels[0], 0.98f);
    EXPECT_LT(palette.pixels[1], 0.02f);
}

TEST_F(Images, BadFilesAreErrors) {
    PngWriter().write(folder / "good.png", all_codes().view());
    PngReader reader;
    VideoFrame frame;
    EXPECT_THAT(message_of([&] { reader.read(folder / "none.png", frame); }), HasSubstr("cannot be opened"));
    EXPECT_THAT(message_of([&] { reader.read(write_bytes("empty.png", ""), frame); }), HasSubstr("not a PNG image"));
    EXPECT_THAT(message_of([&] { reader.read(write_bytes("text.png", "hello, I am text"), frame); }),
                HasSubstr("not a PNG image"));
    for (const double share : {0.2, 0.5, 0.95})
        EXPECT_THAT(message_of([&] { reader.read(truncated(folder / "good.png", "cut.png", share), frame); }),
                    HasSubstr("cut short"));
    auto bytes = bytes_of(folder / "good.png");
    bytes[bytes.size() / 2] = char(bytes[bytes.size() / 2] ^ 0x55);
    EXPECT_THAT(message_of([&] { reader.read(write_bytes("damaged.png", bytes), frame); }), HasSubstr("damaged"));
    reader.read(folder / "good.png", frame);  // and the reader still works
    EXPECT_EQ(frame.pixels, all_codes().pixels);
}

TEST_F(Images, UnwritableFileIsAnError) {
    EXPECT_THAT(message_of([&] { PngWriter().write(folder / "none" / "a.png", all_codes().view()); }),
                HasSubstr("cannot be written"));
}

TEST_F(Images, ListsPngFilesOnly) {
    for (const char* name : {"f10.png", "f9.PNG", "notes.txt", "f1.png"}) write_bytes(name, "x");
    std::filesystem::create_directory(folder / "sub.png");
    std::vector<std::string> found;
    for (const auto& path : list_png(folder)) found.push_back(path.filename().string());
    EXPECT_THAT(found, ElementsAre("f1.png", "f9.PNG", "f10.png"));
    EXPECT_THAT(message_of([&] { list_png(folder / "sub.png"); }), HasSubstr("holds no PNG image"));
}

}  // namespace
}  // namespace mia
