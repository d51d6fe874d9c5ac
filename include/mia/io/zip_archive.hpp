#pragma once
#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "mia/core/error.hpp"
#include "mia/io/bytes.hpp"

namespace mia::detail {

/// Tables for CRC-32 (polynomial 0xEDB88320), eight bytes a step: tables[k][b] is the checksum of byte b followed by k
/// zero bytes.
inline constexpr auto crc32_tables = [] {
    std::array<std::array<std::uint32_t, 256>, 8> tables{};
    for (std::uint32_t b = 0; b < 256; ++b) {
        std::uint32_t crc = b;
        for (int bit = 0; bit < 8; ++bit) crc = crc >> 1 ^ (crc & 1 ? 0xEDB88320u : 0);
        tables[0][b] = crc;
    }
    for (std::size_t k = 1; k < 8; ++k)
        for (std::size_t b = 0; b < 256; ++b) tables[k][b] = tables[k - 1][b] >> 8 ^ tables[0][tables[k - 1][b] & 255];
    return tables;
}();

/// The checksum that zip archives use.
inline std::uint32_t crc32(std::span<const std::byte> bytes) {
    const auto& t = crc32_tables;
    std::uint32_t crc = ~0u;
    std::size_t i = 0;
    for (; i + 8 <= bytes.size(); i += 8) {
        const std::uint32_t low = crc ^ load_le<std::uint32_t>(bytes.data() + i);
        const auto high = load_le<std::uint32_t>(bytes.data() + i + 4);
        crc = t[7][low & 255] ^ t[6][low >> 8 & 255] ^ t[5][low >> 16 & 255] ^ t[4][low >> 24] ^ t[3][high & 255] ^
              t[2][high >> 8 & 255] ^ t[1][high >> 16 & 255] ^ t[0][high >> 24];
    }
    for (; i < bytes.size(); ++i) crc = crc >> 8 ^ t[0][(crc ^ std::uint32_t(bytes[i])) & 255];
    return ~crc;
}

/// The directory of a zip archive in memory, as far as PyTorch writes it: entries stored without compression, one disk,
/// with or without the zip64 records. Nothing is unpacked, so there are no zip bombs; entries that overlap, leave the
/// file or occur twice are an Error when the archive is opened.
class ZipArchive {
public:
    struct Entry {
        std::string_view name;               // in the archive's bytes
        std::uint64_t offset = 0, size = 0;  // of the content as it lies in the file
        std::uint32_t crc = 0;
        std::uint16_t method = 0, flags = 0;
        std::uint64_t header = 0;  // of the local header
        bool checked = false;      // the checksum was right
    };

    /// `bytes` must outlive the archive; `source` opens every message.
    ZipArchive(std::span<const std::byte> bytes, std::string source) : bytes_(bytes), source_(std::move(source)) {
        const Directory directory = find_directory();
        std::uint64_t at = directory.offset;
        // Every entry takes 46 bytes of the directory, which lies in the file: a false count cannot make this grow.
        for (std::uint64_t i = 0; i < directory.entries; ++i) at = read_entry(at, directory);
        if (at != directory.end) fail("the directory ends at byte ", at, " and should end at byte ", directory.end);
        std::sort(entries_.begin(), entries_.end(), [](const Entry& a, const Entry& b) { return a.header < b.header; });
        std::uint64_t free_from = 0;
        for (const Entry& entry : entries_) {
            if (entry.header < free_from)
                fail("entry ", printable(entry.name), " at byte ", entry.header, " overlaps the entry before it");
            free_from = entry.offset + entry.size;
            if (free_from > directory.offset) fail("entry ", printable(entry.name), " reaches into the directory");
        }
        std::sort(entries_.begin(), entries_.end(), [](const Entry& a, const Entry& b) { return a.name < b.name; });
        const auto twice = std::adjacent_find(entries_.begin(), entries_.end(),
                                              [](const Entry& a, const Entry& b) { return a.name == b.name; });
        if (twice != entries_.end()) fail("entry ", printable(twice->name), " occurs twice");
    }

