#include "mia/video/pipeline.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <cmath>
#include <cstdint>
#include <functional>
#include <stop_token>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "media.hpp"
#include "mia/video/reader.hpp"
#include "mia/video/writer.hpp"

namespace mia {
namespace {

using test::message_of;
using test::Repeat;
using testing::HasSubstr;

static_assert(FrameSource<VideoReader> && FrameSink<VideoWriter>);

/// 4 x 3 frames of level 1/(n+1) at time n*n, with one packet after each third of them.
struct FakeSource {
    int frames = 0;
    std::function<void(int)> before_frame = {};
    int count = 0;
    bool packet_is_due = false;

    bool read(VideoFrame& frame) {
        if (before_frame) before_frame(count);
        if (count == frames) return false;
        frame.resize(3, 4);
        std::fill(frame.pixels.begin(), frame.pixels.end(), 1 / float(count + 1));
        frame.pts = std::int64_t(count) * count;
        frame.duration = 7;
        frame.name = "f" + std::to_string(count);
        packet_is_due = ++count % 3 == 0;
        return true;
    }
    bool take_packet(Packet& packet) {
        packet->pts = count;
        return std::exchange(packet_is_due, false);
    }
};

struct FakeSink {
    std::function<void(int)> before_frame = {};
    std::vector<VideoFrame> frames = {};
    std::int64_t done = 0;
    std::vector<std::int64_t> packets = {};
    std::vector<std::size_t> chunks = {};  ///< frames at the end of each
    bool finished = false;

