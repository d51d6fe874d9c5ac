#pragma once
#include <array>
#include <cstdint>
#include <filesystem>
#include <fstream>
#include <string_view>
#include <system_error>

#include "mia/core/error.hpp"

namespace mia {
namespace detail {

struct ContainerBytes {
    explicit ContainerBytes(const std::filesystem::path& path) : file(path, std::ios::binary) {}

    /// Big-endian number of `count` bytes at `offset`; false past the end.
    bool read(std::uint64_t offset, int count, std::uint64_t& value) {
        std::array<char, 8> bytes;
        file.clear();
        if (!file.seekg(std::streamoff(offset)) || !file.read(bytes.data(), count)) return false;
        value = 0;
        for (int i = 0; i < count; ++i) value = value << 8 | static_cast<unsigned char>(bytes[std::size_t(i)]);
        return true;
    }

    /// EBML number at `offset`: leading zeros give the length, all ones mean "unknown". false past the end.
    bool read_ebml(std::uint64_t& offset, std::uint64_t& value, bool& unknown) {
        std::uint64_t first = 0;
        if (!read(offset, 1, first) || first == 0) return false;
        int length = 1;
        while ((first & (0x80u >> (length - 1))) == 0) ++length;
        if (!read(offset, length, value)) return false;
        const std::uint64_t mask = (std::uint64_t(1) << (7 * length)) - 1;
        value &= mask;
        unknown = value == mask;
        offset += std::uint64_t(length);
        return true;
    }

    std::ifstream file;
};

/// AVI: a row of chunks "RIFF", little-endian size, content; several in files above 1 GB. 0 and all ones are what a
/// recorder leaves that was not closed.
inline std::uint64_t missing_of_riff(ContainerBytes& bytes, std::uint64_t file_size) {
    std::uint64_t at = 0, tag = 0, size = 0;
    while (bytes.read(at, 4, tag) && tag == 0x52494646 && bytes.read(at + 4, 4, size)) {
        size = (size & 0xff) << 24 | (size & 0xff00) << 8 | (size >> 8 & 0xff00) | size >> 24;
        if (size == 0 || size == 0xffffffff) return 0;
        at += 8 + size;
        if (at > file_size) return at - file_size;
        at += size % 2;
    }
    return 0;
}

}  // namespace detail

/// Bytes, at least, that the end of an MP4, MOV, Matroska, WebM or AVI file lacks, by what its own headers say; 0 when
/// it is whole, is of another kind, or does not say. FFmpeg's demuxers take a cut file for one that ends there, so that
/// its last part would be missing without a word.
inline std::uint64_t missing_bytes(const std::filesystem::path& path) {
    std::error_code failure;
    const std::uint64_t size = std::filesystem::file_size(path, failure);
    if (failure) return 0;
    detail::ContainerBytes bytes(path);
    std::uint64_t start = 0, type = 0;
    if (!bytes.read(0, 4, start)) return 0;

    if (start == 0x1a45dfa3) {  // EBML header, then the segment that holds everything
        std::uint64_t at = 4, length = 0;
        bool unknown = false;
        if (!bytes.read_ebml(at, length, unknown) || unknown) return 0;
        at += length;
        if (!bytes.read(at, 4, type) || type != 0x18538067) return 0;
        at += 4;
        if (!bytes.read_ebml(at, length, unknown) || unknown || length > std::uint64_t(1) << 56) return 0;
        return at + length > size ? at + length - size : 0;
    }

    if (start == 0x52494646) return detail::missing_of_riff(bytes, size);

    if (!bytes.read(4, 4, type) || type != 0x66747970) return 0;  // "ftyp"
    for (std::uint64_t at = 0; at < size;) {                      // a row of boxes: size, type, content
        std::uint64_t length = 0;
        if (!bytes.read(at, 4, length)) return 0;
        if (length == 0) return 0;  // to the end of the file
        if (length == 1 && !bytes.read(at + 8, 8, length)) return 0;
        if (length < 8 || length > std::uint64_t(1) << 56) return 0;  // not ours to judge
        at += length;
        if (at > size) return at - size;
    }
    return 0;
}

}  // namespace mia
