#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <mia/io/json.hpp>
#include <string>
#include <utility>
#include <vector>

namespace mia {
namespace {

using ::testing::HasSubstr;

/// The message of the Error that `read(reader)` throws; empty if it throws none.
template <class Read>
std::string error_of(std::string_view json, Read read) {
    JsonReader reader(json, "file", 8);
    try {
        read(reader);
    } catch (const Error& error) {
        return error.what();
    }
    return "";
}

std::string string_error(std::string_view json) {
    return error_of(json, [](JsonReader& r) { r.string(), r.finish(); });
}
std::string integer_error(std::string_view json) {
    return error_of(json, [](JsonReader& r) { r.integer(), r.finish(); });
}
std::string array_error(std::string_view json) {
    return error_of(json, [](JsonReader& r) {
        r.enter_array();
        while (r.next_element()) r.integer();
        r.finish();
    });
}
std::string object_error(std::string_view json) {
    return error_of(json, [](JsonReader& r) {
        std::string key;
        r.enter_object();
        while (r.next_key(key)) r.integer();
        r.finish();
    });
}

TEST(Json, reads_nested_values) {
    JsonReader reader(" {\"a\" : [1, 22,\n333], \"b\":{\"c\":\"d\"},\"e\":{} , \"f\":[]}\t", "file");
    std::vector<std::string> keys;
    std::vector<std::uint64_t> numbers;
    std::string key, inner;
    EXPECT_EQ(reader.peek(), JsonReader::Kind::object);
    reader.enter_object();
    while (reader.next_key(key)) {
        keys.push_back(key);
        if (reader.peek() == JsonReader::Kind::array) {
            reader.enter_array();
            while (reader.next_element()) numbers.push_back(reader.integer());
        } else {
            reader.enter_object();
            while (reader.next_key(inner)) {
                EXPECT_EQ(inner, "c");
                EXPECT_EQ(reader.string(), "d");
            }
        }
    }
    reader.finish();
    EXPECT_EQ(keys, (std::vector<std::string>{"a", "b", "e", "f"}));
    EXPECT_EQ(numbers, (std::vector<std::uint64_t>{1, 22, 333}));
}

TEST(Json, resolves_escapes) {
    JsonReader reader(R"("\"\\\/\b\f\n\r\t\u0041\u00e9\u5E45\ud83d\ude00\u0000")", "file");
    EXPECT_EQ(reader.string(), std::string("\"\\/\b\f\n\r\tA\xC3\xA9\xE5\xB9\x85\xF0\x9F\x98\x80") + '\0');
}

TEST(Json, writes_what_it_reads) {
    for (const std::string text : {"", "plain", "\"quoted\" \\ / \b\f\n\r\t", "gr\xC3\xBC\xC3\x9F \xF0\x9F\x98\x80"}) {
        const std::string json = json_string(text);
        EXPECT_EQ(JsonReader(json, "j").string(), text) << json;
    }
    EXPECT_EQ(json_string(std::string("\0\x1f", 2)), "\"\\u0000\\u001f\"");
    EXPECT_EQ(json_string("a\xFF\xC3"), "\"a\xEF\xBF\xBD\xEF\xBF\xBD\"");  // no UTF-8: U+FFFD
}

TEST(Json, reads_the_largest_integer_and_refuses_the_next) {
    EXPECT_EQ(JsonReader("18446744073709551615", "file").integer(), UINT64_MAX);
    EXPECT_EQ(JsonReader("0", "file").integer(), 0u);
    EXPECT_THAT(integer_error("18446744073709551616"), HasSubstr("exceeds 2^64 - 1"));
    EXPECT_THAT(integer_error("99999999999999999999999999"), HasSubstr("exceeds 2^64 - 1"));
}

TEST(Json, refuses_numbers_that_are_no_counts) {
    EXPECT_THAT(integer_error("-1"), HasSubstr("non-negative integer, found '-'"));
    EXPECT_THAT(integer_error("1.5"), HasSubstr("a fraction"));
    EXPECT_THAT(integer_error("1e3"), HasSubstr("a fraction"));
    EXPECT_THAT(integer_error("007"), HasSubstr("must not start with 0"));
    EXPECT_THAT(integer_error("true"), HasSubstr("found 't'"));
    EXPECT_THAT(integer_error(""), HasSubstr("found the end of the text"));
}

TEST(Json, refuses_malformed_strings) {
    EXPECT_THAT(string_error("\"abc"), HasSubstr("no closing quote"));
    EXPECT_THAT(string_error("abc"), HasSubstr("expected a string, found 'a'"));
    EXPECT_THAT(string_error("\"a\nb\""), HasSubstr("control character"));
    EXPECT_THAT(string_error(std::string_view("\"a\0b\"", 5)), HasSubstr("control character"));
    EXPECT_THAT(string_error("\"\\x41\""), HasSubstr("unknown escape"));
    EXPECT_THAT(string_error("\"\\u12g4\""), HasSubstr("four hexadecimal digits"));
    EXPECT_THAT(string_error("\"\\u12"), HasSubstr("four hexadecimal digits"));
    EXPECT_THAT(string_error("\"\\ud800\""), HasSubstr("half a surrogate pair"));
    EXPECT_THAT(string_error("\"\\ud800\\u0041\""), HasSubstr("half a surrogate pair"));
    EXPECT_THAT(string_error("\"\\udc00\""), HasSubstr("half a surrogate pair"));
    EXPECT_THAT(string_error("\"\\"), HasSubstr("unknown escape in a string: the end"));
    EXPECT_THAT(string_error("\"ab\xFF\""), HasSubstr("byte 11: a string must be UTF-8, found '\\xff'"));
    EXPECT_THAT(string_error("\"\xE5\xB9"), HasSubstr("UTF-8"));
}

TEST(Json, refuses_malformed_structure) {
    EXPECT_THAT(array_error("[1,2,]"), HasSubstr("found ']'"));
    EXPECT_THAT(array_error("[,1]"), HasSubstr("found ','"));
    EXPECT_THAT(array_error("[1 2]"), HasSubstr("expected ',' or ']', found '2'"));
    EXPECT_THAT(array_error("[1}"), HasSubstr("found '}'"));
    EXPECT_THAT(array_error("[1"), HasSubstr("the end of the text"));
    EXPECT_THAT(array_error("{}"), HasSubstr("expected an array, found '{'"));
    EXPECT_THAT(object_error("{\"a\":1,}"), HasSubstr("expected a string, found '}'"));
    EXPECT_THAT(object_error("{\"a\" 1}"), HasSubstr("expected ':' after a name, found '1'"));
    EXPECT_THAT(object_error("{1:1}"), HasSubstr("expected a string"));
    EXPECT_THAT(object_error("{\"a\":1]"), HasSubstr("expected ',' or '}'"));
    EXPECT_THAT(object_error("{} {}"), HasSubstr("expected the end, found '{'"));
    EXPECT_THAT(error_of("null", [](JsonReader& r) { r.peek(); }), HasSubstr("found 'n'"));
    EXPECT_THAT(error_of("{", [](JsonReader& r) { r.enter_object(), r.finish(); }), HasSubstr("ends inside"));
}

TEST(Json, limits_the_depth) {
    const std::string deep(100000, '[');
    const auto descend = [](JsonReader& r) {
        for (;;) {
            r.enter_array();
            r.next_element();
        }
    };
    EXPECT_THAT(error_of(deep, descend), HasSubstr("deeper than 32 levels"));
    const std::string allowed = std::string(JsonReader::max_depth, '[') + std::string(JsonReader::max_depth, ']');
    JsonReader reader(allowed, "file");
    for (std::size_t i = 0; i < JsonReader::max_depth; ++i) {
        reader.enter_array();
        EXPECT_EQ(reader.next_element(), i + 1 < JsonReader::max_depth);
    }
    for (std::size_t i = 1; i < JsonReader::max_depth; ++i) EXPECT_FALSE(reader.next_element());
    reader.finish();
}

TEST(Json, names_the_byte_in_the_file) {
    EXPECT_THAT(array_error("[1, x]"), HasSubstr("file: the JSON header at byte 12: "));
}

}  // namespace
}  // namespace mia
