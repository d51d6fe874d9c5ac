#include "mia/video/packet_file.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstring>
#include <string>
#include <vector>

#include "media.hpp"

namespace mia::detail {
namespace {

using test::message_of;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

class PacketFile : public test::MediaTest {
protected:
    static Packet packet_of(int stream, std::int64_t pts, const std::string& bytes, const std::string& side = "") {
        Packet packet;
        av_new_packet(packet.get(), int(bytes.size()));
        std::copy(bytes.begin(), bytes.end(), packet->data);
        packet->stream_index = stream;
        packet->pts = pts;
        packet->dts = pts == AV_NOPTS_VALUE ? pts : pts - 7;
        packet->duration = 40;
        packet->flags = AV_PKT_FLAG_KEY;
        if (!side.empty()) {
            std::uint8_t* to = av_packet_new_side_data(packet.get(), AV_PKT_DATA_SKIP_SAMPLES, side.size());
            std::copy(side.begin(), side.end(), to);
        }
        return packet;
    }
    FileStamp write_three(const std::string& name) const {
        PacketFileWriter file(folder / name);
        file.write(*packet_of(0, -5, "first").get());
        file.write(*packet_of(2, AV_NOPTS_VALUE, "", "0123456789").get());
        file.write(*packet_of(0, 1LL << 40, std::string(1000, 'z')).get());
        return file.finish();
    }
    /// Reads all; an Error when something is wrong.
    static int count(PacketFileReader file) {
        int n = 0;
        for (Packet packet; file.next(packet);) ++n;
        return n;
    }
    static int count_in(const std::string& bytes) {
        std::string copy = bytes;
        return count({FileHandle(fmemopen(copy.data(), copy.size(), "rb")), "memory"});
    }
};

TEST_F(PacketFile, ComesBackAsItWas) {
    const FileStamp stamp = write_three("a");
    EXPECT_EQ(stamp, stamp_of(folder / "a"));
    PacketFileReader file(folder / "a");
    Packet packet;
    ASSERT_TRUE(file.next(packet));
    EXPECT_EQ(std::string(reinterpret_cast<char*>(packet->data), std::size_t(packet->size)), "first");
    EXPECT_EQ(packet->stream_index, 0);
    EXPECT_EQ(packet->pts, -5);
    EXPECT_EQ(packet->dts, -12);
    EXPECT_EQ(packet->duration, 40);
    EXPECT_EQ(packet->flags, AV_PKT_FLAG_KEY);
    EXPECT_EQ(packet->side_data_elems, 0);
    ASSERT_TRUE(file.next(packet));
    EXPECT_EQ(packet->stream_index, 2);
    EXPECT_EQ(packet->pts, AV_NOPTS_VALUE);
    EXPECT_EQ(packet->size, 0);
    ASSERT_EQ(packet->side_data_elems, 1);
    EXPECT_EQ(packet->side_data[0].type, AV_PKT_DATA_SKIP_SAMPLES);
    EXPECT_EQ(std::string(reinterpret_cast<char*>(packet->side_data[0].data), packet->side_data[0].size), "0123456789");
    ASSERT_TRUE(file.next(packet));
    EXPECT_EQ(packet->size, 1000);
    EXPECT_EQ(packet->pts, 1LL << 40);
    EXPECT_EQ(packet->side_data_elems, 0);
    EXPECT_FALSE(file.next(packet));
}

TEST_F(PacketFile, StepsOverOtherStreams) {
    write_three("a");
    PacketFileReader file(folder / "a");
    Packet packet;
    ASSERT_TRUE(file.next(packet, [](int stream) { return stream == 2; }));
    EXPECT_EQ(packet->stream_index, 2);
    EXPECT_FALSE(file.next(packet, [](int stream) { return stream == 2; }));
    std::vector<std::int64_t> times;
    PacketFileReader(folder / "a").each_fields([&](const PacketFields& fields) { times.push_back(fields.pts); });
    EXPECT_THAT(times, ElementsAre(-5, AV_NOPTS_VALUE, 1LL << 40));
}

TEST_F(PacketFile, Empty) {
    PacketFileWriter(folder / "a").finish();
    EXPECT_EQ(count(PacketFileReader(folder / "a")), 0);
}

TEST_F(PacketFile, WithoutFinishThereIsNone) {
    PacketFileWriter(folder / "a").write(*packet_of(0, 0, "x").get());
    EXPECT_THAT(names(), IsEmpty());
}

TEST_F(PacketFile, EveryCutIsNoticed) {
    write_three("a");
    const std::string bytes = bytes_of(folder / "a");
    for (std::size_t size = 1; size < bytes.size(); ++size)
        ASSERT_THAT(message_of([&] { count_in(bytes.substr(0, size)); }),
                    HasSubstr("memory: not a whole file of packets"))
            << size;
    EXPECT_THAT(message_of([&] { count_in(bytes + "x"); }), HasSubstr("the end is wrong"));
}

TEST_F(PacketFile, EveryChangedByteIsNoticed) {
    write_three("a");
    const std::string bytes = bytes_of(folder / "a");
    for (std::size_t i = 0; i < bytes.size(); ++i) {
        std::string changed = bytes;
        changed[i] = char(changed[i] ^ (1 << (i % 8)));
        ASSERT_NE(message_of([&] { count_in(changed); }), "no error") << i;
    }
}

TEST_F(PacketFile, MissingFile) {
    EXPECT_THAT(message_of([&] { PacketFileReader(folder / "none"); }),
                HasSubstr("none: cannot be opened (No such file"));
}

}  // namespace
}  // namespace mia::detail
