#include "mia/video/stream_source.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdint>
#include <cstdlib>
#include <string>
#include <vector>

#include "reading.hpp"
#include "y4m.hpp"

namespace mia {
namespace {

using testing::AllOf;
using testing::ElementsAre;
using testing::HasSubstr;

/// A packet of another stream: where it begins and ends in seconds, and its content.
struct Piece {
    int stream;
    double begin, end;
    std::string bytes;
};

struct Content {
    std::vector<VideoFrame> frames;
    std::vector<Piece> pieces;
    VideoInfo info;
};

class StreamPart : public test::ReadingTest {
protected:
    /// Takes packets whenever there are some, as the pipeline does.
    static Content read(const std::filesystem::path& path, VideoReaderConfig config = {}) {
        config.keep_packets = true;
        VideoReader reader(path, config);
        Content content{{}, {}, reader.info()};
        const auto take = [&] {
            for (Packet packet; reader.take_packet(packet); packet = Packet()) {
                const double unit = av_q2d(reader.streams()->streams[packet->stream_index]->time_base);
                content.pieces.push_back(
                    {packet->stream_index, double(packet->pts) * unit, double(packet->pts + packet->duration) * unit,
                     std::string(reinterpret_cast<const char*>(packet->data), std::size_t(packet->size))});
            }
        };
        for (VideoFrame frame; reader.read(frame); take()) content.frames.push_back(frame);
        take();
        return content;
    }

