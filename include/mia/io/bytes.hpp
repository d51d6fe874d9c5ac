#pragma once
#include <bit>
#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <filesystem>
#include <memory>
#include <new>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <system_error>
#include <type_traits>
#include <utility>

#include "mia/core/error.hpp"

/// What the readers share: whole files in memory, little-endian numbers at any address, size arithmetic that cannot
/// wrap around, and names from a file made safe to print.
namespace mia::detail {

static_assert(std::endian::native == std::endian::little,
              "mia/io reads numbers as they lie in the file, which is little-endian; a big-endian machine needs a byte "
              "swap in load_le and copy_as");

/// How most messages about a damaged file end.
inline constexpr std::string_view fetch_again =
    "The file is damaged or incomplete: download it again and compare its size, or write it again.";

/// The little-endian number at `from`, which need not be aligned.
template <class T>
T load_le(const std::byte* from) {
    static_assert(std::is_trivially_copyable_v<T>);
    T value;
    std::memcpy(&value, from, sizeof value);
    return value;
}

inline std::optional<std::uint64_t> checked_multiply(std::uint64_t a, std::uint64_t b) {
    if (b != 0 && a > UINT64_MAX / b) return std::nullopt;
    return a * b;
}

inline std::optional<std::uint64_t> checked_add(std::uint64_t a, std::uint64_t b) {
    if (a > UINT64_MAX - b) return std::nullopt;
    return a + b;
}

/// Number of elements of a shape without negative extents, or nothing if it exceeds 2^63 - 1. An extent of 0 does not
/// excuse the others: whoever multiplies them in another order would still overflow.
inline std::optional<std::uint64_t> count_elements(std::span<const std::int64_t> shape) {
    std::uint64_t product = 1;
    bool empty = false;
    for (std::int64_t extent : shape) {
        if (extent < 0) return std::nullopt;
        if (extent == 0) {
            empty = true;
            continue;
        }
        const auto next = checked_multiply(product, std::uint64_t(extent));
        if (!next || *next > std::uint64_t(INT64_MAX)) return std::nullopt;
        product = *next;
    }
    return empty ? 0 : product;
}

/// Length of the UTF-8 sequence that starts `rest`, 0 if it is none (truncated, overlong, a surrogate, above U+10FFFF).
inline std::size_t utf8_sequence(std::string_view rest) {
    const auto byte = [&](std::size_t i) { return static_cast<unsigned char>(rest[i]); };
    if (rest.empty()) return 0;
    const unsigned lead = byte(0);
    if (lead < 0x80) return 1;
    const std::size_t length = lead >= 0xF0 ? 4 : lead >= 0xE0 ? 3 : 2;
    if (lead < 0xC2 || lead > 0xF4 || rest.size() < length) return 0;
    for (std::size_t i = 1; i < length; ++i)
        if ((byte(i) & 0xC0) != 0x80) return 0;
    const unsigned second = byte(1);
    if ((lead == 0xE0 && second < 0xA0) || (lead == 0xED && second > 0x9F)) return 0;
    if ((lead == 0xF0 && second < 0x90) || (lead == 0xF4 && second > 0x8F)) return 0;
    return length;
}

/// Position of the first byte that is not part of a valid UTF-8 sequence; npos if there is none.
inline std::size_t first_invalid_utf8(std::string_view s) {
    for (std::size_t i = 0; i < s.size();) {
        const std::size_t length = utf8_sequence(s.substr(i));
        if (length == 0) return i;
        i += length;
    }
    return std::string_view::npos;
}

/// A name from a file, for messages: in quotes, unprintable bytes as \xNN, and shortened, since a hostile name may be
/// megabytes long or steer the terminal.
inline std::string printable(std::string_view name) {
    constexpr std::size_t longest = 120;
    std::string s = "'";
    std::size_t i = 0;
    while (i < name.size() && s.size() <= longest) {
        const std::size_t length = utf8_sequence(name.substr(i));
        const auto byte = static_cast<unsigned char>(name[i]);
        // Two-byte sequences that start with 0xC2 hold the control characters U+0080 ... U+009F.
        const bool control = byte < 0x20 || byte == 0x7F || (byte == 0xC2 && length == 2);
        if (length == 0 || control) {
            constexpr const char* digits = "0123456789abcdef";
            s += {'\\', 'x', digits[byte >> 4], digits[byte & 15]};
            ++i;
        } else {
            s += name.substr(i, length);
            i += length;
        }
    }
    if (i < name.size()) return s + "...' (" + std::to_string(name.size()) + " bytes)";
    return s + "'";
}

inline std::string_view as_text(std::span<const std::byte> bytes) {
    return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

/// A file's content and who keeps it alive.
struct FileBytes {
    std::shared_ptr<const std::byte[]> owner;
    std::size_t size = 0;

    std::span<const std::byte> span() const { return {owner.get(), size}; }
};

struct CloseFile {
    void operator()(std::FILE* file) const { std::fclose(file); }
};
using FileHandle = std::unique_ptr<std::FILE, CloseFile>;

/// Reads a whole regular file. Error if it is missing, not a regular file, empty, unreadable, or larger than memory.
inline FileBytes read_file(const std::filesystem::path& path) {
    const std::string name = path.string();
    std::error_code code;
    const auto status = std::filesystem::status(path, code);
    require(status.type() != std::filesystem::file_type::not_found, name,
            ": there is no such file\nCheck the path; relative ones start at the working directory.");
    require(!code, name, ": the file cannot be examined: ", code.message(),
            "\nCheck the path and the permissions of its folders.");
    require(status.type() != std::filesystem::file_type::directory, name,
            ": this is a directory, not a file of weights\nName the .safetensors or .pth file inside it.");
    require(status.type() == std::filesystem::file_type::regular, name,
            ": this is a device, pipe or socket, not a regular file\nSave the weights to a file first.");
    const std::uintmax_t size = std::filesystem::file_size(path, code);
    require(!code, name, ": the size of the file cannot be read: ", code.message(),
            "\nCheck the permissions and the medium.");
    require(size > 0, name, ": the file is empty (0 bytes)\nDownload or write it again.");
    require(size <= std::uintmax_t(PTRDIFF_MAX), name, ": the file has ", size,
            " bytes, more than this machine can address\nUse a 64-bit build.");

    const FileHandle file(std::fopen(name.c_str(), "rb"));
    require(file != nullptr, name, ": the file cannot be opened: ", std::strerror(errno),
            "\nCheck that you may read it.");
    std::unique_ptr<std::byte[]> content(new (std::nothrow) std::byte[std::size_t(size)]);
    require(content != nullptr, name, ": the file has ", size,
            " bytes and they do not fit into memory\nFree some memory, or use a smaller file.");
    const std::size_t got = std::fread(content.get(), 1, std::size_t(size), file.get());
    require(got == size, name, ": read ", got, " of ", size,
            " bytes and no more\nThe medium fails or another program is writing the file: try again when it is done.");
    return {std::shared_ptr<const std::byte[]>(std::move(content)), std::size_t(size)};
}

}  // namespace mia::detail
