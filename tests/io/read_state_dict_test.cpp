#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdio>
#include <filesystem>
#include <mia/io/read_state_dict.hpp>
#include <string>

#include "check_io.hpp"
#include "temporary_folder.hpp"
#include "zip_builder.hpp"

namespace mia {
namespace {

using ::testing::AllOf;
using testing::error_of;
using testing::expect_equal;
using testing::fixture;
using ::testing::HasSubstr;
using ::testing::StartsWith;
using testing::TemporaryFolder;

std::string read_error(const std::filesystem::path& path) {
    const std::string message = error_of([&] { read_state_dict(path); });
    EXPECT_THAT(message, StartsWith(path.string() + ": "));
    return message;
}

TEST(ReadStateDict, goes_by_content_and_not_by_name) {
    const TemporaryFolder folder;
    std::filesystem::copy_file(fixture("plain.pth"), folder / "a.safetensors");
    std::filesystem::copy_file(fixture("plain.expected.safetensors"), folder / "b.pth");
    expect_equal(read_state_dict(folder / "a.safetensors"), read_state_dict(folder / "b.pth"));
    expect_equal(read_state_dict(fixture("params_and_ema.pth"), TorchKey::params_ema),
                 read_state_dict(fixture("params_and_ema.params_ema.expected.safetensors")));
}

TEST(ReadStateDict, safetensors_may_begin_like_something_else) {
    // Headers whose length starts with the byte of a pickle, and with "PK".
    for (const std::size_t size : {std::size_t(0x280), std::size_t(0x4B50)}) {
        std::string file;
        testing::append_le<std::uint64_t>(file, size);
        file += "{}" + std::string(size - 2, ' ');
        EXPECT_TRUE(parse_state_dict(testing::as_bytes(file), "memory").entries().empty());
    }
}

TEST(ReadStateDict, says_what_is_wrong_with_the_path) {
    const TemporaryFolder folder;
    EXPECT_THAT(read_error(folder / "missing.pth"), HasSubstr("no such file"));
    EXPECT_THAT(read_error(folder / ""), HasSubstr("a directory"));
    EXPECT_THAT(read_error(folder.write("empty", "")), HasSubstr("empty (0 bytes)"));
    EXPECT_THAT(read_error(folder / "empty" / "below"), HasSubstr(": "));
    EXPECT_THAT(read_error(""), HasSubstr("no such file"));
#if !defined(_WIN32)
    EXPECT_THAT(read_error("/dev/zero"), HasSubstr("a device"));
    std::filesystem::create_symlink("nowhere", folder / "link");
    EXPECT_THAT(read_error(folder / "link"), HasSubstr("no such file"));
    std::filesystem::create_symlink("loop", folder / "loop");
    EXPECT_THAT(read_error(folder / "loop"), HasSubstr("cannot be examined"));
#endif
}

TEST(ReadStateDict, says_that_a_file_may_not_be_read) {
    const TemporaryFolder folder;
    const auto path = folder.write("secret", "x");
    std::filesystem::permissions(path, std::filesystem::perms::none);
    if (std::FILE* file = std::fopen(path.string().c_str(), "rb")) {
        std::fclose(file);
        GTEST_SKIP() << "this user may read every file";
    }
    EXPECT_THAT(read_error(path), AllOf(HasSubstr("cannot be opened"), HasSubstr("Check that you may read it")));
}

TEST(ReadStateDict, recognises_what_people_download_by_mistake) {
    const TemporaryFolder folder;
    EXPECT_THAT(read_error(folder.write("a", "version https://git-lfs.github.com/spec/v1\noid sha256:12\nsize 12\n")),
                HasSubstr("git lfs pull"));
    EXPECT_THAT(read_error(folder.write("b", "\n<!DOCTYPE html><html>Not found</html>")), HasSubstr("a web page"));
    EXPECT_THAT(read_error(folder.write("c", "hello, world")),
                HasSubstr("neither safetensors nor a PyTorch checkpoint"));
    EXPECT_THAT(read_error(folder.write("d", "x")), HasSubstr("1 bytes, starting with 'x'"));
    EXPECT_THAT(read_error(folder.write("e", "   ")), HasSubstr("neither"));
    EXPECT_THAT(read_error(fixture("legacy.pth")), HasSubstr("before PyTorch 1.6"));
    EXPECT_THAT(read_error(folder.write("f", "PK\3\4 and no more")), HasSubstr("zip archive"));
}

}  // namespace
}  // namespace mia
