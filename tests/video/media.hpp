#pragma once
#include <gtest/gtest.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <sstream>
#include <string>
#include <vector>

#include "mia/models/any_model.hpp"
#include "mia/video/ffmpeg.hpp"
#include "mia/video/frame.hpp"

// Videos for the tests, made by the program ffmpeg: an independent hand, where reading what we wrote would agree with
// our own mistakes.

namespace mia::test {

inline std::string output_of(const std::string& command) {
    std::string output;
    FILE* pipe = popen((command + " 2>&1").c_str(), "r");
    std::array<char, 4096> buffer;
    while (pipe != nullptr) {
        const std::size_t count = fread(buffer.data(), 1, buffer.size(), pipe);
        if (count == 0) break;
        output.append(buffer.data(), count);
    }
    if (pipe != nullptr) pclose(pipe);
    return output;
}

inline bool have_ffmpeg() {
    static const bool have = std::system("ffmpeg -version >/dev/null 2>&1 && ffprobe -version >/dev/null 2>&1") == 0;
    return have;
}

/// A folder of its own for each test, gone afterwards.
class MediaTest : public testing::Test {
protected:
    MediaTest() {
        silence_ffmpeg();
        std::string pattern = (std::filesystem::temp_directory_path() / "mia_test_XXXXXX").string();
        folder = mkdtemp(pattern.data());
    }
    ~MediaTest() override {
        std::error_code ignored;
        std::filesystem::remove_all(folder, ignored);
    }

    /// ffmpeg ARGUMENTS name; returns the path.
    std::filesystem::path make(const std::string& arguments, const std::string& name) const {
        const auto path = folder / name;
        const auto output = output_of("ffmpeg -v error -y " + arguments + " '" + path.string() + "' </dev/null");
        EXPECT_TRUE(output.empty()) << output;
        return path;
    }

    std::filesystem::path write_bytes(const std::string& name, const std::string& bytes) const {
        const auto path = folder / name;
        std::ofstream(path, std::ios::binary) << bytes;
        return path;
    }

    std::filesystem::path truncated(const std::filesystem::path& from, const std::string& name, double share) const {
        const auto bytes = bytes_of(from);
        return write_bytes(name, bytes.substr(0, std::size_t(double(bytes.size()) * share)));
    }

    static std::string bytes_of(const std::filesystem::path& path) {
        std::ostringstream bytes;
        bytes << std::ifstream(path, std::ios::binary).rdbuf();
        return bytes.str();
    }

    /// Names of all that lies in the folder, hidden files too, in order.
    std::vector<std::string> names(const std::filesystem::path& inside = {}) const {
        std::vector<std::string> found;
        for (const auto& entry : std::filesystem::directory_iterator(folder / inside))
            found.push_back(entry.path().filename().string());
        std::sort(found.begin(), found.end());
        return found;
    }

    std::filesystem::path folder;
};

#define MIA_NEEDS_FFMPEG() \
    if (!mia::test::have_ffmpeg()) GTEST_SKIP() << "the programs ffmpeg and ffprobe are not installed"

template <class Call>
std::string message_of(Call&& call) {
    try {
        call();
    } catch (const Error& error) {
        return error.what();
    }
    return "no error";
}

/// Every pixel `scale` x `scale` times.
class Repeat : public AnyModel {
public:
    explicit Repeat(int scale) : scale_(scale) {}
    std::string name() const override { return "repeat"; }
    int scale() const override { return scale_; }
    bool bidirectional() const override { return true; }
    std::size_t memory_bytes(int, int, int) const override { return 0; }
    void begin(View<const float, 4> clip, int first, int, ModelObserver*) override {
        clip_ = clip;
        frame_ = first;
    }
    void next(View<float, 3> out) override {
        for (int y = 0; y < out.extent(0); ++y)
            for (int x = 0; x < out.extent(1); ++x)
                for (int c = 0; c < 3; ++c) out(y, x, c) = clip_(frame_, y / scale_, x / scale_, c);
        ++frame_;
    }

private:
    int scale_, frame_ = 0;
    View<const float, 4> clip_{};
};

}  // namespace mia::test
