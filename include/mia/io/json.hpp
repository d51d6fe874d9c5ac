#pragma once
#include <array>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <utility>

#include "mia/core/error.hpp"
#include "mia/io/bytes.hpp"

namespace mia {

/// `value` as JSON writes a string: in quotes, with escapes. Bytes that are not UTF-8 become U+FFFD, since JSON has no
/// way to say them.
inline std::string json_string(std::string_view value) {
    std::string out = "\"";
    for (std::size_t i = 0; i < value.size();) {
        const std::size_t length = detail::utf8_sequence(value.substr(i));
        const auto byte = static_cast<unsigned char>(value[i]);
        if (length == 0) {
            out += "\xEF\xBF\xBD";
        } else if (byte < 0x20) {
            constexpr const char* digits = "0123456789abcdef";
            out += {'\\', 'u', '0', '0', digits[byte >> 4], digits[byte & 15]};
        } else {
            if (byte == '"' || byte == '\\') out += '\\';
            out += value.substr(i, length);
        }
        i += length == 0 ? 1 : length;
    }
    return out + '"';
}

/// Reads the JSON that safetensors headers use: objects, arrays, strings with escapes, non-negative integers below
/// 2^64. The caller asks for what it expects, one value after another, so nothing is built in memory and nothing
/// recurses:
///
///     reader.enter_object();
///     while (reader.next_key(key)) shape.push_back(reader.integer());
///     reader.finish();
///
/// Anything else than what is asked for, malformed or nested deeper than max_depth is an Error with the byte offset.
/// The text must outlive the reader.
class JsonReader {
public:
    static constexpr std::size_t max_depth = 32;
    enum class Kind { object, array, string, integer };

    /// `source` opens every message; `base` is where `json` begins in it.
    explicit JsonReader(std::string_view json, std::string source, std::uint64_t base = 0)
        : json_(json), source_(std::move(source)), base_(base) {}

    /// What the next value is, without reading it.
    Kind peek() {
        skip_space();
        switch (current()) {
            case '{':
                return Kind::object;
            case '[':
                return Kind::array;
            case '"':
                return Kind::string;
            default:
                break;
        }
        if (is_digit(current())) return Kind::integer;
        fail("expected an object, an array, a string or a non-negative integer, found ", found());
    }

    void enter_object() { enter('{', "an object"); }
    void enter_array() { enter('[', "an array"); }

    /// Moves to the next member of the innermost object and reads its name; false at the end, which leaves the object.
    bool next_key(std::string& key) {
        if (!next('}')) return false;
        key = string();
        skip_space();
        expect(':', "':' after a name");
        return true;
    }

    /// Moves to the next element of the innermost array; false at the end, which leaves the array.
    bool next_element() { return next(']'); }

    /// A string, its escapes resolved. Always valid UTF-8.
    std::string string() {
        skip_space();
        expect('"', "a string");
        std::string value;
        for (;;) {
            const std::size_t run = position_;
            while (position_ < json_.size() && json_[position_] != '"' && json_[position_] != '\\' &&
                   static_cast<unsigned char>(json_[position_]) >= 0x20)
                ++position_;
            const std::string_view plain = json_.substr(run, position_ - run);
            if (const std::size_t bad = detail::first_invalid_utf8(plain); bad != std::string_view::npos) {
                position_ = run + bad;
                fail("a string must be UTF-8, found ", found());
            }
            value += plain;
            if (position_ == json_.size()) fail("a string has no closing quote");
            if (json_[position_] == '"') break;
            if (json_[position_] != '\\') fail("a control character in a string must be escaped, found ", found());
            ++position_;
            append_escape(value);
        }
        ++position_;
        return value;
    }

    /// An integer in [0, 2^64).
    std::uint64_t integer() {
        skip_space();
        if (!is_digit(current())) fail("expected a non-negative integer, found ", found());
        const std::size_t first = position_;
        std::uint64_t value = 0;
        for (; is_digit(current()); ++position_) {
            const auto digit = std::uint64_t(json_[position_] - '0');
            if (value > (UINT64_MAX - digit) / 10) fail("an integer exceeds 2^64 - 1");
            value = value * 10 + digit;
        }
        if (position_ - first > 1 && json_[first] == '0') fail("an integer must not start with 0");
        if (current() == '.' || current() == 'e' || current() == 'E')
            fail("expected a non-negative integer, found a fraction");
        return value;
    }