    /// Sorted by name.
    const std::vector<Entry>& entries() const { return entries_; }

    bool contains(std::string_view name) const { return find(name) != entries_.size(); }

    /// The content of an entry, its checksum verified once. Error if there is none of that name, or if it is
    /// compressed, encrypted or damaged.
    std::span<const std::byte> read(std::string_view name) {
        const std::size_t index = find(name);
        if (index == entries_.size()) fail("there is no entry ", printable(name));
        Entry& entry = entries_[index];
        require((entry.flags & 1) == 0, source_, ": entry ", printable(name),
                " of the zip archive is encrypted\nSave the checkpoint again without encryption.");
        require(entry.method == 0, source_, ": entry ", printable(name), " of the zip archive is compressed (method ",
                entry.method,
                "), and checkpoints are read only as PyTorch writes them, uncompressed\nLoad and save it again with "
                "PyTorch, or repack it with `zip -0`.");
        const auto content = bytes_.subspan(std::size_t(entry.offset), std::size_t(entry.size));
        if (!entry.checked) {
            const std::uint32_t crc = crc32(content);
            if (crc != entry.crc)
                fail("entry ", printable(name), " (", entry.size, " bytes at ", entry.offset, ") has checksum ", crc,
                     ", the directory says ", entry.crc);
            entry.checked = true;
        }
        return content;
    }

    const std::string& source() const { return source_; }

private:
    struct Directory {
        std::uint64_t entries, offset, end;
    };

    template <class... Parts>
    [[noreturn]] void fail(const Parts&... parts) const {
        throw Error(text(source_, ": zip archive: ", parts..., "\n", fetch_again));
    }

    template <class T>
    T load(std::uint64_t at) const {
        return load_le<T>(bytes_.data() + at);
    }

    bool has(std::uint64_t at, std::uint64_t count) const { return at <= bytes_.size() && count <= bytes_.size() - at; }

    std::size_t find(std::string_view name) const {
        const auto at = std::lower_bound(entries_.begin(), entries_.end(), name,
                                         [](const Entry& entry, std::string_view key) { return entry.name < key; });
        return at != entries_.end() && at->name == name ? std::size_t(at - entries_.begin()) : entries_.size();
    }

    /// Finds the end record, which is followed by nothing but the archive's comment of at most 65535 bytes.
    Directory find_directory() const {
        constexpr std::uint64_t record = 22, longest_comment = 65535;
        if (bytes_.size() < record) fail(bytes_.size(), " bytes are too few for an archive");
        const std::uint64_t last = bytes_.size() - record;
        const std::uint64_t first = last > longest_comment ? last - longest_comment : 0;
        for (std::uint64_t at = last + 1; at-- > first;) {
            if (load<std::uint32_t>(at) != 0x06054b50 || load<std::uint16_t>(at + 20) != last - at) continue;
            return read_end_record(at);
        }
        fail("the end record is missing, so the file was cut off");
    }

    Directory read_end_record(std::uint64_t at) const {
        if (load<std::uint16_t>(at + 4) != 0 || load<std::uint16_t>(at + 6) != 0)
            fail("the archive is split over several files");
        std::uint64_t entries = load<std::uint16_t>(at + 10);
        std::uint64_t size = load<std::uint32_t>(at + 12);
        std::uint64_t offset = load<std::uint32_t>(at + 16);
        std::uint64_t end = at;
        // zip64: a locator of 20 bytes just before points to a record with the same fields in 64 bits. PyTorch always
        // writes it.
        if (at >= 20 && load<std::uint32_t>(at - 20) == 0x07064b50) {
            const auto record = load<std::uint64_t>(at - 12);
            if (!has(record, 56) || record + 56 > at - 20 || load<std::uint32_t>(record) != 0x06064b50)
                fail("the zip64 end record is not at byte ", record);
            entries = load<std::uint64_t>(record + 32);
            size = load<std::uint64_t>(record + 40);
            offset = load<std::uint64_t>(record + 48);
            end = record;
        }
        if (offset > end || size != end - offset)
            fail("the directory should take bytes ", offset, " to ", end, " and claims to have ", size, " bytes");
        if (entries > size / 46) fail(entries, " entries do not fit into a directory of ", size, " bytes");
        return {entries, offset, end};
    }

