#pragma once
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdint>
#include <cstring>
#include <filesystem>
#include <string>
#include <string_view>

#include "mia/core/error.hpp"
#include "mia/video/ffmpeg.hpp"

namespace mia::detail {

/// The bytes of a file or of a pipe, for FFmpeg's demuxers: opened, watched and refused here, in words that say what
/// happened. The path "-" is standard input.
class ByteSource {
public:
    explicit ByteSource(const std::filesystem::path& path) : name_(path.string()) {
        file_ = path == "-" ? dup(STDIN_FILENO) : open(path.c_str(), O_RDONLY | O_CLOEXEC);
        require(file_ >= 0, name_, ": cannot be opened (", std::strerror(errno), "). Check the path and permissions.");
        struct stat status = {};
        // Where another program has read the beginning of standard input, the rest is taken as it comes.
        seekable_ = fstat(file_, &status) == 0 && S_ISREG(status.st_mode) && lseek(file_, 0, SEEK_CUR) == 0;
        size_ = seekable_ ? status.st_size : -1;
        try {
            peek();
            make_context();
        } catch (...) {
            close(file_);
            throw;
        }
    }
    ByteSource(const ByteSource&) = delete;
    ByteSource& operator=(const ByteSource&) = delete;
    ~ByteSource() {
        av_freep(&context_->buffer);
        avio_context_free(&context_);
        close(file_);
    }

    /// A plain file, that can be read again and in any order.
    bool seekable() const { return seekable_; }

    /// The first bytes: `peeked` of them, or all when there are fewer.
    std::string_view head() const { return head_; }
    static constexpr std::size_t peeked = 1024;

    AVIOContext* context() const { return context_; }

    /// Bytes that a plain file has lost since it was opened.
    std::int64_t lost() const {
        struct stat status = {};
        if (!seekable_ || fstat(file_, &status) != 0) return 0;
        return std::max<std::int64_t>(0, size_ - status.st_size);
    }

private:
    void peek() {
        head_.resize(peeked);
        std::size_t count = 0;
        while (count < peeked) {
            const int got = read_file(reinterpret_cast<std::uint8_t*>(head_.data()) + count, int(peeked - count));
            require(got >= 0, name_, ": cannot be read (", std::strerror(errno),
                    "). Check that it is a file, and the disk.");
            if (got == 0) break;
            count += std::size_t(got);
        }
        head_.resize(count);
        require(count > 0, name_,
                seekable_ ? ": the file is empty. Make or copy it again."
                          : ": nothing came through the pipe before it was closed. Check the program "
                            "that writes into it.");
        if (seekable_) lseek(file_, 0, SEEK_SET);
    }

    void make_context() {
        constexpr int buffer_size = 1 << 16;
        auto* buffer = static_cast<unsigned char*>(av_malloc(buffer_size));
        require(buffer != nullptr, name_, ": FFmpeg: no memory for a buffer");
        context_ = avio_alloc_context(buffer, buffer_size, 0, this, &read, nullptr, seekable_ ? &seek : nullptr);
        if (context_ != nullptr) return;
        av_free(buffer);
        throw Error(text(name_, ": FFmpeg: no memory for a buffer"));
    }

    int read_file(std::uint8_t* to, int count) const {
        for (;;) {
            const auto got = ::read(file_, to, std::size_t(count));
            if (got >= 0 || errno != EINTR) return int(got);
        }
    }

    static int read(void* opaque, std::uint8_t* to, int count) {
        auto& self = *static_cast<ByteSource*>(opaque);
        if (!self.seekable_ && self.given_ < self.head_.size()) {
            const auto some = std::min(std::size_t(count), self.head_.size() - self.given_);
            std::copy_n(self.head_.data() + self.given_, some, to);
            self.given_ += some;
            return int(some);
        }
        const int got = self.read_file(to, count);
        if (got < 0) return AVERROR(errno);
        return got == 0 ? AVERROR_EOF : got;
    }

    static std::int64_t seek(void* opaque, std::int64_t offset, int whence) {
        auto& self = *static_cast<ByteSource*>(opaque);
        if ((whence & AVSEEK_SIZE) != 0) return self.size_;
        const auto position = lseek(self.file_, offset, whence & ~AVSEEK_FORCE);
        return position < 0 ? AVERROR(errno) : std::int64_t(position);
    }

    std::string name_, head_;
    std::size_t given_ = 0;  // of head_, to FFmpeg
    int file_ = -1;
    bool seekable_ = false;
    std::int64_t size_ = -1;
    AVIOContext* context_ = nullptr;
};

}  // namespace mia::detail
