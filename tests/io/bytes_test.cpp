#include <gtest/gtest.h>

#include <cstdint>
#include <mia/io/bytes.hpp>
#include <string>
#include <vector>

namespace mia {
namespace {

using detail::checked_add;
using detail::checked_multiply;
using detail::count_elements;
using detail::first_invalid_utf8;
using detail::printable;

std::optional<std::uint64_t> count(std::vector<std::int64_t> shape) { return count_elements(shape); }

TEST(Bytes, checked_arithmetic_stops_at_the_last_value) {
    EXPECT_EQ(checked_multiply(UINT64_MAX / 2, 2), UINT64_MAX - 1);
    EXPECT_FALSE(checked_multiply(UINT64_MAX / 2 + 1, 2));
    EXPECT_EQ(checked_multiply(UINT64_MAX, 0), 0u);
    EXPECT_EQ(checked_add(UINT64_MAX - 1, 1), UINT64_MAX);
    EXPECT_FALSE(checked_add(UINT64_MAX, 1));
}

TEST(Bytes, counts_elements_and_refuses_what_wraps_around) {
    EXPECT_EQ(count({}), 1u);
    EXPECT_EQ(count({2, 3, 4}), 24u);
    EXPECT_EQ(count({2, 0, 4}), 0u);
    EXPECT_EQ(count({std::int64_t(1) << 62}), std::uint64_t(1) << 62);
    EXPECT_FALSE(count({-1}));
    EXPECT_FALSE(count({std::int64_t(1) << 62, 2}));
    EXPECT_FALSE(count({std::int64_t(1) << 32, std::int64_t(1) << 32}));
    EXPECT_FALSE(count({0, std::int64_t(1) << 62, std::int64_t(1) << 62}));
    EXPECT_FALSE(count({0, -2}));
}

TEST(Bytes, knows_utf8) {
    for (const char* good :
         {"", "plain", "\xC2\xA9", "\xE5\xB9\x85", "\xED\x9F\xBF", "\xF0\x9F\x98\x80", "\xF4\x8F\xBF\xBF"})
        EXPECT_EQ(first_invalid_utf8(good), std::string_view::npos) << good;
    struct {
        const char* what;
        std::string bytes;
        std::size_t at;
    } const bad[] = {{"a lone continuation", "ab\x80", 2},   {"overlong, two bytes", "\xC0\xAF", 0},
                     {"overlong, three", "\xE0\x80\xAF", 0}, {"overlong, four", "\xF0\x80\x80\xAF", 0},
                     {"a surrogate", "x\xED\xA0\x80", 1},    {"above U+10FFFF", "\xF4\x90\x80\x80", 0},
                     {"cut off", "abc\xE5\xB9", 3},          {"no such lead", "\xFF", 0},
                     {"a bad continuation", "\xC3(", 0}};
    for (const auto& b : bad) EXPECT_EQ(first_invalid_utf8(b.bytes), b.at) << b.what;
}

TEST(Bytes, names_are_made_safe_to_print) {
    EXPECT_EQ(printable("conv.weight"), "'conv.weight'");
    EXPECT_EQ(printable("\x1b[2J\n"), "'\\x1b[2J\\x0a'");
    EXPECT_EQ(printable("\xC2\x9B"), "'\\xc2\\x9b'");
    EXPECT_EQ(printable("\xE5\xB9\x85\xFF"), "'\xE5\xB9\x85\\xff'");
    const std::string huge = printable(std::string(1 << 20, 'a'));
    EXPECT_LT(huge.size(), 200u);
    EXPECT_NE(huge.find("(1048576 bytes)"), std::string::npos);
}

TEST(Bytes, loads_unaligned_numbers) {
    const std::byte bytes[] = {std::byte(9), std::byte(1), std::byte(2), std::byte(3), std::byte(4)};
    EXPECT_EQ(detail::load_le<std::uint32_t>(bytes + 1), 0x04030201u);
}

}  // namespace
}  // namespace mia
