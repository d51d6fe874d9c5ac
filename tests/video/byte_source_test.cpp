#include "mia/video/byte_source.hpp"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <csignal>
#include <string>
#include <thread>

#include "reading.hpp"
#include "y4m.hpp"

namespace mia {
namespace {

using test::message_of;
using test::y4m;
using testing::AllOf;
using testing::HasSubstr;

/// A named pipe into which a thread writes those bytes, until nobody reads any more.
class FedPipe {
public:
    FedPipe(std::filesystem::path path, std::string bytes) : path_(std::move(path)), bytes_(std::move(bytes)) {
        std::signal(SIGPIPE, SIG_IGN);
        EXPECT_EQ(mkfifo(path_.c_str(), 0600), 0);
        writer_ = std::thread([this] {
            const int file = open(path_.c_str(), O_WRONLY | O_CLOEXEC);
            std::string_view rest = bytes_;
            for (ssize_t n = 0;
                 !rest.empty() && (n = ::write(file, rest.data(), std::min<std::size_t>(rest.size(), 1000))) > 0;)
                rest.remove_prefix(std::size_t(n));
            close(file);
        });
    }
    ~FedPipe() {
        writer_.join();
        std::filesystem::remove(path_);
    }
    const std::filesystem::path& path() const { return path_; }

private:
    std::filesystem::path path_;
    std::string bytes_;
    std::thread writer_;
};

/// Standard input comes from that file while this lives.
class StandardInput {
public:
    explicit StandardInput(const std::filesystem::path& path) : saved_(dup(STDIN_FILENO)) {
        const int file = open(path.c_str(), O_RDONLY | O_CLOEXEC);
        EXPECT_GE(dup2(file, STDIN_FILENO), 0);
        close(file);
    }
    ~StandardInput() {
        dup2(saved_, STDIN_FILENO);
        close(saved_);
    }

private:
    int saved_;
};

class Bytes : public test::ReadingTest {};

void expect_same(const std::vector<VideoFrame>& a, const std::vector<VideoFrame>& b) {
    ASSERT_EQ(a.size(), b.size());
    for (std::size_t i = 0; i < a.size(); ++i) {
        EXPECT_EQ(a[i].pts, b[i].pts) << i;
        EXPECT_EQ(a[i].duration, b[i].duration) << i;
        EXPECT_TRUE(a[i].pixels == b[i].pixels) << i;
    }
}

TEST_F(Bytes, APipeGivesWhatTheFileGives) {
    MIA_NEEDS_FFMPEG();
    const std::string picture = "-f lavfi -i testsrc2=size=64x48:rate=10 -t 1 ";
    for (const auto& [options, name] : {std::pair<std::string, std::string>{"-pix_fmt yuv420p", "a.y4m"},
                                        {"-c:v libx264 -bf 2", "a.mkv"},
                                        {"-c:v libx264 -bf 2", "a.ts"},
                                        {"-c:v ffv1", "a.nut"},
                                        {"-c:v libx264 -movflags +faststart", "a.mp4"},
                                        {"-c:v libx264 -movflags +frag_keyframe+empty_moov", "b.mp4"}}) {
        const auto file = make(picture + options, name);
        const auto frames = all(file);
        EXPECT_EQ(frames.size(), 10u);
        {
            SCOPED_TRACE(name + " through a named pipe");
            const FedPipe pipe(folder / "pipe", bytes_of(file));
            expect_same(all(pipe.path()), frames);
        }
        {
            SCOPED_TRACE(name + " through a pipe to standard input");
            const FedPipe pipe(folder / "pipe", bytes_of(file));
            const StandardInput input(pipe.path());
            expect_same(all("-"), frames);
        }
        {
            SCOPED_TRACE(name + " as standard input");
            const StandardInput input(file);
            expect_same(all("-"), frames);
        }
    }
}

TEST_F(Bytes, KindOfSource) {
    const std::string bytes = y4m("W4 H4 F25:1 C420jpeg", 3, 24);
    const auto file = write_bytes("a.y4m", bytes);
    EXPECT_EQ(VideoReader(file).info().kind, SourceKind::file);
    EXPECT_EQ(VideoReader(file).info().frame_count, 3);
    const StandardInput input(file);
    EXPECT_EQ(VideoReader("-").info().kind, SourceKind::pipe);
    const FedPipe pipe(folder / "pipe", bytes);
    const VideoReader reader(pipe.path());
    EXPECT_EQ(reader.info().kind, SourceKind::pipe);
    EXPECT_EQ(reader.info().frame_count, 0);  // unknown
    EXPECT_EQ(reader.info().seconds, 0);
}

TEST_F(Bytes, AReaderMayLeaveAPipeEarly) {
    const FedPipe pipe(folder / "pipe", y4m("W64 H64 F25:1 C420jpeg", 1000, 64 * 64 * 3 / 2));
    EXPECT_EQ(all(pipe.path(), {.start = FrameNumber{1}, .end = FrameNumber{3}}).size(), 2u);
}

TEST_F(Bytes, NothingCame) {
    const FedPipe pipe(folder / "pipe", "");
    EXPECT_THAT(error_of(pipe.path()), HasSubstr("pipe: nothing came through the pipe before it was closed. Check"));
    EXPECT_THAT(error_of("/dev/null"), HasSubstr("/dev/null: nothing came"));
    EXPECT_THAT(error_of(write_bytes("empty.mp4", "")), HasSubstr("empty.mp4: the file is empty"));
}

TEST_F(Bytes, APipeNeedsAFormatReadFromFrontToBack) {
    MIA_NEEDS_FFMPEG();
    const auto file = make("-f lavfi -i testsrc2=size=640x480:rate=10 -t 1 -c:v mjpeg -q:v 1", "a.mov");
    const FedPipe pipe(folder / "pipe", bytes_of(file));
    EXPECT_THAT(error_of(pipe.path()), HasSubstr("A pipe needs a format that is read from front to back, such as y4m"));
}

TEST_F(Bytes, APipeThatEndsTooEarly) {
    MIA_NEEDS_FFMPEG();
    const std::string whole = y4m("W4 H4 F25:1 C420jpeg", 3, 24);
    {
        const FedPipe pipe(folder / "pipe", whole.substr(0, whole.size() - 10));
        VideoReader reader(pipe.path());
        VideoFrame frame;
        EXPECT_TRUE(reader.read(frame));
        EXPECT_THAT(message_of([&] { reader.read(frame); }),
                    HasSubstr("frame 2 cannot be decoded (only the first 20 bytes of it are there)"));
    }
    const auto mp4 = make("-f lavfi -i testsrc2=size=64x48:rate=10 -t 1 -c:v mjpeg -movflags +faststart", "a.mov");
    const auto bytes = bytes_of(mp4);
    for (const double share : {0.8, 0.9}) {
        const FedPipe pipe(folder / "pipe", bytes.substr(0, std::size_t(share * double(bytes.size()))));
        EXPECT_THAT(error_of(pipe.path()), HasSubstr("cannot be decoded")) << share;
    }
}

TEST_F(Bytes, AFileThatShrinksWhileItIsRead) {
    const auto file = write_bytes("a.y4m", y4m("W64 H64 F25:1 C420jpeg", 100, 64 * 64 * 3 / 2));
    VideoReader reader(file);
    VideoFrame frame;
    EXPECT_TRUE(reader.read(frame));
    std::filesystem::resize_file(file, 64 * 64 * 75);
    EXPECT_THAT(
        message_of([&] {
            while (reader.read(frame)) {
            }
        }),
        AllOf(HasSubstr("a.y4m: frame"), HasSubstr("the file became"), HasSubstr("bytes shorter while it was read")));
}

TEST_F(Bytes, ADeletedFileIsReadToItsEnd) {
    const auto file = write_bytes("a.y4m", y4m("W64 H64 F25:1 C420jpeg", 100, 64 * 64 * 3 / 2));
    VideoReader reader(file);
    std::filesystem::remove(file);
    int count = 0;
    for (VideoFrame frame; reader.read(frame);) ++count;
    EXPECT_EQ(count, 100);
}

/// Ordinary permissions even where the tests run as root.
class AsNobody {
public:
    AsNobody() { EXPECT_EQ(seteuid(geteuid() == 0 ? 65534 : geteuid()), 0); }
    ~AsNobody() { EXPECT_EQ(seteuid(getuid()), 0); }
};

TEST_F(Bytes, WithoutPermission) {
    const auto file = write_bytes("a.y4m", y4m("W4 H4 F25:1 C420jpeg", 3, 24));
    std::filesystem::create_directory(folder / "images");
    std::filesystem::permissions(folder, std::filesystem::perms(0755));
    std::filesystem::permissions(file, std::filesystem::perms::none);
    std::filesystem::permissions(folder / "images", std::filesystem::perms::none);
    {
        const AsNobody nobody;
        EXPECT_THAT(error_of(file), HasSubstr("a.y4m: cannot be opened (Permission denied). Check"));
        EXPECT_THAT(error_of(folder / "images"), HasSubstr("images: the folder cannot be read (Permission denied)"));
        EXPECT_THAT(error_of(folder / "images" / "a.mp4"), HasSubstr("a.mp4: cannot be opened (Permission denied)"));
    }
    std::filesystem::permissions(folder / "images", std::filesystem::perms(0755));
}

}  // namespace
}  // namespace mia
