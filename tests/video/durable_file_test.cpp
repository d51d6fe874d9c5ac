#include "mia/video/durable_file.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/resource.h>

#include <string>

#include "media.hpp"

namespace mia::detail {
namespace {

using test::message_of;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

class Durable : public test::MediaTest {};

TEST_F(Durable, AppearsWholeOrNotAtAll) {
    {
        DurableFile file(folder / "a");
        file.write("half");
        EXPECT_THAT(names(), ElementsAre("a.new"));
    }
    EXPECT_THAT(names(), IsEmpty());
    write_bytes("a", "old");
    DurableFile file(folder / "a");
    file.write("ne");
    EXPECT_EQ(bytes_of(folder / "a"), "old");
    file.write("w");
    const FileStamp stamp = file.commit();
    EXPECT_EQ(bytes_of(folder / "a"), "new");
    EXPECT_EQ(stamp.bytes, 3u);
    EXPECT_EQ(stamp, stamp_of(folder / "a"));
    EXPECT_EQ(stamp_of(folder / "none"), FileStamp{});
    EXPECT_THAT(names(), ElementsAre("a"));
}

TEST_F(Durable, MissingFolder) {
    EXPECT_THAT(message_of([&] { DurableFile(folder / "none" / "a"); }),
                HasSubstr("cannot be written (No such file or directory). Check that its folder exists"));
}

TEST_F(Durable, NoSpace) {
    rlimit before = {};
    getrlimit(RLIMIT_FSIZE, &before);
    const auto handler = signal(SIGXFSZ, SIG_IGN);
    const rlimit small = {100000, before.rlim_max};
    setrlimit(RLIMIT_FSIZE, &small);
    const std::string message = message_of([&] {
        DurableFile file(folder / "a");
        for (int i = 0; i < 100; ++i) file.write(std::string(10000, 'x'));
        file.commit();
    });
    setrlimit(RLIMIT_FSIZE, &before);
    signal(SIGXFSZ, handler);
    EXPECT_THAT(message, HasSubstr("a: cannot be written (File too large). Free some space"));
    EXPECT_THAT(names(), IsEmpty());
}

TEST_F(Durable, OneWriterInAFolder) {
    const auto place = folder / "locked";
    {
        const FolderLock first(place);
        EXPECT_EQ(first.state(), FolderLock::State::held);
        EXPECT_EQ(FolderLock(place).state(), FolderLock::State::taken_by_another);
        // Seen from another process too.
        EXPECT_NE(std::system(("flock --nonblock '" + (place / "lock").string() + "' true").c_str()), 0);
    }
    EXPECT_EQ(FolderLock(place).state(), FolderLock::State::held);
}

}  // namespace
}  // namespace mia::detail