    std::int64_t frames_done() const { return done; }
    void write(const VideoFrame& frame) {
        if (before_frame) before_frame(int(frames.size()));
        frames.push_back(frame);
    }
    void write(Packet& packet) { packets.push_back(packet->pts); }
    void end_chunk() { chunks.push_back(frames.size()); }
    void finish() { finished = true; }
};

SessionConfig chunks(int chunk, int context) {
    return {.chunk_frames = chunk, .context_frames = context, .scenes = {.detect = false}};
}

TEST(Pipeline, FramesTimesNamesAndPacketsArriveInOrder) {
    for (const int count : {1, 2, 7, 20, 41}) {
        FakeSource source{count};
        FakeSink sink;
        Repeat model(2);
        std::vector<std::int64_t> done;
        PipelineConfig config;
        config.session = chunks(4, 2);
        config.frames_total = count;
        const auto caller = std::this_thread::get_id();
        config.on_progress = [&](const Progress& progress) {
            EXPECT_EQ(std::this_thread::get_id(), caller);
            EXPECT_EQ(progress.frames_total, count);
            EXPECT_GE(progress.frames_computed, double(progress.frames_done));
            if (!done.empty()) {
                EXPECT_GT(progress.frames_per_second, 0);
                EXPECT_GE(progress.seconds_left, 0);
            }
            done.push_back(progress.frames_done);
        };
        const PipelineResult result = run_pipeline(source, model, sink, config);
        EXPECT_EQ(result.frames, count);
        EXPECT_EQ(result.scenes, 1);
        EXPECT_GE(result.seconds, 0);
        EXPECT_EQ(sink.chunks.size(), std::size_t(count <= 6 ? 1 : (count - 3) / 4 + 1)) << count;
        EXPECT_EQ(sink.chunks.back(), std::size_t(count));
        EXPECT_TRUE(sink.finished);
        ASSERT_EQ(sink.frames.size(), std::size_t(count));
        for (int i = 0; i < count; ++i) {
            const auto& frame = sink.frames[std::size_t(i)];
            EXPECT_EQ(frame.height, 6);
            EXPECT_EQ(frame.width, 8);
            EXPECT_EQ(frame.pixels, std::vector<float>(6 * 8 * 3, 1 / float(i + 1)));
            EXPECT_EQ(frame.pts, std::int64_t(i) * i);
            EXPECT_EQ(frame.duration, 7);
            EXPECT_EQ(frame.name, "f" + std::to_string(i));
            EXPECT_EQ(done[std::size_t(i)], i + 1);
        }
        ASSERT_EQ(sink.packets.size(), std::size_t(count / 3));
        for (std::size_t i = 0; i < sink.packets.size(); ++i) EXPECT_EQ(sink.packets[i], std::int64_t(3 * i + 3));
    }
}

struct Fails {
    int at;
    const char* message;
    void operator()(int frame) const { require(frame != at, message); }
};

TEST(Pipeline, ErrorsOfEveryStageEndIt) {
    for (const int at : {0, 1, 30, 99}) {
        PipelineConfig config;
        config.session = chunks(4, 2);
        Repeat model(2);
        {
            FakeSource source{100, Fails{at, "decoding broke"}};
            FakeSink sink;
            EXPECT_EQ(message_of([&] { run_pipeline(source, model, sink, config); }), "decoding broke");
            EXPECT_FALSE(sink.finished);
        }
        {
            FakeSource source{100};
            FakeSink sink{Fails{at, "encoding broke"}};
            EXPECT_EQ(message_of([&] { run_pipeline(source, model, sink, config); }), "encoding broke");
            EXPECT_FALSE(sink.finished);
        }
        {
            FakeSource source{100};
            FakeSink sink;
            config.on_progress = [&](const Progress& progress) {
                require(progress.frames_done != at + 1, "the caller had enough");
            };
            EXPECT_EQ(message_of([&] { run_pipeline(source, model, sink, config); }), "the caller had enough");
            EXPECT_FALSE(sink.finished);
        }
    }
}

TEST(Pipeline, FramesWithoutNumbersEndIt) {
    FakeSource source{10, [](int) {}};
    FakeSink sink;
    struct Broken : Repeat {
        using Repeat::Repeat;
        void next(View<float, 3> out) override {
            Repeat::next(out);
            out(0, 0, 0) = std::nanf("");
        }
    } model(2);
    EXPECT_THAT(message_of([&] { run_pipeline(source, model, sink); }), HasSubstr("in the model's output at frame 0"));
}

TEST(Pipeline, GoesOnAfterWhatTheSinkHas) {
    FakeSource source{20}, again{20};
    FakeSink whole, rest;
    Repeat model(2);
    PipelineConfig config;
    config.session = chunks(4, 2);
    run_pipeline(source, model, whole, config);
    ASSERT_THAT(whole.chunks, testing::ElementsAre(4, 8, 12, 16, 20));
    rest.done = 8;
    std::vector<double> rates;
    config.on_progress = [&](const Progress& progress) {
        EXPECT_GT(progress.frames_done, 8);
        rates.push_back(progress.frames_per_second);
    };
    const PipelineResult result = run_pipeline(again, model, rest, config);
    EXPECT_EQ(result.frames_kept, 8);
    EXPECT_EQ(result.frames, 12);
    EXPECT_EQ(rest.packets, whole.packets);  // the sink knows which of them it has
    EXPECT_THAT(rest.chunks, testing::ElementsAre(4, 8, 12));
    ASSERT_EQ(rest.frames.size(), 12u);
    for (std::size_t i = 0; i < 12; ++i) {
        EXPECT_EQ(rest.frames[i].pixels, whole.frames[8 + i].pixels);
        EXPECT_EQ(rest.frames[i].pts, whole.frames[8 + i].pts);
        EXPECT_EQ(rest.frames[i].name, whole.frames[8 + i].name);
    }
    rest.done = 7;
    FakeSource third{20};
    EXPECT_THAT(message_of([&] { run_pipeline(third, model, rest, config); }),
                HasSubstr("frame 7 is not where a chunk begins"));
}

TEST(Pipeline, AStopInTheMiddleOfAChunkIsNoticed) {
    struct Slow : Repeat {
        using Repeat::Repeat;
        std::stop_source* stop = nullptr;
        int steps = 0;
        void begin(View<const float, 4> clip, int first, int results, ModelObserver* observer) override {
            for (steps = 0; steps < 100; ++steps) {
                if (steps == 40) stop->request_stop();
                observer->progress(steps / 100.0);
            }
            Repeat::begin(clip, first, results, observer);
        }
    } model(2);
    static std::stop_source stop;
    model.stop = &stop;
    FakeSource source{50};
    FakeSink sink;
    PipelineConfig config;
    config.session = chunks(4, 2);
    config.stop = stop.get_token();
    EXPECT_THROW(run_pipeline(source, model, sink, config), Cancelled);
    EXPECT_EQ(model.steps, 40);
    EXPECT_TRUE(sink.chunks.empty());
}

TEST(Pipeline, ProgressGoesOnInsideAChunk) {
    struct Steady : Repeat {
        using Repeat::Repeat;
        void begin(View<const float, 4> clip, int first, int results, ModelObserver* observer) override {
            for (int i = 0; i <= 4; ++i) observer->progress(i / 4.0);
            Repeat::begin(clip, first, results, observer);
        }
    } model(2);
    FakeSource source{8};
    FakeSink sink;
    PipelineConfig config;
    config.session = chunks(4, 2);
    config.frames_total = 8;
    std::vector<double> computed;
    config.on_progress = [&](const Progress& progress) {
        if (computed.empty() || computed.back() != progress.frames_computed)
            computed.push_back(progress.frames_computed);
    };
    run_pipeline(source, model, sink, config);
    EXPECT_THAT(computed, testing::ElementsAre(0, 1, 2, 3, 4, 5, 6, 7, 8));
}

TEST(Pipeline, StopsWhenAsked) {
    for (const int at : {0, 5, 50}) {
        std::stop_source stop;
        FakeSource source{1000};
        FakeSink sink;
        Repeat model(2);
        PipelineConfig config;
        config.session = chunks(4, 2);
        config.stop = stop.get_token();
        if (at == 0) stop.request_stop();
        config.on_progress = [&](const Progress& progress) {
            if (progress.frames_done == at) stop.request_stop();
        };
        EXPECT_THROW(run_pipeline(source, model, sink, config), Cancelled);
        EXPECT_FALSE(sink.finished);
        EXPECT_LE(sink.frames.size(), std::size_t(at));
    }
}

TEST(Pipeline, StopsFromAnotherThreadWhileItWaits) {
    FakeSource source{1000000};
    FakeSink sink{[](int) { std::this_thread::sleep_for(std::chrono::milliseconds(1)); }};
    Repeat model(2);
    static std::stop_source stop;  // static: g++ 12 with sanitizers takes a local one for uninitialised
    PipelineConfig config;
    config.stop = stop.get_token();
    std::jthread other([&] {
        std::this_thread::sleep_for(std::chrono::milliseconds(50));
        stop.request_stop();
    });
    EXPECT_THROW(run_pipeline(source, model, sink, config), Cancelled);
}

TEST(Pipeline, StagesOverlapInBoundedQueues) {
    std::atomic<int> read = 0, written = 0, most_ahead = 0;
    FakeSource source{200, [&](int) { most_ahead = std::max(most_ahead.load(), ++read - written.load()); }};
    FakeSink sink{[&](int frame) {
        // While the first result is being written, the session has had its 6 frames, and the queue and the hands of the
        // decoder hold 3 more. One after the other they would never get there.
        const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(30);
        while (frame == 0 && read < 9 && std::chrono::steady_clock::now() < deadline) std::this_thread::yield();
        if (frame == 0) {
            EXPECT_EQ(read.load(), 9);
        }
        ++written;
    }};
    Repeat model(2);
    PipelineConfig config;
    config.session = chunks(4, 2);
    config.queued_frames = 2;
    run_pipeline(source, model, sink, config);
    // At most 8 in the session's window and 4 of its results on the way out, 2 in each queue, one in each stage's
    // hands.
    EXPECT_LE(most_ahead.load(), 8 + 4 + 2 * 2 + 3);
}

class PipelineOfFiles : public test::MediaTest {
protected:
    std::int64_t upscale(const std::filesystem::path& in, const std::string& out, int scale,
                         const VideoWriterConfig& writing = {.preset = "ultrafast", .threads = 1}) const {
        VideoReader reader(in, {.keep_packets = true});
        Repeat model(scale);
        VideoInfo info = reader.info();
        info.width *= scale;
        info.height *= scale;
        VideoWriter writer(folder / out, info, writing, reader.streams());
        PipelineConfig config;
        config.session = chunks(4, 2);
        const PipelineResult result = run_pipeline(reader, model, writer, config);
        left_out = writer.left_out();
        return result.frames;
    }
    static std::string frame_times(const std::filesystem::path& path) {
        std::string times;
        VideoReader reader(path);
        for (VideoFrame frame; reader.read(frame);) times += std::to_string(frame.pts) + ' ';
        return times + text("of ", reader.info().time_base.num, "/", reader.info().time_base.den);
    }
    /// Time, size and checksum of every packet of the streams named, as ffmpeg sees them.
    static std::string packets_of(const std::filesystem::path& path, const std::string& streams) {
        const auto lines = test::output_of("ffmpeg -v error -i '" + path.string() + "' -map 0:" + streams +
                                           " -c copy -f framemd5 - </dev/null");
        EXPECT_GT(lines.size(), 100u);
        std::string packets;  // FFmpeg's muxer adds its font table to the header of MP4 subtitles
        std::istringstream all(lines);
        for (std::string line; std::getline(all, line);)
            if (!line.starts_with("#extradata")) packets += line + '\n';
        return packets;
    }
    static std::string probe(const std::filesystem::path& path, const std::string& what) {
        return test::output_of("ffprobe -v error " + what + " -of compact '" + path.string() + "'");
    }
    /// 13 frames at uneven times and a tone.
    std::filesystem::path uneven_clip(const std::string& name, const std::string& options = "") const {
        return make(
            "-f lavfi -i testsrc2=size=64x48:rate=30 -f lavfi -i sine=440:sample_rate=48000 -t 1 -vf "
            "\"select='not(mod(n,3))+not(mod(n,7))'\" -fps_mode passthrough -c:v libx264 -bf 2 -pix_fmt yuv420p "
            "-colorspace bt709 -color_primaries bt709 -color_trc bt709 -color_range tv -c:a aac " +
                options,
            name);
    }
    mutable std::vector<std::string> left_out;
};

TEST_F(PipelineOfFiles, TimeStampsAndSoundAreKept) {
    MIA_NEEDS_FFMPEG();
    for (const auto& [from, to] :
         {std::pair<std::string, std::string>{"in.mp4", "out.mp4"}, {"in.mp4", "out.mov"}, {"in.mkv", "out.mkv"}}) {
        const auto in = uneven_clip(from);
        EXPECT_EQ(upscale(in, to, 2), 13);
        EXPECT_EQ(frame_times(folder / to), frame_times(in)) << to;
        EXPECT_EQ(packets_of(folder / to, "a"), packets_of(in, "a")) << to;
        const std::string tags =
            "-select_streams v -show_entries stream=color_range,color_space,color_transfer,"
            "color_primaries,chroma_location,sample_aspect_ratio,start_time";
        EXPECT_EQ(probe(folder / to, tags), probe(in, tags)) << to;
        const VideoInfo info = VideoReader(folder / to).info();
        EXPECT_EQ(info.width, 128);
        EXPECT_EQ(info.height, 96);
        EXPECT_NEAR(info.seconds, VideoReader(in).info().seconds, 0.005) << to;
    }
}

TEST_F(PipelineOfFiles, FromOneContainerToAnother) {
    MIA_NEEDS_FFMPEG();
    const auto in = uneven_clip("in.mkv");
    EXPECT_EQ(upscale(in, "out.mp4", 2), 13);
    // Matroska's milliseconds are whole units of the finer time base of MP4.
    std::string wanted;
    VideoReader reader(in), written(folder / "out.mp4");
    for (VideoFrame a, b; reader.read(a);) {
        ASSERT_TRUE(written.read(b));
        EXPECT_EQ(av_compare_ts(a.pts, reader.info().time_base, b.pts, written.info().time_base), 0);
    }
    EXPECT_EQ(upscale(folder / "out.mp4", "back.mkv", 2), 13);
    EXPECT_EQ(frame_times(folder / "back.mkv"), frame_times(in));
}

TEST_F(PipelineOfFiles, SubtitlesChaptersAndMetadata) {
    MIA_NEEDS_FFMPEG();
    const auto words = write_bytes("words.srt",
                                   "1\n00:00:00,100 --> 00:00:00,500\nGood morning.\n\n"
                                   "2\n00:00:00,600 --> 00:00:00,900\nGood night.\n");
    const auto notes = write_bytes("notes.txt",
                                   ";FFMETADATA1\ntitle=A film\nartist=Somebody\n"
                                   "[CHAPTER]\nTIMEBASE=1/1000\nSTART=0\nEND=500\ntitle=One\n"
                                   "[CHAPTER]\nTIMEBASE=1/1000\nSTART=500\nEND=1000\ntitle=Two\n");
    for (const std::string container : {"mkv", "mp4"}) {
        const auto in =
            make("-i '" + uneven_clip("clip.mkv").string() + "' -i '" + words.string() + "' -i '" + notes.string() +
                     "' -map 0 -map 1 -map_metadata 2 -map_chapters 2 -metadata:s:a:0 "
                     "language=ger -metadata:s:v:0 rotate=90 -c copy -c:s " +
                     (container == "mkv" ? "srt" : "mov_text"),
                 "in." + container);
        const std::string out = "out." + container;
        EXPECT_EQ(upscale(in, out, 2), 13);
        EXPECT_EQ(packets_of(folder / out, "s"), packets_of(in, "s"));
        EXPECT_EQ(packets_of(folder / out, "a"), packets_of(in, "a"));
        const std::string chapters = "-show_entries chapter=start,end,time_base:chapter_tags=title";
        EXPECT_EQ(probe(folder / out, chapters), probe(in, chapters));
        const std::string tags = "-show_entries format_tags=title,artist:stream_tags=language";
        EXPECT_EQ(probe(folder / out, tags), probe(in, tags));
        EXPECT_TRUE(left_out.empty()) << left_out[0];
    }
    // SubRip does not fit into MP4: the rest goes on without it where that is asked for, and it is said.
    EXPECT_EQ(upscale(folder / "in.mkv", "less.mp4", 2, {.preset = "ultrafast", .threads = 1, .drop_streams = true}),
              13);
    EXPECT_THAT(left_out, testing::ElementsAre("stream 2, subtitle (subrip)"));
}

TEST_F(PipelineOfFiles, RotationIsKept) {
    MIA_NEEDS_FFMPEG();
    const auto upright = uneven_clip("upright.mp4");
    const auto in = make("-i '" + upright.string() + "' -c copy -metadata:s:v:0 rotate=90", "in.mp4");
    upscale(in, "out.mp4", 2);
    const std::string entry = "-select_streams v -show_entries stream_side_data=rotation";
    ASSERT_THAT(probe(in, entry), HasSubstr("90"));
    EXPECT_EQ(probe(folder / "out.mp4", entry), probe(in, entry));
}

TEST_F(PipelineOfFiles, ThreeTimesAnOddSize) {
    MIA_NEEDS_FFMPEG();
    const auto in = make("-f lavfi -i testsrc=size=33x21:rate=10 -t 0.5 -c:v ffv1 -pix_fmt yuv420p", "in.mkv");
    EXPECT_EQ(upscale(in, "out.mp4", 3), 5);
    const VideoInfo info = VideoReader(folder / "out.mp4").info();
    EXPECT_EQ(info.width, 99);
    EXPECT_EQ(info.height, 63);
    EXPECT_EQ(info.pixel_format, AV_PIX_FMT_YUV444P);
    EXPECT_EQ(info.color.matrix, AVCOL_SPC_SMPTE170M);  // guessed for the small input, so stated for the large output
}

TEST_F(PipelineOfFiles, FolderToFolderKeepsNamesAndPixels) {
    MIA_NEEDS_FFMPEG();
    std::filesystem::create_directory(folder / "in");
    make("-f lavfi -i testsrc2=size=32x24:rate=10 -t 1.2 -start_number 3 -pix_fmt rgb24", "in/shot_%d.png");
    EXPECT_EQ(upscale(folder / "in", "out", 2), 12);
    EXPECT_EQ(names("out"), names("in"));
    VideoReader in(folder / "in"), out(folder / "out");
    for (VideoFrame a, b; in.read(a);) {
        ASSERT_TRUE(out.read(b));
        for (int y = 0; y < b.height; ++y)
            for (int x = 0; x < b.width; ++x)
                for (int c = 0; c < 3; ++c)
                    ASSERT_EQ(b.view()(y, x, c), a.view()(y / 2, x / 2, c))
                        << a.name << " row " << y << " column " << x << " channel " << c;
    }
}

TEST_F(PipelineOfFiles, FolderToVideoAndVideoToFolder) {
    MIA_NEEDS_FFMPEG();
    const auto in = uneven_clip("in.mp4");
    EXPECT_EQ(upscale(in, "images", 2), 13);
    EXPECT_EQ(names("images").front(), "000001.png");
    EXPECT_EQ(names("images").size(), 13u);
    EXPECT_EQ(upscale(folder / "images", "out.mp4", 2), 13);
    EXPECT_NEAR(VideoReader(folder / "out.mp4").info().seconds, 13 / 25., 1e-6);
}

TEST_F(PipelineOfFiles, DamagedInputMakesNoOutput) {
    MIA_NEEDS_FFMPEG();
    const auto whole = uneven_clip("whole.ts");
    auto bytes = bytes_of(whole);
    for (std::size_t i = bytes.size() / 2; i < bytes.size() / 2 + 3000; ++i) bytes[i] = char(i * 89);
    const auto in = write_bytes("in.ts", bytes);
    EXPECT_THAT(message_of([&] { upscale(in, "out.mp4", 2); }), HasSubstr("cannot be decoded"));
    EXPECT_FALSE(std::filesystem::exists(folder / "out.mp4"));
    EXPECT_EQ(message_of([&] { upscale(in, "in.ts", 2); }),
              (folder / "in.ts").string() + ": the output is the input. Choose another name for the output.");
}

}  // namespace
}  // namespace mia