    /// Error unless only white space is left.
    void finish() {
        skip_space();
        if (depth_ != 0) fail("the text ends inside an object or array");
        if (position_ != json_.size()) fail("expected the end, found ", found());
    }

    /// Where the next character lies in the source.
    std::uint64_t offset() const { return base_ + position_; }

    /// Throws an Error that names the source and the current offset.
    template <class... Parts>
    [[noreturn]] void fail(const Parts&... parts) const {
        throw Error(text(source_, ": the JSON header at byte ", offset(), ": ", parts..., "\n", detail::fetch_again));
    }

private:
    struct Frame {
        char close;
        bool started;
    };

    static bool is_digit(char c) { return c >= '0' && c <= '9'; }

    /// The next character, 0 at the end: a zero byte is nowhere valid outside a string.
    char current() const { return position_ < json_.size() ? json_[position_] : '\0'; }

    std::string found() const {
        return position_ < json_.size() ? detail::printable(json_.substr(position_, 1)) : "the end of the text";
    }

    void skip_space() {
        while (current() == ' ' || current() == '\n' || current() == '\t' || current() == '\r') ++position_;
    }

    void expect(char c, const char* what) {
        if (current() != c) fail("expected ", what, ", found ", found());
        ++position_;
    }

    void enter(char open, const char* what) {
        skip_space();
        expect(open, what);
        if (depth_ == max_depth) fail("nested deeper than ", max_depth, " levels");
        frames_[depth_++] = {open == '{' ? '}' : ']', false};
    }

    bool next(char close) {
        if (depth_ == 0 || frames_[depth_ - 1].close != close)
            fail("asked for a member of an object or array that was not entered");
        Frame& frame = frames_[depth_ - 1];
        skip_space();
        if (current() == close) {
            ++position_;
            --depth_;
            return false;
        }
        if (frame.started) {
            expect(',', close == '}' ? "',' or '}'" : "',' or ']'");
            skip_space();
        }
        frame.started = true;
        return true;
    }

    /// The four digits of \uXXXX.
    std::uint32_t hex4() {
        std::uint32_t value = 0;
        for (int i = 0; i < 4; ++i, ++position_) {
            const char c = current();
            const int digit = is_digit(c)            ? c - '0'
                              : c >= 'a' && c <= 'f' ? c - 'a' + 10
                              : c >= 'A' && c <= 'F' ? c - 'A' + 10
                                                     : -1;
            if (digit < 0) fail("expected four hexadecimal digits after \\u, found ", found());
            value = value * 16 + std::uint32_t(digit);
        }
        return value;
    }

    void append_escape(std::string& value) {
        const char c = current();
        switch (c) {
            case '"':
            case '\\':
            case '/':
                value += c;
                break;
            case 'b':
                value += '\b';
                break;
            case 'f':
                value += '\f';
                break;
            case 'n':
                value += '\n';
                break;
            case 'r':
                value += '\r';
                break;
            case 't':
                value += '\t';
                break;
            case 'u': {
                ++position_;
                std::uint32_t code = hex4();
                if (code >= 0xD800 && code < 0xDC00) {  // the first half of a surrogate pair
                    if (json_.substr(position_, 2) != "\\u") fail("half a surrogate pair in a string");
                    position_ += 2;
                    const std::uint32_t low = hex4();
                    if (low < 0xDC00 || low > 0xDFFF) fail("half a surrogate pair in a string");
                    code = 0x10000 + ((code - 0xD800) << 10) + (low - 0xDC00);
                } else if (code >= 0xDC00 && code <= 0xDFFF) {
                    fail("half a surrogate pair in a string");
                }
                append_utf8(value, code);
                return;
            }
            default:
                fail("unknown escape in a string: ", found());
        }
        ++position_;
    }

    static void append_utf8(std::string& value, std::uint32_t code) {
        const auto tail = [&](int shift) { value += char(0x80 | ((code >> shift) & 0x3F)); };
        if (code < 0x80) {
            value += char(code);
        } else if (code < 0x800) {
            value += char(0xC0 | code >> 6);
            tail(0);
        } else if (code < 0x10000) {
            value += char(0xE0 | code >> 12);
            tail(6), tail(0);
        } else {
            value += char(0xF0 | code >> 18);
            tail(12), tail(6), tail(0);
        }
    }

    std::string_view json_;
    std::string source_;
    std::uint64_t base_;
    std::size_t position_ = 0;
    std::array<Frame, max_depth> frames_{};
    std::size_t depth_ = 0;
};

}  // namespace mia
