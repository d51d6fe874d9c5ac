#pragma once
extern "C" {
#include <libavutil/crc.h>
}

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <filesystem>
#include <limits>
#include <string>
#include <string_view>
#include <utility>

#include "mia/core/error.hpp"
#include "mia/io/bytes.hpp"
#include "mia/video/durable_file.hpp"
#include "mia/video/ffmpeg.hpp"

// Coded packets on the disk, as they came, little endian:
//     "mia packets 1\n\0\0"
//     for each packet   fields (56 bytes), its side data each as type, size, bytes; its bytes; CRC-32 of all of these
//     at the end        fields with stream -1 and the number of packets as pts; CRC-32
// A file that was cut anywhere, or a byte of which is another, is noticed.

namespace mia::detail {

inline constexpr std::string_view packet_file_magic("mia packets 1\n\0\0", 16);

/// What a packet is beside its bytes.
struct PacketFields {
    std::int32_t stream = -1, flags = 0;
    std::int64_t pts = AV_NOPTS_VALUE, dts = AV_NOPTS_VALUE, duration = 0;
    std::uint32_t side_count = 0;  // number of side data
    std::uint32_t side_bytes = 0;  // all of them with their types and sizes
    std::uint64_t bytes = 0;
    std::uint64_t reserved = 0;
};
static_assert(sizeof(PacketFields) == 56 && std::is_trivially_copyable_v<PacketFields>);

class Crc32 {
public:
    void update(const void* bytes, std::size_t size) {
        value_ = av_crc(av_crc_get_table(AV_CRC_32_IEEE_LE), value_, static_cast<const std::uint8_t*>(bytes), size);
    }
    std::uint32_t value() const { return value_; }

private:
    std::uint32_t value_ = ~std::uint32_t(0);
};

/// Writes such a file. Without finish() none appears.
class PacketFileWriter {
public:
    explicit PacketFileWriter(const std::filesystem::path& path) : file_(path) { file_.write(packet_file_magic); }

    void write(const AVPacket& packet) {
        PacketFields fields{.stream = packet.stream_index,
                            .flags = packet.flags,
                            .pts = packet.pts,
                            .dts = packet.dts,
                            .duration = packet.duration,
                            .side_count = std::uint32_t(packet.side_data_elems),
                            .bytes = std::uint64_t(packet.size)};
        for (int i = 0; i < packet.side_data_elems; ++i)
            fields.side_bytes += std::uint32_t(8 + packet.side_data[i].size);
        begin(fields);
        for (int i = 0; i < packet.side_data_elems; ++i) {
            const AVPacketSideData& side = packet.side_data[i];
            const std::uint32_t head[] = {std::uint32_t(side.type), std::uint32_t(side.size)};
            add(head, sizeof head);
            add(side.data, side.size);
        }
        add(packet.data, std::size_t(packet.size));
        end();
        ++count_;
    }

    FileStamp finish() {
        begin({.pts = count_});
        end();
        return file_.commit();
    }

private:
    void begin(const PacketFields& fields) {
        crc_ = {};
        add(&fields, sizeof fields);
    }
    void add(const void* bytes, std::size_t size) {
        file_.write(bytes, size);
        if (size > 0) crc_.update(bytes, size);
    }
    void end() {
        const std::uint32_t value = crc_.value();
        file_.write(&value, sizeof value);
    }

    DurableFile file_;
    Crc32 crc_;
    std::int64_t count_ = 0;
};

/// Reads such a file from front to back. Error when it is damaged or cut short.
class PacketFileReader {
public:
    explicit PacketFileReader(const std::filesystem::path& path)
        : PacketFileReader(FileHandle(std::fopen(path.c_str(), "rbe")), path.string()) {}

