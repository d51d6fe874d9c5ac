#include "mia/video/image_reader.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdlib>
#include <string>
#include <vector>

#include "media.hpp"

namespace mia {
namespace {

using test::message_of;
using testing::AllOf;
using testing::AnyOf;
using testing::HasSubstr;

class ImageReading : public test::MediaTest {
protected:
    static VideoFrame read(const std::filesystem::path& path) {
        VideoFrame frame;
        ImageReader().read(path, frame);
        return frame;
    }
    static std::string error_of(const std::filesystem::path& path) {
        return message_of([&] { read(path); });
    }
    /// Largest difference, in steps of 8 bits.
    static float distance(const VideoFrame& a, const VideoFrame& b) {
        EXPECT_EQ(a.pixels.size(), b.pixels.size());
        float most = 0;
        for (std::size_t i = 0; i < std::min(a.pixels.size(), b.pixels.size()); ++i)
            most = std::max(most, std::abs(a.pixels[i] - b.pixels[i]) * 255);
        return most;
    }

    const std::string source = "-f lavfi -i testsrc=size=33x24:rate=1 -frames:v 1 ";
    const std::string flat = "-f lavfi -i color=0xc08040:size=33x24:rate=1 -frames:v 1 ";
};

TEST_F(ImageReading, LosslessKindsAreTheSamePicture) {
    MIA_NEEDS_FFMPEG();
    const VideoFrame png = read(make(source + "-pix_fmt rgb24", "a.png"));
    EXPECT_EQ(png.width, 33);
    EXPECT_EQ(png.height, 24);
    EXPECT_EQ(png.name, "a.png");
    for (const auto& [options, name] : {std::pair<std::string, std::string>{"-pix_fmt rgba", "alpha.png"},
                                        {"-pix_fmt rgb24", "a.tif"},
                                        {"-compression_algo deflate -pix_fmt rgb24", "deflate.tiff"},
                                        {"-pix_fmt bgr24", "a.bmp"},
                                        {"-pix_fmt bgra -lossless 1", "a.webp"}})
        EXPECT_EQ(read(make(source + options, name)).pixels, png.pixels) << name;
}

TEST_F(ImageReading, LossyKindsHaveTheRightColours) {
    MIA_NEEDS_FFMPEG();
    const VideoFrame png = read(make(flat + "-pix_fmt rgb24", "a.png"));
    for (const auto& [options, name] : {std::pair<std::string, std::string>{"-q:v 1 -pix_fmt yuvj420p", "a.jpg"},
                                        {"-q:v 1 -pix_fmt yuvj444p", "b.jpeg"},
                                        {"-quality 100 -pix_fmt yuv420p", "a.webp"}})
        EXPECT_LE(distance(read(make(flat + options, name)), png), 3) << name;  // rounding to 8 bits of Y'CbCr
}

TEST_F(ImageReading, SixteenBitsGreyAndPalette) {
    MIA_NEEDS_FFMPEG();
    const VideoFrame rgb = read(make(source + "-pix_fmt rgb24", "rgb.png"));
    for (const auto& [options, name] :
         {std::pair<std::string, std::string>{"-pix_fmt rgb48be", "deep.png"}, {"-pix_fmt rgb48le", "deep.tif"}})
        EXPECT_LE(distance(read(make(source + options, name)), rgb), 1.2f) << name;  // ffmpeg's own way to 16 bits
    ImageReader reader;
    VideoFrame frame;
    reader.read(folder / "deep.png", frame);
    EXPECT_EQ(reader.pixel_format(), AV_PIX_FMT_RGB48BE);
    const std::vector<float> grey(32 * 24 * 3, 128.f / 255);
    for (const char* name : {"grey.png", "grey.tif"})
        EXPECT_EQ(read(make("-f lavfi -i color=0x808080:size=32x24:rate=1 -frames:v 1 -pix_fmt gray", name)).pixels,
                  grey);
    const auto red = read(make("-f lavfi -i color=red:size=33x24:rate=1 -frames:v 1 -pix_fmt pal8", "palette.png"));
    EXPECT_GT(red.pixels[0], 0.98f);
    EXPECT_LT(red.pixels[1], 0.02f);
}

TEST_F(ImageReading, OneReaderTakesAnyKindAfterTheOther) {
    MIA_NEEDS_FFMPEG();
    const auto png = make(source + "-pix_fmt rgb24", "a.png"), bmp = make(source + "-pix_fmt bgr24", "a.bmp");
    ImageReader reader;
    VideoFrame first, second;
    reader.read(png, first);
    for (const auto& path : {png, bmp, png}) {
        reader.read(path, second);
        EXPECT_EQ(second.pixels, first.pixels) << path;
    }
}

TEST_F(ImageReading, CutShort) {
    MIA_NEEDS_FFMPEG();
    for (const std::string name : {"a.png", "a.jpg", "a.bmp", "a.webp", "a.tif"}) {
        const auto whole = make("-f lavfi -i testsrc2=size=96x64:rate=1 -frames:v 1", name);
        read(whole);
        for (const double share : {0.2, 0.5, 0.95})
            EXPECT_THAT(error_of(truncated(whole, "cut" + whole.extension().string(), share)),
                        AllOf(HasSubstr("cut."), AnyOf(HasSubstr("image is cut short"), HasSubstr("image is damaged"))))
                << name << " cut to " << share;
    }
}

TEST_F(ImageReading, Damaged) {
    MIA_NEEDS_FFMPEG();
    const auto good = make(source, "good.png");
    auto bytes = bytes_of(good);
    bytes[bytes.size() / 2] = char(bytes[bytes.size() / 2] ^ 0x55);
    ImageReader reader;
    VideoFrame before, after;
    reader.read(good, before);
    EXPECT_THAT(message_of([&] { reader.read(write_bytes("damaged.png", bytes), after); }),
                HasSubstr("damaged.png: the PNG image is damaged"));
    reader.read(good, after);  // and the reader still works
    EXPECT_EQ(after.pixels, before.pixels);
}

TEST_F(ImageReading, WhatIsNoImage) {
    EXPECT_THAT(error_of(folder / "none.png"), HasSubstr("none.png: the image cannot be opened (No such file"));
    EXPECT_THAT(error_of(write_bytes("a.txt", "x")), HasSubstr("the extension \".txt\" is of no image. Use .png"));
    for (const std::string name : {"a.png", "a.jpg", "a.bmp", "a.webp", "a.tif"}) {
        EXPECT_THAT(error_of(write_bytes(name, "")), HasSubstr(name + ": the image file is empty"));
        EXPECT_THAT(error_of(write_bytes(name, "hello, I am text")),
                    AllOf(HasSubstr(name + ": not a "), HasSubstr("(16 bytes that do not begin")));
    }
}

TEST_F(ImageReading, MemoryIsRefusedBeforeItIsTaken) {
    using std::string_literals::operator""s;
    const std::string chunk = "\x89PNG\r\n\x1a\n\0\0\0\x0dIHDR\x3b\x9a\xca\x00\x3b\x9a\xca\x00\x08\x02\0\0\0"s;
    EXPECT_THAT(error_of(write_bytes("a.png", chunk + "\0\0\0\0IEND\xae\x42\x60\x82"s)),
                HasSubstr("the picture is 1000000000 x 1000000000, more than the limit of 67108864 pixels"));
    MIA_NEEDS_FFMPEG();
    VideoFrame frame;
    for (const std::string name : {"b.png", "b.jpg", "b.bmp", "b.webp", "b.tif"}) {
        const auto path = make(source, name);
        EXPECT_THAT(message_of([&] { ImageReader(33 * 24 - 1).read(path, frame); }),
                    HasSubstr("33 x 24, more than the limit of 791 pixels"))
            << name;
        EXPECT_EQ(message_of([&] { ImageReader(33 * 24).read(path, frame); }), "no error") << name;
    }
}

}  // namespace
}  // namespace mia