    static void expect_part(const Content& part, const Content& whole, std::size_t from, std::size_t to) {
        ASSERT_EQ(part.frames.size(), to - from);
        const std::int64_t shift = whole.frames[from].pts - whole.frames[0].pts;
        for (std::size_t i = from; i < to; ++i) {
            const VideoFrame &got = part.frames[i - from], &wanted = whole.frames[i];
            EXPECT_EQ(got.pts, wanted.pts - shift) << i;
            EXPECT_EQ(got.duration, wanted.duration) << i;
            EXPECT_TRUE(got.pixels == wanted.pixels) << i;
        }
        const double unit = av_q2d(whole.info.time_base);
        const double begin = double(whole.frames[from].pts) * unit;
        const double end = to < whole.frames.size() ? double(whole.frames[to].pts) * unit : 1e9;
        EXPECT_NEAR(part.info.start_seconds, double(shift) * unit, 1e-9);
        std::size_t next = 0;
        for (const Piece& piece : whole.pieces) {
            if ((from > 0 && piece.begin < begin) || piece.begin >= end) continue;
            ASSERT_LT(next, part.pieces.size());
            EXPECT_TRUE(part.pieces[next].bytes == piece.bytes) << next;
            EXPECT_NEAR(part.pieces[next].begin, piece.begin - double(shift) * unit, 1e-3);
            ++next;
        }
        EXPECT_EQ(next, part.pieces.size());
    }
};

const std::string pictures = "-f lavfi -i testsrc2=size=48x32:rate=10:duration=3 ";
const std::string with_sound = pictures + "-f lavfi -i sine=sample_rate=16000:duration=3 ";

TEST_F(StreamPart, FramesAndSoundOfThePart) {
    MIA_NEEDS_FFMPEG();
    for (const auto& [options, name] :
         {std::pair<std::string, std::string>{"-c:v libx264 -bf 2 -g 12 -c:a aac", "a.mp4"},
          {"-c:v libx264 -bf 2 -g 12 -c:a pcm_s16le", "a.mkv"},
          {"-c:v mpeg2video -c:a mp2", "a.ts"},
          {"-c:v mjpeg -c:a pcm_s16le", "a.avi"}}) {
        SCOPED_TRACE(name);
        const auto path = make(with_sound + options, name);
        const Content whole = read(path);
        ASSERT_EQ(whole.frames.size(), 30u);
        ASSERT_GT(whole.pieces.size(), 5u);
        if (name == "a.mp4") {
            EXPECT_LT(whole.pieces[0].begin, 0);  // the codec's start-up, before the first picture
        }
        expect_part(read(path, {.start = FrameNumber{7}, .end = FrameNumber{19}}), whole, 7, 19);
        expect_part(read(path, {.start = Seconds{0.7}, .end = Seconds{1.9}}), whole, 7, 19);
        expect_part(read(path, {.start = Seconds{1.25}}), whole, 13, 30);
        expect_part(read(path, {.end = FrameNumber{11}}), whole, 0, 11);
        expect_part(read(path, {.start = FrameNumber{29}, .end = Seconds{60}}), whole, 29, 30);
        expect_part(read(path, {.start = Seconds{0}, .end = FrameNumber{30}}), whole, 0, 30);
    }
}

/// A Matroska file with the first stream's packets of one file, then those of another.
void write_one_after_the_other(const std::filesystem::path& first, const std::filesystem::path& second,
                               const std::filesystem::path& to) {
    AVFormatContext* made = nullptr;
    ASSERT_GE(avformat_alloc_output_context2(&made, nullptr, "matroska", to.c_str()), 0);
    const detail::OutputPtr out(made);
    detail::MediaFile video(first, default_max_pixels), sound(second, default_max_pixels);
    for (const auto* file : {&video, &sound}) {
        AVStream* stream = avformat_new_stream(out.get(), nullptr);
        avcodec_parameters_copy(stream->codecpar, file->format().streams[0]->codecpar);
        stream->codecpar->codec_tag = 0;
    }
    ASSERT_GE(avio_open(&out->pb, to.c_str(), AVIO_FLAG_WRITE), 0);
    ASSERT_GE(avformat_write_header(out.get(), nullptr), 0);
    int index = 0;
    for (const auto* file : {&video, &sound}) {
        for (Packet packet; av_read_frame(&file->format(), packet.get()) >= 0; av_packet_unref(packet.get())) {
            if (packet->stream_index != 0) continue;
            packet->stream_index = index;
            av_packet_rescale_ts(packet.get(), file->format().streams[0]->time_base, out->streams[index]->time_base);
            ASSERT_GE(av_write_frame(out.get(), packet.get()), 0);
        }
        ++index;
    }
    ASSERT_GE(av_write_trailer(out.get()), 0);
}

// Sound that lies behind all pictures in the file belongs to the part all the same.
TEST_F(StreamPart, SoundBehindThePictures) {
    MIA_NEEDS_FFMPEG();
    const auto video = make(pictures + "-c:v mpeg4", "v.mkv");
    const auto sound = make(
        pictures + "-f lavfi -i sine=sample_rate=16000:duration=3 -map 1 -map 0 -c:v mpeg4 -c:a pcm_s16le", "a.mkv");
    write_one_after_the_other(video, sound, folder / "late.mkv");
    const Content whole = read(folder / "late.mkv");
    ASSERT_EQ(whole.frames.size(), 30u);
    ASSERT_GT(whole.pieces.size(), 20u);
    expect_part(read(folder / "late.mkv", {.start = FrameNumber{2}, .end = FrameNumber{5}}), whole, 2, 5);
}

TEST_F(StreamPart, VariableFrameRateFromAnOffset) {
    MIA_NEEDS_FFMPEG();
    const auto path = make(
        "-f lavfi -i testsrc2=size=48x32:rate=30 -t 2 -vf \"select='not(mod(n,3))+not(mod(n,7))',setpts=PTS+1.5/TB\" "
        "-fps_mode passthrough -c:v libx264 -bf 3",
        "a.mkv");
    const Content whole = read(path);
    ASSERT_GT(whole.frames[0].pts, 1400);
    // Frames lie at 0, 3, 6, 7, 9, 12, 14, ... thirtieths.
    expect_part(read(path, {.start = Seconds{0.23}, .end = Seconds{0.4}}), whole, 3, 5);
    expect_part(read(path, {.start = FrameNumber{3}, .end = FrameNumber{5}}), whole, 3, 5);
}

TEST_F(StreamPart, SubtitlesOnTheScreenBeginWithThePart) {
    MIA_NEEDS_FFMPEG();
    write_bytes("s.srt",
                "1\n00:00:00,000 --> 00:00:00,400\nover\n\n2\n00:00:00,500 --> 00:00:01,500\nshown\n\n"
                "3\n00:00:01,600 --> 00:00:01,800\ninside\n\n4\n00:00:02,500 --> 00:00:02,900\nlater\n\n");
    const auto path = make(pictures + "-i '" + (folder / "s.srt").string() + "' -c:v mpeg4 -c:s srt", "a.mkv");
    const Content part = read(path, {.start = FrameNumber{10}, .end = FrameNumber{20}});
    ASSERT_EQ(part.pieces.size(), 2u);
    EXPECT_EQ(part.pieces[0].bytes, "shown");
    EXPECT_NEAR(part.pieces[0].begin, 0, 1e-9);
    EXPECT_NEAR(part.pieces[0].end, 0.5, 1e-9);
    EXPECT_EQ(part.pieces[1].bytes, "inside");
    EXPECT_NEAR(part.pieces[1].begin, 0.6, 1e-9);
}

TEST_F(StreamPart, InfoTellsThePart) {
    const auto path = write_bytes("a.y4m", test::y4m("W4 H4 F10:1 C420jpeg", 30, 24));
    const auto info = [&](const VideoReaderConfig& config) { return VideoReader(path, config).info(); };
    EXPECT_EQ(info({}).frame_count, 30);
    EXPECT_EQ(info({}).end_seconds, -1);
    for (const auto& [start, end] : {std::pair<Position, Position>{FrameNumber{7}, FrameNumber{19}},
                                     {Seconds{0.7}, Seconds{1.9}},
                                     {FrameNumber{7}, Seconds{1.9}}}) {
        const VideoInfo part = info({.start = start, .end = end});
        EXPECT_EQ(part.frame_count, 12);
        EXPECT_NEAR(part.seconds, 1.2, 1e-9);
        EXPECT_NEAR(part.start_seconds, 0.7, 1e-9);
        EXPECT_NEAR(part.end_seconds, 1.9, 1e-9);
    }
    EXPECT_EQ(info({.start = FrameNumber{20}, .end = FrameNumber{1000}}).frame_count, 10);
    EXPECT_EQ(info({.end = Seconds{0.01}}).frame_count, 1);
}

TEST_F(StreamPart, WithoutFrames) {
    const auto path = write_bytes("a.y4m", test::y4m("W4 H4 F10:1 C420jpeg", 30, 24));
    EXPECT_THAT(error_of(path, {.start = FrameNumber{30}}),
                AllOf(HasSubstr("a.y4m: the part begins at frame 30, beyond the end"),
                      HasSubstr("the video has 30 frames and lasts 3 s. Let it begin earlier.")));
    EXPECT_THAT(error_of(path, {.start = Seconds{2.95}}), HasSubstr("begins at 2.95 s, beyond the end"));
    EXPECT_THAT(error_of(path, {.start = Seconds{1}, .end = FrameNumber{10}}),
                HasSubstr("from 1 s to frame 10 holds no frame; the one at its start is number 10, at 1 s"));
    EXPECT_THAT(error_of(path, {.start = Seconds{1.01}, .end = Seconds{1.02}}), HasSubstr("holds no frame"));
    EXPECT_THAT(error_of(path, {.start = Seconds{2}, .end = Seconds{1}}), HasSubstr("from 2 s to 1 s is empty"));
    EXPECT_THAT(error_of(path, {.end = FrameNumber{0}}), HasSubstr("holds no frame"));
}

TEST_F(StreamPart, DamageBehindThePartIsNotItsConcern) {
    MIA_NEEDS_FFMPEG();
    auto bytes = bytes_of(make(with_sound + "-c:v ffv1 -slicecrc 1 -level 3 -c:a aac -b:a 16k", "a.mkv"));
    for (std::size_t i = bytes.size() / 2; i < bytes.size() / 2 + 300; ++i) bytes[i] = char(i * 89);
    const auto path = write_bytes("b.mkv", bytes);
    EXPECT_THAT(error_of(path), HasSubstr("cannot be decoded"));
    EXPECT_EQ(read(path, {.end = FrameNumber{8}}).frames.size(), 8u);
}

}  // namespace
}  // namespace mia
