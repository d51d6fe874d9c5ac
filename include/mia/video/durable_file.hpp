#pragma once
#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <filesystem>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>

#include "mia/core/error.hpp"
#include "mia/io/bytes.hpp"
#include "mia/video/sha256.hpp"

// Files that survive a power cut: written under another name, brought to the disk, renamed, the folder brought to the
// disk too. POSIX's calls for that, and for locks, are in this header alone.

namespace mia::detail {

/// A file descriptor, closed at the end.
class Descriptor {
public:
    explicit Descriptor(int number = -1) : number_(number) {}
    Descriptor(Descriptor&& other) noexcept : number_(std::exchange(other.number_, -1)) {}
    Descriptor& operator=(Descriptor&& other) noexcept {
        std::swap(number_, other.number_);
        return *this;
    }
    ~Descriptor() {
        if (number_ >= 0) ::close(number_);
    }
    int get() const { return number_; }
    explicit operator bool() const { return number_ >= 0; }

private:
    int number_;
};

/// Throws what a failed write of `path` means for the user.
[[noreturn]] inline void fail_to_write(const std::filesystem::path& path, int error) {
    const char* remedy = error == ENOSPC || error == EDQUOT || error == EFBIG
                             ? "Free some space, or choose a place that has more."
                             : "Check that its folder exists and is writable.";
    throw Error(text(path.string(), ": cannot be written (", std::strerror(error), "). ", remedy));
}

/// Brings a file or the names in a folder to the disk. File systems that cannot do that for folders are passed over.
inline void sync_to_disk(const std::filesystem::path& path) {
    const std::filesystem::path& there = path.empty() ? std::filesystem::path(".") : path;
    const Descriptor descriptor(::open(there.c_str(), O_RDONLY | O_CLOEXEC));
    if (!descriptor || (::fsync(descriptor.get()) != 0 && errno != EINVAL && errno != ENOTSUP))
        fail_to_write(path, errno);
}

/// Gives a file or folder its final name, for good.
inline void rename_durably(const std::filesystem::path& from, const std::filesystem::path& to) {
    if (std::rename(from.c_str(), to.c_str()) != 0) fail_to_write(to, errno);
    sync_to_disk(to.parent_path());
}

/// Size and hash of a file's content.
struct FileStamp {
    std::uint64_t bytes = 0;
    std::string sha256;

    bool operator==(const FileStamp&) const = default;
};

/// A file that appears under its name when all of it is on the disk, and else not at all.
class DurableFile {
public:
    explicit DurableFile(std::filesystem::path path) : path_(std::move(path)), growing_(path_.string() + ".new") {
        file_.reset(std::fopen(growing_.c_str(), "wbe"));
        if (file_ == nullptr) fail_to_write(path_, errno);
    }
    DurableFile(const DurableFile&) = delete;
    DurableFile& operator=(const DurableFile&) = delete;
    ~DurableFile() {
        if (path_.empty()) return;
        file_.reset();
        std::error_code ignored;
        std::filesystem::remove(growing_, ignored);
    }

    void write(const void* bytes, std::size_t size) {
        if (size > 0 && std::fwrite(bytes, 1, size, file_.get()) != size) fail_to_write(path_, errno);
        hash_.update(bytes, size);
        size_ += size;
    }
    void write(std::string_view bytes) { write(bytes.data(), bytes.size()); }

    FileStamp commit() {
        if (std::fflush(file_.get()) != 0 || ::fsync(::fileno(file_.get())) != 0) fail_to_write(path_, errno);
        if (std::fclose(file_.release()) != 0) fail_to_write(path_, errno);
        rename_durably(growing_, path_);
        path_.clear();
        return {size_, hash_.take()};
    }

private:
    std::filesystem::path path_, growing_;  // path_ is empty once the file has its name
    FileHandle file_;
    Sha256 hash_;
    std::uint64_t size_ = 0;
};

/// Size and hash of a file as it lies on the disk; of nothing when it cannot be read.
inline FileStamp stamp_of(const std::filesystem::path& path) {
    FileStamp stamp;
    const FileHandle file(std::fopen(path.c_str(), "rbe"));
    if (file == nullptr) return stamp;
    Sha256 hash;
    char buffer[1 << 16];
    while (const std::size_t count = std::fread(buffer, 1, sizeof buffer, file.get())) {
        hash.update(buffer, count);
        stamp.bytes += count;
    }
    if (std::ferror(file.get()) == 0) stamp.sha256 = hash.take();
    return stamp;
}

/// Keeps a folder to one writer, here or in another process, until it is destroyed or the process ends, however it
/// ends. Where the file system has no locks the folder is not protected.
class FolderLock {
public:
    enum class State { held, taken_by_another };

    /// Makes the folder when it is not there.
    explicit FolderLock(const std::filesystem::path& folder) {
        const std::filesystem::path path = folder / "lock";
        for (;;) {
            if (::mkdir(folder.c_str(), 0777) != 0 && errno != EEXIST) fail_to_write(folder, errno);
            file_ = Descriptor(::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0666));
            if (!file_ && errno == ENOENT) continue;  // the folder's last owner has just removed it
            if (!file_) fail_to_write(path, errno);
            if (::flock(file_.get(), LOCK_EX | LOCK_NB) != 0 && errno == EWOULDBLOCK) {
                state_ = State::taken_by_another;
                return;
            }
            struct stat mine = {}, there = {};
            if (::fstat(file_.get(), &mine) == 0 && ::stat(path.c_str(), &there) == 0 && mine.st_ino == there.st_ino &&
                mine.st_dev == there.st_dev)
                return;  // and not the lock of a folder that was removed meanwhile
        }
    }

    State state() const { return state_; }

private:
    Descriptor file_;
    State state_ = State::held;
};

}  // namespace mia::detail
