#include "mia/video/encoder.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <vector>

#include "output.hpp"

namespace mia::detail {
namespace {

using test::frame_of;
using test::info_of;

struct PacketTimes {
    std::int64_t pts, duration, dts;
    bool key;
};

class Segments : public test::MediaTest {
protected:
    std::vector<PacketTimes> times;

    auto collect() {
        return [this](const AVPacket& packet) {
            times.push_back({packet.pts, packet.duration, packet.dts, (packet.flags & AV_PKT_FLAG_KEY) != 0});
        };
    }
};

TEST_F(Segments, EachHasAllItsFramesWithTheirTimesAndBeginsWithAKeyFrame) {
    const AVCodec* codec = find_encoder("h264");
    if (codec == nullptr) GTEST_SKIP() << "no H.264 encoder";
    VideoInfo info = info_of(64, 64);
    info.time_base = {1, 90000};
    SegmentEncoder encoder("out", info, {.preset = "fast"}, *codec, true, {});
    EXPECT_GT(encoder.parameters().extradata_size, 10);
    std::int64_t number = 0;
    for (const int size : {1, 5, 12, 2}) {
        times.clear();
        const std::int64_t first = number;
        for (int i = 0; i < size; ++i, ++number) {
            VideoFrame frame = frame_of(info, number);
            frame.pts = -7000 + number * number * 10;
            frame.duration = 100 + number;
            encoder.write(frame, collect());
        }
        encoder.end_segment(collect());
        ASSERT_EQ(times.size(), std::size_t(size));
        EXPECT_TRUE(times.front().key);
        EXPECT_EQ(times.front().pts, -7000 + first * first * 10);
        std::sort(times.begin(), times.end(), [](const PacketTimes& a, const PacketTimes& b) { return a.pts < b.pts; });
        for (int i = 0; i < size; ++i) {
            EXPECT_EQ(times[std::size_t(i)].pts, -7000 + (first + i) * (first + i) * 10);
            EXPECT_EQ(times[std::size_t(i)].duration, 100 + first + i);
            EXPECT_EQ(times[std::size_t(i)].dts, AV_NOPTS_VALUE);
        }
    }
    times.clear();
    encoder.end_segment(collect());  // an empty one is none
    EXPECT_TRUE(times.empty());
}

TEST_F(Segments, DoNotDependOnWhatCameBefore) {
    const AVCodec* codec = find_encoder("ffv1");
    const VideoInfo info = info_of(32, 32);
    SegmentEncoder encoder("out", info, {}, *codec, true, {});
    std::vector<std::uint64_t> sizes[2];
    for (auto& found : sizes) {
        const auto visit = [&](const AVPacket& packet) { found.push_back(std::uint64_t(packet.size)); };
        for (int i = 0; i < 3; ++i) encoder.write(frame_of(info, i), visit);
        encoder.end_segment(visit);
    }
    EXPECT_EQ(sizes[0].size(), 3u);
    EXPECT_EQ(sizes[0], sizes[1]);
}

}  // namespace
}  // namespace mia::detail