    /// `name` opens messages.
    PacketFileReader(FileHandle file, std::string name) : file_(std::move(file)), name_(std::move(name)) {
        require(file_ != nullptr, name_, ": cannot be opened (", std::strerror(errno), "). Check its permissions.");
        std::array<char, packet_file_magic.size()> magic;
        read(magic.data(), magic.size());
        if (std::string_view(magic.data(), magic.size()) != packet_file_magic) fail("it does not begin as one");
        std::fseek(file_.get(), 0, SEEK_END);
        size_ = std::uint64_t(ftello(file_.get()));
        std::fseek(file_.get(), long(magic.size()), SEEK_SET);
    }

    /// The next packet of those that wanted(stream index) asks for; the others are stepped over unread. False after the
    /// last one.
    template <class Wanted>
    bool next(Packet& packet, Wanted&& wanted) {
        PacketFields fields;
        while (next_fields(fields)) {
            if (!wanted(fields.stream)) {
                skip(fields);
                continue;
            }
            read_content(fields, *packet.get());
            return true;
        }
        return false;
    }
    bool next(Packet& packet) {
        return next(packet, [](int) { return true; });
    }

    /// Visits the fields of all packets, none of their bytes.
    template <class Visit>
    void each_fields(Visit&& visit) {
        for (PacketFields fields; next_fields(fields); skip(fields)) visit(std::as_const(fields));
    }

private:
    [[noreturn]] void fail(std::string_view what) const {
        throw Error(text(name_, ": not a whole file of packets (", what,
                         "). The disk or another program has damaged "
                         "it; begin anew with restart."));
    }

    void read(void* to, std::size_t size) {
        if (size > 0 && std::fread(to, 1, size, file_.get()) != size) fail("cut short");
    }

    bool next_fields(PacketFields& fields) {
        crc_ = {};
        read_checked(&fields, sizeof fields);
        const std::uint64_t rest = size_ - std::uint64_t(ftello(file_.get()));
        const auto content = checked_add(fields.bytes, fields.side_bytes);
        if (!content || *content + 4 > rest || fields.bytes > std::uint64_t(INT_MAX) - AV_INPUT_BUFFER_PADDING_SIZE ||
            fields.side_count > fields.side_bytes / 8)
            fail("a size is wrong");
        if (fields.stream >= 0) {
            ++count_;
            return true;
        }
        check_crc();
        if (fields.stream != -1 || fields.pts != count_ || rest != 4) fail("the end is wrong");
        return false;
    }

    void skip(const PacketFields& fields) {
        if (fseeko(file_.get(), off_t(fields.bytes + fields.side_bytes + 4), SEEK_CUR) != 0) fail("cut short");
    }

    void read_content(const PacketFields& fields, AVPacket& packet) {
        av_packet_unref(&packet);
        av_check(av_new_packet(&packet, int(fields.bytes)), name_, ": no memory for a packet");
        std::uint32_t left = fields.side_bytes;
        for (std::uint32_t i = 0; i < fields.side_count; ++i) {
            std::uint32_t head[2];
            if (left < sizeof head) fail("side data is wrong");
            read_checked(head, sizeof head);
            left -= std::uint32_t(sizeof head);
            if (head[1] > left || head[0] >= AV_PKT_DATA_NB) fail("side data is wrong");
            left -= head[1];
            std::uint8_t* data = av_packet_new_side_data(&packet, AVPacketSideDataType(head[0]), head[1]);
            require(data != nullptr, name_, ": no memory for a packet's side data");
            read_checked(data, head[1]);
        }
        if (left != 0) fail("side data is wrong");
        read_checked(packet.data, std::size_t(packet.size));
        check_crc();
        packet.stream_index = fields.stream;
        packet.flags = fields.flags;
        packet.pts = fields.pts;
        packet.dts = fields.dts;
        packet.duration = fields.duration;
    }

    void read_checked(void* to, std::size_t size) {
        read(to, size);
        if (size > 0) crc_.update(to, size);
    }

    void check_crc() {
        std::uint32_t wanted = 0;
        read(&wanted, sizeof wanted);
        if (wanted != crc_.value()) fail("a checksum is wrong");
    }

    FileHandle file_;
    std::string name_;
    Crc32 crc_;
    std::uint64_t size_ = 0;
    std::int64_t count_ = 0;
};

}  // namespace mia::detail
