#include "mia/video/video_output.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <cstdlib>
#include <random>
#include <string>
#include <thread>
#include <vector>

#include "output.hpp"

/// libx265 3.5 does not free all that it took.
extern "C" const char* __lsan_default_suppressions() { return "leak:libx265\n"; }

namespace mia {
namespace {

using test::copy_video;
using test::decoding_errors;
using test::frame_of;
using test::info_of;
using test::message_of;
using test::probe;
using test::quick;
using test::resuming;
using testing::AllOf;
using testing::Each;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

class Videos : public test::MediaTest {
protected:
    std::filesystem::path write(const std::string& name, const VideoInfo& info, const VideoWriterConfig& config,
                                std::int64_t frames = 7) const {
        VideoWriter writer(folder / name, info, config);
        test::write_frames(writer, info, 0, frames);
        writer.finish();
        return folder / name;
    }
    /// 60 frames at uneven times, and a tone.
    std::filesystem::path clip(const std::string& name) const {
        return make(
            "-f lavfi -i testsrc2=size=64x48:rate=30 -f lavfi -i sine=440:sample_rate=48000 -t 3 -vf "
            "\"select='not(mod(n,2))+not(mod(n,3))'\" -fps_mode passthrough -c:v libx264 -preset ultrafast -c:a aac",
            name);
    }
};

TEST_F(Videos, ContainersCodecsAndTags) {
    MIA_NEEDS_FFMPEG();
    VideoInfo info = info_of(64, 48);
    info.sample_aspect_ratio = {4, 3};
    for (const std::string name : {"a.mp4", "a.mov", "a.mkv", "a.MKV"}) {
        const auto path = write(name, info, quick());
        EXPECT_EQ(probe(path, "-show_entries stream=codec_name,width,height,sample_aspect_ratio,pix_fmt -of csv=p=0"),
                  "h264,64,48,4:3,yuv420p");
        EXPECT_EQ(
            probe(path, "-show_entries stream=color_range,color_space,color_transfer,color_primaries -of csv=p=0"),
            "tv,bt709,bt709,bt709");
    }
    info.color = {AVCOL_SPC_SMPTE170M, AVCOL_RANGE_JPEG, AVCOL_PRI_SMPTE170M, AVCOL_TRC_SMPTE170M};
    EXPECT_EQ(probe(write("b.mp4", info, quick()),
                    "-show_entries stream=color_range,color_space,color_transfer,color_primaries -of csv=p=0"),
              "pc,smpte170m,smpte170m,smpte170m");
    EXPECT_THAT(names(), ElementsAre("a.MKV", "a.mkv", "a.mov", "a.mp4", "b.mp4"));
}

TEST_F(Videos, EveryCodecPlaysAcrossItsSegments) {
    MIA_NEEDS_FFMPEG();
    struct Case {
        const char *name, *codec, *preset;
        int width, depth;
        const char* wanted;
    };
    const Case cases[] = {{"a.mp4", "", "fast", 128, 8, "h264,avc1,yuv420p"},
                          {"b.mp4", "", "ultrafast", 128, 10, "hevc,hvc1,yuv420p10le"},
                          {"c.mov", "h265", "ultrafast", 127, 8, "hevc,hvc1,yuv444p"},
                          {"d.mkv", "h264", "ultrafast", 127, 10, "h264,[0][0][0][0],yuv444p10le"},
                          {"e.webm", "", "8", 128, 10, "vp9,[0][0][0][0],yuv420p10le"},
                          {"f.mp4", "av1", "12", 128, 8, "av1,av01,yuv420p"},
                          {"g.mkv", "ffv1", "", 127, 12, "ffv1,FFV1,yuv444p12le"},
                          {"h.mov", "prores", "", 128, 8, "prores,apch,yuv422p10le"},
                          {"i.mkv", "mpeg4", "", 128, 8, "mpeg4,[0][0][0][0],yuv420p"},
                          {"j.ts", "", "ultrafast", 128, 8, "h264,[27][0][0][0],yuv420p"}};
    for (const auto& [name, codec, preset, width, depth, wanted] : cases) {
        if (*codec != '\0' && detail::find_encoder(codec) == nullptr) continue;  // not in every build of FFmpeg
        VideoInfo info = info_of(width, 96);
        info.bit_depth = depth;
        VideoWriterConfig config;
        config.codec = codec;
        config.preset = preset;
        const auto path = write(name, info, config, 10);
        EXPECT_EQ(
            probe(path, "-select_streams v:0 -show_entries stream=codec_name,codec_tag_string,pix_fmt -of csv=p=0")
                .substr(0, std::string(wanted).size()),
            wanted)
            << name;
        EXPECT_EQ(decoding_errors(path), "") << name;
        VideoReader reader(path);
        std::vector<std::int64_t> times;
        double worst = 0;
        for (VideoFrame frame; reader.read(frame);) {
            const auto wanted_frame = frame_of(info, std::int64_t(times.size()));
            double sum = 0;
            for (std::size_t i = 0; i < frame.pixels.size(); ++i)
                sum += std::abs(frame.pixels[i] - wanted_frame.pixels[i]);
            worst = std::max(worst, sum / double(frame.pixels.size()));
            times.push_back(av_rescale_q(frame.pts, reader.info().time_base, info.time_base));
        }
        EXPECT_LT(worst, 0.015) << name;  // near lossless
        if (std::string(name) != "j.ts") {
            EXPECT_THAT(times, ElementsAre(0, 1, 2, 3, 4, 5, 6, 7, 8, 9)) << name;
        }
    }
}

TEST_F(Videos, TimeStampsOfAnyShape) {
    MIA_NEEDS_FFMPEG();
    // A late start, gaps of all lengths, and a last frame that stays for a second; chunks of 1, 4 and 4 frames.
    VideoInfo info = info_of(16, 16);
    info.time_base = {1, 90000};
    const std::vector<std::int64_t> times = {45000, 48003, 48004, 60000, 150000, 150900, 151800, 152700, 200000};
    for (const std::string name : {"a.mp4", "a.mov"}) {
        for (const char* preset : {"ultrafast", "medium"}) {
            VideoWriterConfig config = {.preset = preset, .threads = 1};
            config.existing = Existing::overwrite;
            VideoWriter writer(folder / name, info, config);
            for (std::size_t i = 0; i < times.size(); ++i) {
                auto frame = frame_of(info, std::int64_t(i));
                frame.pts = times[i];
                frame.duration = i + 1 < times.size() ? times[i + 1] - times[i] : 90000;
                writer.write(frame);
                if (i % 4 == 0) writer.end_chunk();
            }
            writer.finish();
            VideoReader reader(folder / name);
            ASSERT_EQ(av_cmp_q(reader.info().time_base, info.time_base), 0);
            std::vector<std::int64_t> found;
            for (VideoFrame frame; reader.read(frame);) found.push_back(frame.pts);
            EXPECT_EQ(found, times) << name << ' ' << preset;
            EXPECT_NEAR(std::atof(probe(folder / name, "-show_entries format=duration -of csv=p=0").c_str()),
                        290000. / 90000, 0.001)
                << name << ' ' << preset;
            EXPECT_EQ(decoding_errors(folder / name), "");
        }
    }
}

TEST_F(Videos, WhatBeginsBeforeZeroIsMovedThere) {
    const VideoInfo info = info_of(16, 16);
    for (const std::string name : {"a.mp4", "a.mkv"}) {
        VideoWriter writer(folder / name, info, quick());
        for (std::int64_t i = 0; i < 6; ++i) {
            VideoFrame frame = frame_of(info, i);
            frame.pts = 2 * i - 5;
            frame.duration = 2;
            writer.write(frame);
        }
        writer.finish();
        VideoReader reader(folder / name);
        std::vector<std::int64_t> found;
        for (VideoFrame frame; reader.read(frame);)
            found.push_back(av_rescale_q(frame.pts, reader.info().time_base, info.time_base));
        EXPECT_THAT(found, ElementsAre(0, 2, 4, 6, 8, 10)) << name;
    }
}

TEST_F(Videos, WhatDoesNotFitIsRefusedBeforeAnyWork) {
    const auto open = [&](const std::string& name, const VideoWriterConfig& config, VideoInfo info = info_of(16, 16)) {
        return message_of([&] { VideoWriter(folder / name, info, config); });
    };
    EXPECT_THAT(open("a.mp4", {.codec = "ffv1"}),
                HasSubstr("a mp4 file cannot hold ffv1. Choose another codec, or .mkv"));
    EXPECT_THAT(open("a.mp4", {.codec = "dvix"}), HasSubstr("no video encoder \"dvix\". Use h264, hevc, vp9"));
    EXPECT_THAT(open("a.mp4", {.codec = "aac"}), HasSubstr("no video encoder \"aac\""));
    EXPECT_THAT(open("a.mkv", {.codec = "ffv1", .crf = 3}), HasSubstr("the encoder ffv1 has no crf"));
    EXPECT_THAT(open("a.mkv", {.codec = "ffv1", .preset = "slow"}), HasSubstr("the encoder ffv1 has no presets"));
    EXPECT_THAT(open("a.mp4", {.preset = "warp"}),
                HasSubstr("the encoder libx264 has no preset \"warp\". Use ultrafast"));
    EXPECT_THAT(open("a.mp4", {.pixel_format = "rgb99"}), HasSubstr("cannot be given the pixel format \"rgb99\""));
    EXPECT_THAT(open("a.mp4", {.pixel_format = "yuv420p"}, info_of(15, 16)), HasSubstr("needs an even size"));
    EXPECT_THAT(open("a.mp4", {.bit_depth = 7}), HasSubstr("bit depth is to be 7. Use 8 to 16"));
    EXPECT_THAT(open("a.mp4", {.encoder_options = {{"speed", "9"}}}), HasSubstr("libx264 has no option \"speed\""));
    EXPECT_THAT(names(), IsEmpty());
}

TEST_F(Videos, EncoderOptionsArrive) {
    MIA_NEEDS_FFMPEG();
    VideoWriterConfig config = quick();
    config.encoder_options = {{"x264-params", "keyint=2"}};
    const auto path = write("a.mp4", info_of(16, 16), config, 6);
    const auto keys = probe(path, "-show_entries packet=flags -of csv=p=0");
    EXPECT_EQ(std::count(keys.begin(), keys.end(), 'K'), 4) << keys;  // frames 0 and 2, 3 and 5
    VideoWriterConfig hevc = {.codec = "hevc", .preset = "ultrafast", .encoder_options = {{"x265-params", "keyint=2"}}};
    if (detail::find_encoder("hevc") == nullptr) return;
    const auto more = probe(write("b.mp4", info_of(64, 64), hevc, 6), "-show_entries packet=flags -of csv=p=0");
    EXPECT_EQ(std::count(more.begin(), more.end(), 'K'), 4) << more;
}

TEST_F(Videos, SameBytesAgainAndAfterAResume) {
    VideoInfo info = info_of(64, 48);
    for (const std::string extension : {".mp4", ".mkv", ".webm"}) {
        VideoWriterConfig config;
        if (extension != ".webm") config.preset = "fast";  // with B frames and threads
        const std::string once = bytes_of(write("once" + extension, info, config, 11));
        EXPECT_EQ(bytes_of(write("again" + extension, info, config, 11)) == once, true) << extension;
        config.unfinished = Unfinished::resume;
        for (const std::int64_t stop : {4, 6, 7, 8, 11, 11}) {
            VideoWriter writer(folder / ("resumed" + extension), info, config);
            EXPECT_LE(writer.frames_done(), stop);
            test::write_frames(writer, info, writer.frames_done(), stop);
        }
        VideoWriter writer(folder / ("resumed" + extension), info, config);
        EXPECT_EQ(writer.frames_done(), 9);
        test::write_frames(writer, info, 9, 11);
        writer.finish();
        EXPECT_EQ(bytes_of(folder / ("resumed" + extension)) == once, true) << extension;
    }
}

TEST_F(Videos, AResumedRunHasToBeTheSame) {
    const auto in = write_bytes("in", "the input");
    VideoInfo info = info_of(16, 16);
    info.path = in;
    VideoWriterConfig config = quick();
    config.identity = {{"model", "small"}, {"weights", "1234"}};
    {
        VideoWriter writer(folder / "a.mp4", info, config);
        test::write_frames(writer, info, 0, 3);
    }
    config.unfinished = Unfinished::resume;
    const auto refused = [&](const VideoInfo& with, const VideoWriterConfig& by) {
        return message_of([&] { VideoWriter(folder / "a.mp4", with, by); });
    };
    EXPECT_EQ(refused(info, config), "no error");
    auto other = config;
    other.identity["weights"] = "5678";
    EXPECT_THAT(refused(info, other), HasSubstr("\n  weights: was 1234, is 5678\n"));
    other = config;
    other.crf = 20;
    other.threads = 2;
    EXPECT_THAT(refused(info, other),
                AllOf(HasSubstr("\n  crf: was default, is 20\n"), HasSubstr("\n  encoder threads: was 1, is 2\n")));
    auto larger = info;
    larger.width = 32;
    EXPECT_THAT(refused(larger, config), HasSubstr("\n  output size: was 16 x 16, is 32 x 16\n"));
    write_bytes("in", "the Input");
    EXPECT_THAT(refused(info, config), AllOf(HasSubstr("\n  input modified: was "), HasSubstr("\n  input hash: was ")));
    EXPECT_EQ(VideoWriter(folder / "a.mp4", info,
                          [&] {
                              auto again = config;
                              again.unfinished = Unfinished::restart;
                              return again;
                          }())
                  .frames_done(),
              0);
}

TEST_F(Videos, NoSpace) {
    const VideoInfo info = info_of(64, 64);
    VideoWriterConfig config;
    config.codec = "ffv1";
    const std::string once = bytes_of(write("once.mkv", info, config, 12));
    config.unfinished = Unfinished::resume;
    rlimit before = {};
    getrlimit(RLIMIT_FSIZE, &before);
    const auto handler = signal(SIGXFSZ, SIG_IGN);
    // A third of all 12 frames: a chunk of 3 of them fits, and one of 6 does not.
    const rlimit small = {once.size() / 3, before.rlim_max};
    setrlimit(RLIMIT_FSIZE, &small);
    std::vector<std::string> messages;
    messages.push_back(message_of([&] {
        VideoWriter writer(folder / "a.mkv", info, config);
        test::write_frames(writer, info, 0, 6);
        for (std::int64_t i = 6; i < 12; ++i) writer.write(frame_of(info, i));
        writer.end_chunk();
    }));
    messages.push_back(message_of([&] {
        VideoWriter writer(folder / "a.mkv", info, config);
        EXPECT_EQ(writer.frames_done(), 6);
        test::write_frames(writer, info, 6, 12);
        writer.finish();
    }));
    setrlimit(RLIMIT_FSIZE, &before);
    signal(SIGXFSZ, handler);
    EXPECT_THAT(messages, Each(HasSubstr("cannot be written (File too large). Free some space")));
    EXPECT_THAT(names(), ElementsAre("a.mkv.partial", "once.mkv"));
    VideoWriter writer(folder / "a.mkv", info, config);
    EXPECT_EQ(writer.frames_done(), 12);  // all that was left to do is to join them
    writer.finish();
    EXPECT_EQ(bytes_of(folder / "a.mkv") == once, true);
}

TEST_F(Videos, DamagedChunksAreMadeAgain) {
    const VideoInfo info = info_of(32, 32);
    const std::string once = bytes_of(write("once.mp4", info, quick(), 9));
    {
        VideoWriter writer(folder / "a.mp4", info, quick());
        test::write_frames(writer, info, 0, 9);
    }
    const auto chunk = folder / "a.mp4.partial" / "chunk_000001.packets";
    std::filesystem::resize_file(chunk, std::filesystem::file_size(chunk) / 2);
    VideoWriter writer(folder / "a.mp4", info, resuming());
    EXPECT_EQ(writer.frames_done(), 3);
    EXPECT_THAT(writer.note(), HasSubstr("3 of its 9 frames are kept"));
    test::write_frames(writer, info, 3, 9);
    writer.finish();
    EXPECT_EQ(bytes_of(folder / "a.mp4") == once, true);
}

/// Runs in a process of its own, which is killed.
TEST_F(Videos, DISABLED_CopySlowly) {
    const char *in = std::getenv("MIA_TEST_IN"), *out = std::getenv("MIA_TEST_OUT");
    ASSERT_TRUE(in != nullptr && out != nullptr);
    copy_video(in, out, resuming(), {}, 4,
               [](std::int64_t) { std::this_thread::sleep_for(std::chrono::milliseconds(2)); });
}

pid_t start_copy(const std::filesystem::path& in, const std::filesystem::path& out) {
    const pid_t child = fork();
    if (child != 0) return child;
    setenv("MIA_TEST_IN", in.c_str(), 1);
    setenv("MIA_TEST_OUT", out.c_str(), 1);
    execl("/proc/self/exe", "mia_test", "--gtest_filter=Videos.DISABLED_CopySlowly", "--gtest_also_run_disabled_tests",
          "--gtest_brief=1", nullptr);
    _exit(127);
}

TEST_F(Videos, KilledAtAnyMoment) {
    MIA_NEEDS_FFMPEG();
    std::mt19937 random(7);
    for (const std::string extension : {".mp4", ""}) {
        const auto in = clip("in.mp4"), out = folder / ("out" + extension);
        const auto begin = std::chrono::steady_clock::now();
        copy_video(in, folder / ("once" + extension), quick());
        const auto content = [&](const std::string& name) {
            if (!extension.empty()) return bytes_of(folder / (name + extension));
            std::string all;
            for (const auto& image : names(name)) all += image + bytes_of(folder / name / image);
            return all;
        };
        const std::string once = content("once");
        int killed = 0, left_something = 0, finished = 0;
        std::chrono::duration<double> whole_run{};  // as long as this machine takes now
        while (killed < 10 || finished < 2) {
            const auto start = std::chrono::steady_clock::now();
            const pid_t child = start_copy(in, out);
            // The first and the last run are left alone, the others killed at any moment, from the start of the process
            // to the removal of the last file.
            const bool patient = finished == 0 || killed >= 10;
            if (!patient) std::this_thread::sleep_for(whole_run * std::uniform_real_distribution<>(0.02, 1.1)(random));
            int status = 0;
            if (!patient) kill(child, SIGKILL);
            ASSERT_EQ(waitpid(child, &status, 0), child);
            if (finished == 0) whole_run = std::chrono::steady_clock::now() - start;
            if (WIFSIGNALED(status)) {
                ++killed;
                left_something += std::filesystem::exists(out.string() + ".partial/manifest.json");
            }
            if (!std::filesystem::exists(out)) {
                ASSERT_TRUE(WIFSIGNALED(status)) << "the copy failed with " << status;
                continue;
            }
            ++finished;
            ASSERT_EQ(content("out") == once, true) << "after " << killed << " kills";
            std::filesystem::remove_all(out);
            if (WIFSIGNALED(status)) continue;  // between the output's name and the end of the process
            EXPECT_FALSE(std::filesystem::exists(out.string() + ".partial"));
        }
        EXPECT_GT(left_something, 0);
        std::printf("%d kills, %d of them left chunks, %d runs came to their end, %.1f s\n", killed, left_something,
                    finished, std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count());
    }
}

}  // namespace
}  // namespace mia
