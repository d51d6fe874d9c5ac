#include "mia/video/container_check.hpp"

#include <gtest/gtest.h>

#include <string>

#include "media.hpp"

namespace mia {
namespace {

using std::string_literals::operator""s;

class ContainerCheck : public test::MediaTest {};

TEST_F(ContainerCheck, FindsWhatIsMissing) {
    MIA_NEEDS_FFMPEG();
    for (const std::string name : {"a.mp4", "a.mov", "a.mkv", "a.webm", "a.avi"}) {
        const std::string codec = name == "a.webm" ? "-c:v libvpx" : "-c:v mpeg4";
        const auto whole = make("-f lavfi -i testsrc2=size=64x48:rate=10 -t 2 " + codec, name);
        EXPECT_EQ(missing_bytes(whole), 0u) << name;
        const auto size = std::filesystem::file_size(whole);
        std::filesystem::resize_file(whole, size - 100);
        EXPECT_EQ(missing_bytes(whole), 100u) << name;
        std::filesystem::resize_file(whole, size / 2);
        EXPECT_GT(missing_bytes(whole), 0u) << name;  // of the box that was cut; those after it nobody has seen
        EXPECT_LE(missing_bytes(whole), size - size / 2) << name;
    }
}

TEST_F(ContainerCheck, LeavesOtherFilesAlone) {
    EXPECT_EQ(missing_bytes(folder / "none"), 0u);
    EXPECT_EQ(missing_bytes(write_bytes("empty", "")), 0u);
    EXPECT_EQ(missing_bytes(write_bytes("text", "hello, I am some text")), 0u);
    EXPECT_EQ(missing_bytes(write_bytes("box", "\0\0\0\x08"s + "ftyp" + "\0\0\0\0mdat whatever follows"s)), 0u);
    EXPECT_EQ(missing_bytes(write_bytes("tiny", "\0\0\0\x01"s + "ftyp"s)), 0u);
    EXPECT_EQ(missing_bytes(write_bytes("huge", "\0\0\0\x01"s + "ftyp" + "\xff\xff\xff\xff\xff\xff\xff\xff"s)), 0u);
    EXPECT_EQ(missing_bytes(write_bytes("ebml", "\x1a\x45\xdf\xa3\x01\xff\xff\xff\xff\xff\xff\xff"s)), 0u);
    EXPECT_EQ(missing_bytes(write_bytes("live", "\x1a\x45\xdf\xa3\x80\x18\x53\x80\x67\xff data"s)), 0u);
    EXPECT_EQ(missing_bytes(write_bytes("open.avi", "RIFF\0\0\0\0AVI "s)), 0u);
    EXPECT_EQ(missing_bytes(write_bytes("open2.avi", "RIFF\xff\xff\xff\xff" + "AVI "s)), 0u);
    EXPECT_EQ(missing_bytes(write_bytes("cut.avi", "RIFF\x06\0\0\0AVI __RIFF\x10\0\0\0AVIX"s)), 12u);
    EXPECT_EQ(missing_bytes(write_bytes("cut", "\x1a\x45\xdf\xa3\x80\x18\x53\x80\x67\x84 da"s)), 1u);
}

}  // namespace
}  // namespace mia