    /// Reads one entry of the directory and its local header; returns where the next one starts.
    std::uint64_t read_entry(std::uint64_t at, const Directory& directory) {
        if (directory.end - at < 46 || load<std::uint32_t>(at) != 0x02014b50)
            fail("no entry at byte ", at, " of the directory");
        Entry entry;
        entry.flags = load<std::uint16_t>(at + 8);
        entry.method = load<std::uint16_t>(at + 10);
        entry.crc = load<std::uint32_t>(at + 16);
        std::uint64_t packed = load<std::uint32_t>(at + 20);
        entry.size = load<std::uint32_t>(at + 24);
        const std::uint64_t name_bytes = load<std::uint16_t>(at + 28), extra_bytes = load<std::uint16_t>(at + 30);
        const std::uint64_t next = at + 46 + name_bytes + extra_bytes + load<std::uint16_t>(at + 32);
        entry.header = load<std::uint32_t>(at + 42);
        if (next > directory.end) fail("the entry at byte ", at, " of the directory is cut off");
        entry.name = as_text(bytes_.subspan(std::size_t(at + 46), std::size_t(name_bytes)));
        read_zip64_extra(at + 46 + name_bytes, extra_bytes, entry, packed);

        if (entry.method == 0 && packed != entry.size)
            fail("entry ", printable(entry.name), " is uncompressed and has two sizes, ", packed, " and ", entry.size);
        // A compressed entry is refused when it is read; what it claims to unpack to is nobody's concern.
        entry.size = packed;

        // The local header repeats most of this (as zeros where a descriptor follows the data); only its length and
        // name are used, and the name must agree.
        if (!has(entry.header, 30) || load<std::uint32_t>(entry.header) != 0x04034b50)
            fail("entry ", printable(entry.name), " should start at byte ", entry.header, ", and does not");
        const std::uint64_t local_name = load<std::uint16_t>(entry.header + 26);
        entry.offset = entry.header + 30 + local_name + load<std::uint16_t>(entry.header + 28);
        if (!has(entry.offset, entry.size))
            fail("entry ", printable(entry.name), " claims ", entry.size, " bytes from byte ", entry.offset,
                 ", and the file ends at ", bytes_.size());
        if (as_text(bytes_.subspan(std::size_t(entry.header + 30), std::size_t(local_name))) != entry.name)
            fail("entry ", printable(entry.name), " has another name in front of its data");
        entries_.push_back(entry);
        return next;
    }

    /// The 64-bit values of those fields that do not fit into 32 bits, in the order of the fields.
    void read_zip64_extra(std::uint64_t at, std::uint64_t extra_bytes, Entry& entry, std::uint64_t& packed) const {
        const std::uint64_t end = at + extra_bytes;
        while (end - at >= 4) {
            const auto id = load<std::uint16_t>(at);
            const std::uint64_t size = load<std::uint16_t>(at + 2);
            at += 4;
            if (size > end - at) fail("entry ", printable(entry.name), " has a damaged extra field");
            if (id == 1) {
                std::uint64_t field = at;
                for (std::uint64_t* value : {&entry.size, &packed, &entry.header}) {
                    if (*value != 0xFFFFFFFF) continue;
                    if (at + size - field < 8) fail("entry ", printable(entry.name), " has a damaged zip64 field");
                    *value = load<std::uint64_t>(field);
                    field += 8;
                }
            }
            at += size;
        }
    }

    std::span<const std::byte> bytes_;
    std::string source_;
    std::vector<Entry> entries_;
};

}  // namespace mia::detail
