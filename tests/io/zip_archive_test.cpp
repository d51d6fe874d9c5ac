#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdint>
#include <functional>
#include <mia/io/zip_archive.hpp>
#include <string>
#include <vector>

#include "check_io.hpp"
#include "zip_builder.hpp"

namespace mia {
namespace {

using detail::ZipArchive;
using ::testing::AllOf;
using testing::append_le;
using testing::as_bytes;
using testing::error_of;
using ::testing::HasSubstr;
using testing::make_zip;
using testing::ZipItem;
using testing::ZipOptions;

std::vector<ZipItem> two_items() { return {{"a/first", "hello"}, {"a/second", "world, once more"}}; }

/// The error of opening the archive, or of reading all its entries.
std::string zip_error(const std::string& zip) {
    return error_of([&] {
        ZipArchive archive(as_bytes(zip), "file");
        for (const std::string name : {"a/first", "a/second"}) archive.read(name);
    });
}

/// Changes the second item before building.
std::string changed_error(const std::function<void(ZipItem&)>& change, const ZipOptions& options = {}) {
    auto items = two_items();
    change(items[1]);
    return zip_error(make_zip(items, options));
}

TEST(Crc32, agrees_with_the_published_check_value_and_the_bitwise_definition) {
    EXPECT_EQ(detail::crc32(as_bytes("123456789")), 0xCBF43926u);
    EXPECT_EQ(detail::crc32({}), 0u);
    std::string bytes;
    for (int size = 0; size < 40; ++size) {
        std::uint32_t crc = ~0u;
        for (char c : bytes) {
            crc ^= static_cast<unsigned char>(c);
            for (int bit = 0; bit < 8; ++bit) crc = crc & 1 ? crc >> 1 ^ 0xEDB88320u : crc >> 1;
        }
        EXPECT_EQ(detail::crc32(as_bytes(bytes)), ~crc) << size << " bytes";
        bytes += char(size * 37 + 11);
    }
}

TEST(ZipArchive, reads_stored_entries) {
    for (const bool zip64 : {false, true})
        for (const char* comment : {"", "PK\5\6 in a comment"}) {
            const std::string zip = make_zip(two_items(), {.zip64 = zip64, .comment = comment});
            ZipArchive archive(as_bytes(zip), "file");
            EXPECT_EQ(archive.entries().size(), 2u);
            EXPECT_EQ(detail::as_text(archive.read("a/first")), "hello");
            EXPECT_EQ(detail::as_text(archive.read("a/second")), "world, once more");
            EXPECT_TRUE(archive.contains("a/first"));
            EXPECT_FALSE(archive.contains("a/third"));
            EXPECT_THAT(error_of([&] { archive.read("a/third"); }), HasSubstr("no entry 'a/third'"));
        }
}

TEST(ZipArchive, reads_sizes_of_64_bits) {
    auto items = two_items();
    items[1].size = items[1].packed = 0xFFFFFFFF;
    append_le<std::uint16_t>(items[1].extra, 0x5455);  // some other field first
    append_le<std::uint16_t>(items[1].extra, 1);
    items[1].extra += 'x';
    append_le<std::uint16_t>(items[1].extra, 1);
    append_le<std::uint16_t>(items[1].extra, 16);
    append_le<std::uint64_t>(items[1].extra, items[1].content.size());
    append_le<std::uint64_t>(items[1].extra, items[1].content.size());
    EXPECT_EQ(zip_error(make_zip(items, {.zip64 = true})), "");

    auto beyond = items;
    beyond[1].extra.replace(beyond[1].extra.size() - 16, 16, std::string(16, '\x7f'));
    EXPECT_THAT(zip_error(make_zip(beyond)), HasSubstr("claims 9187201950435737471 bytes"));
    auto cut = items;
    cut[1].extra.resize(cut[1].extra.size() - 8);
    EXPECT_THAT(zip_error(make_zip(cut)), HasSubstr("damaged extra field"));
    cut[1].extra[7] = 8;  // the length of the zip64 field
    EXPECT_THAT(zip_error(make_zip(cut)), HasSubstr("damaged zip64 field"));
}

TEST(ZipArchive, refuses_every_truncation) {
    for (const bool zip64 : {false, true}) {
        const std::string zip = make_zip(two_items(), {.zip64 = zip64});
        EXPECT_EQ(zip_error(zip), "");
        for (std::size_t size = 0; size < zip.size(); ++size) EXPECT_NE(zip_error(zip.substr(0, size)), "") << size;
        EXPECT_NE(zip_error(zip + "x"), "");
        EXPECT_NE(zip_error(zip.substr(1)), "");
    }
}

TEST(ZipArchive, refuses_or_survives_every_changed_byte) {
    const std::string zip = make_zip(two_items(), {.zip64 = true});
    for (std::size_t i = 0; i < zip.size(); ++i)
        for (const int change : {1, 0x80, 0xFF}) {
            std::string changed = zip;
            changed[i] = char(changed[i] ^ change);
            zip_error(changed);  // some fields are not used; the sanitizers judge the rest
        }
}

TEST(ZipArchive, refuses_what_is_not_stored) {
    EXPECT_THAT(changed_error([](ZipItem& item) { item.method = 8; }),
                AllOf(HasSubstr("'a/second' of the zip archive is compressed (method 8)"), HasSubstr("zip -0")));
    // A bomb claims to unpack to 4 GB; it is refused without unpacking.
    EXPECT_THAT(changed_error([](ZipItem& item) { item.method = 8, item.size = 0xFFFFFFFE; }), HasSubstr("compressed"));
    EXPECT_THAT(changed_error([](ZipItem& item) { item.flags = 1; }), HasSubstr("encrypted"));
    EXPECT_THAT(changed_error([](ZipItem& item) { item.packed = 5; }), HasSubstr("has two sizes, 5 and 16"));
}

TEST(ZipArchive, refuses_damaged_entries) {
    EXPECT_THAT(changed_error([](ZipItem& item) { item.content[0] = 'W'; }), HasSubstr("has checksum"));
    EXPECT_THAT(changed_error([](ZipItem& item) { item.crc ^= 1; }), HasSubstr("has checksum"));
    EXPECT_THAT(changed_error([](ZipItem& item) { item.local_name = "a/secont"; }), HasSubstr("another name"));
    EXPECT_THAT(changed_error([](ZipItem& item) { item.size = item.packed = 4000; }), HasSubstr("claims 4000 bytes"));
    EXPECT_THAT(changed_error([](ZipItem& item) { item.size = item.packed = 17; }), HasSubstr("into the directory"));
    EXPECT_THAT(changed_error([](ZipItem& item) { item.header_shift = 1; }), HasSubstr("should start at byte"));
    EXPECT_THAT(changed_error([](ZipItem& item) { item.header_shift = 0x7FFFFFFF; }),
                HasSubstr("should start at byte"));
    EXPECT_THAT(changed_error([](ZipItem& item) { item.name = item.local_name = "a/first"; }),
                HasSubstr("occurs twice"));
}

TEST(ZipArchive, refuses_entries_that_overlap) {
    auto items = two_items();
    items[0].size = items[0].packed = 40;  // reaches into the second
    EXPECT_THAT(zip_error(make_zip(items)), HasSubstr("'a/second' at byte 42 overlaps"));
    items = two_items();  // two names for one header
    items[1].header_shift = std::uint32_t(-42);
    items[1].local_name = items[1].name = "a/firsT";
    EXPECT_NE(zip_error(make_zip(items)), "");
}

TEST(ZipArchive, refuses_false_directories) {
    const auto nothing = [](ZipItem&) {};
    for (const bool zip64 : {false, true}) {
        EXPECT_THAT(changed_error(nothing, {.zip64 = zip64, .count_change = 1}), HasSubstr("do not fit"));
        EXPECT_THAT(changed_error(nothing, {.zip64 = zip64, .count_change = -1}), HasSubstr("should end at"));
        EXPECT_THAT(changed_error(nothing, {.zip64 = zip64, .count_change = 1000}), HasSubstr("do not fit"));
        EXPECT_THAT(changed_error(nothing, {.zip64 = zip64, .size_change = 1}), HasSubstr("the directory should take"));
        EXPECT_THAT(changed_error(nothing, {.zip64 = zip64, .offset_change = 1}),
                    HasSubstr("the directory should take"));
        EXPECT_THAT(changed_error(nothing, {.zip64 = zip64, .size_change = -1, .offset_change = 1}),
                    HasSubstr("no entry"));
        EXPECT_THAT(changed_error(nothing, {.zip64 = zip64, .comment = "", .disk = 1}),
                    HasSubstr("split over several files"));
    }
    EXPECT_THAT(changed_error(nothing, {.zip64 = true, .count_change = INT64_MAX}), HasSubstr("do not fit"));
    EXPECT_THAT(changed_error(nothing, {.zip64 = true, .offset_change = INT64_MAX}), HasSubstr("should take"));
    EXPECT_THAT(zip_error("PK\3\4"), HasSubstr("4 bytes are too few"));
    EXPECT_THAT(zip_error(std::string(100000, 'P')), HasSubstr("end record is missing"));
}

TEST(ZipArchive, an_empty_archive_has_no_entries) {
    const std::string zip = make_zip({});
    EXPECT_TRUE(ZipArchive(as_bytes(zip), "file").entries().empty());
}

}  // namespace
}  // namespace mia
