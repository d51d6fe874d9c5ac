#pragma once
#include <cstddef>
#include <cstdint>
#include <mia/io/zip_archive.hpp>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

/// Builds zip archives in memory, right ones and, with the fields changed, wrong ones.
namespace mia::testing {

template <class T>
void append_le(std::string& bytes, T value) {
    bytes.append(reinterpret_cast<const char*>(&value), sizeof value);
}

inline std::span<const std::byte> as_bytes(std::string_view s) {
    return {reinterpret_cast<const std::byte*>(s.data()), s.size()};
}

struct ZipItem {
    ZipItem(std::string item_name, std::string item_content)
        : name(std::move(item_name)), content(std::move(item_content)), local_name(name) {
        crc = detail::crc32(as_bytes(content));
        packed = size = std::uint32_t(content.size());
    }

    std::string name, content;
    std::string local_name;                       // in the header before the data
    std::uint32_t crc = 0, packed = 0, size = 0;  // as the directory states them
    std::uint16_t method = 0, flags = 0;
    std::uint32_t header_shift = 0;  // added to the true offset of the local header
    std::string extra;               // the directory's extra field
};

struct ZipOptions {
    bool zip64 = false;
    std::string comment = {};
    std::uint16_t disk = 0;
    std::int64_t count_change = 0, size_change = 0, offset_change = 0;  // to the end record
};

inline std::string make_zip(const std::vector<ZipItem>& items, const ZipOptions& options = {}) {
    std::string zip, directory;
    for (const ZipItem& item : items) {
        const auto header = std::uint32_t(zip.size()) + item.header_shift;
        append_le<std::uint32_t>(zip, 0x04034b50);
        append_le<std::uint16_t>(zip, 0);
        append_le(zip, item.flags);
        append_le(zip, item.method);
        append_le<std::uint32_t>(zip, 0);  // time
        append_le(zip, item.crc);
        append_le(zip, item.packed);
        append_le(zip, item.size);
        append_le(zip, std::uint16_t(item.local_name.size()));
        append_le<std::uint16_t>(zip, 0);
        zip += item.local_name + item.content;

        append_le<std::uint32_t>(directory, 0x02014b50);
        append_le<std::uint32_t>(directory, 0);  // versions
        append_le(directory, item.flags);
        append_le(directory, item.method);
        append_le<std::uint32_t>(directory, 0);
        append_le(directory, item.crc);
        append_le(directory, item.packed);
        append_le(directory, item.size);
        append_le(directory, std::uint16_t(item.name.size()));
        append_le(directory, std::uint16_t(item.extra.size()));
        directory.append(2 + 2 + 2 + 4, '\0');  // comment, disk, attributes
        append_le(directory, header);
        directory += item.name + item.extra;
    }
    const auto offset = std::uint64_t(zip.size()) + std::uint64_t(options.offset_change);
    const auto size = std::uint64_t(directory.size()) + std::uint64_t(options.size_change);
    const auto count = std::uint64_t(items.size()) + std::uint64_t(options.count_change);
    zip += directory;
    if (options.zip64) {
        const std::uint64_t record = zip.size();
        append_le<std::uint32_t>(zip, 0x06064b50);
        append_le<std::uint64_t>(zip, 44);
        zip.append(2 + 2 + 4 + 4, '\0');
        append_le(zip, count);
        append_le(zip, count);
        append_le(zip, size);
        append_le(zip, offset);
        append_le<std::uint32_t>(zip, 0x07064b50);
        append_le<std::uint32_t>(zip, 0);
        append_le(zip, record);
        append_le<std::uint32_t>(zip, 1);
    }
    append_le<std::uint32_t>(zip, 0x06054b50);
    append_le(zip, options.disk);
    append_le(zip, options.disk);
    append_le(zip, std::uint16_t(options.zip64 ? 0xFFFF : count));
    append_le(zip, std::uint16_t(options.zip64 ? 0xFFFF : count));
    append_le(zip, std::uint32_t(options.zip64 ? 0xFFFFFFFF : size));
    append_le(zip, std::uint32_t(options.zip64 ? 0xFFFFFFFF : offset));
    append_le(zip, std::uint16_t(options.comment.size()));
    return zip + options.comment;
}

}  // namespace mia::testing
