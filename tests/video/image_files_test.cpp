#include "mia/video/image_files.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <string>
#include <vector>

#include "media.hpp"

namespace mia {
namespace {

using test::message_of;
using testing::AllOf;
using testing::ElementsAre;
using testing::HasSubstr;

TEST(NaturalOrder, DigitsCompareAsNumbers) {
    std::vector<std::string> names = {"a10.png", "a9.png", "a09.png", "a1.png", "b.png", "a.png", "a9b.png", "10", "9"};
    std::sort(names.begin(), names.end(), natural_less);
    EXPECT_THAT(names, ElementsAre("9", "10", "a.png", "a1.png", "a09.png", "a9.png", "a9b.png", "a10.png", "b.png"));
    for (const auto& a : names) {
        EXPECT_FALSE(natural_less(a, a));
        for (const auto& b : names) EXPECT_FALSE(natural_less(a, b) && natural_less(b, a)) << a << ' ' << b;
    }
}

TEST(NumberedName, IsWhatPrintfMakesOfIt) {
    struct Case {
        const char *pattern, *zero, *number;  // with 0 and with 1234
    };
    for (const auto& [pattern, zero, number] :
         {Case{"%d", "0", "1234"}, Case{"f%d.png", "f0.png", "f1234.png"}, Case{"%05d.png", "00000.png", "01234.png"},
          Case{"100%% %02d%%.jpg", "100% 00%.jpg", "100% 1234%.jpg"}}) {
        const NumberedName name(pattern);
        EXPECT_TRUE(name.valid) << pattern;
        EXPECT_EQ(name.at(0), zero);
        EXPECT_EQ(name.at(1234), number);
        EXPECT_EQ(name.number_in(zero), 0);
        EXPECT_EQ(name.number_in(number), 1234);
    }
    for (const char* pattern : {"", "f.png", "%", "%s", "%05", "%d%d", "%5d", "%0d%", "%%d", "%x"})
        EXPECT_FALSE(NumberedName(pattern).valid) << pattern;
}

TEST(NumberedName, NamesOfAnotherForm) {
    const NumberedName name("f%03d.png");
    for (const char* other : {"f1.png", "f01.png", "f0001.png", "f-01.png", "f 01.png", "f001.jpg", "g001.png", "f.png",
                              "f001x.png", "f9999999999999999999999.png", "", "f00a.png"})
        EXPECT_LT(name.number_in(other), 0) << other;
    EXPECT_EQ(name.number_in("f1000.png"), 1000);
}

class ImageFiles : public test::MediaTest {
protected:
    static std::vector<std::string> names_of(const std::vector<std::filesystem::path>& files) {
        std::vector<std::string> names;
        for (const auto& file : files) names.push_back(file.filename().string());
        return names;
    }
};

TEST_F(ImageFiles, OfAFolderInNaturalOrder) {
    for (const char* name : {"f10.tif", "f9.TIFF", "notes.txt", "f1.tiff", "no_extension"}) write_bytes(name, "x");
    std::filesystem::create_directory(folder / "sub.tif");
    std::filesystem::create_symlink("nowhere", folder / "f2.tif");
    EXPECT_THAT(names_of(list_images(folder)), ElementsAre("f1.tiff", "f9.TIFF", "f10.tif"));
    EXPECT_THAT(message_of([&] { list_images(folder / "sub.tif"); }),
                AllOf(HasSubstr("sub.tif: the folder holds no image"), HasSubstr("Give a folder with PNG, JPEG")));
    EXPECT_THAT(message_of([&] { list_images(folder / "none"); }), HasSubstr("cannot be read (No such file"));
}

TEST_F(ImageFiles, OneKindInAFolder) {
    for (const char* name : {"a.png", "b.PNG", "c.jpeg"}) write_bytes(name, "x");
    EXPECT_THAT(message_of([&] { list_images(folder); }), HasSubstr("images of several kinds, a.png and c.jpeg. Keep"));
}

TEST_F(ImageFiles, NumberedFromTheFirstThatExists) {
    for (const char* name : {"f8.png", "f9.png", "f10.png", "f11.png", "f07.png", "g6.png", "f6.jpg", "f0012.png"})
        write_bytes(name, "x");
    EXPECT_THAT(names_of(list_numbered(folder / "f%d.png")), ElementsAre("f8.png", "f9.png", "f10.png", "f11.png"));
    EXPECT_THAT(names_of(list_numbered(folder / "f%04d.png")), ElementsAre("f0012.png"));
}

TEST_F(ImageFiles, AGapNamesTheMissingFile) {
    for (const char* name : {"f08.png", "f09.png", "f12.png"}) write_bytes(name, "x");
    EXPECT_THAT(message_of([&] { list_numbered(folder / "f%02d.png"); }),
                AllOf(HasSubstr("f%02d.png: f10.png is missing"), HasSubstr("up to f12.png")));
    EXPECT_THAT(message_of([&] { list_numbered(folder / "f%04d.png"); }), HasSubstr("no file has such a name, f0001"));
    EXPECT_THAT(message_of([&] { list_numbered(folder / "f%s.png"); }), HasSubstr("needs one number"));
    EXPECT_THAT(message_of([&] { list_numbered(folder / "none" / "f%d.png"); }), HasSubstr("none cannot be read"));
}

}  // namespace
}  // namespace mia
