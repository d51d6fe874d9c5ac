#pragma once
#include <algorithm>
#include <array>
#include <cctype>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <filesystem>
#include <map>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>
#include <vector>

#include "mia/core/error.hpp"

namespace mia {

/// "frame9.png" before "frame10.png": runs of digits compare as numbers, all else byte by byte.
inline bool natural_less(std::string_view a, std::string_view b) {
    const auto digit = [](char c) { return c >= '0' && c <= '9'; };
    const auto number_at = [&](std::string_view s, std::size_t at) {
        std::size_t end = at;
        while (end < s.size() && digit(s[end])) ++end;
        while (at + 1 < end && s[at] == '0') ++at;
        return s.substr(at, end - at);
    };
    std::size_t i = 0, j = 0;
    while (i < a.size() && j < b.size()) {
        if (digit(a[i]) && digit(b[j])) {
            const auto x = number_at(a, i), y = number_at(b, j);
            if (x.size() != y.size()) return x.size() < y.size();
            if (x != y) return x < y;
            i = std::size_t(x.data() - a.data()) + x.size();
            j = std::size_t(y.data() - b.data()) + y.size();
        } else {
            if (a[i] != b[j]) return static_cast<unsigned char>(a[i]) < static_cast<unsigned char>(b[j]);
            ++i, ++j;
        }
    }
    if ((i < a.size()) != (j < b.size())) return j < b.size();
    return a < b;  // "01" and "1": the same number, still an order
}

/// Lower case, with its dot: ".png".
inline std::string lower_extension(const std::filesystem::path& path) {
    std::string extension = path.extension().string();
    for (char& c : extension) c = char(std::tolower(static_cast<unsigned char>(c)));
    return extension;
}

/// Image formats of sequences.
enum class ImageKind { none, png, jpeg, tiff, bmp, webp };

inline const char* name_of(ImageKind kind) {
    static constexpr std::array names = {"no", "PNG", "JPEG", "TIFF", "BMP", "WebP"};
    return names[std::size_t(kind)];
}

/// By the file's extension; `none` for every other.
inline ImageKind image_kind(const std::filesystem::path& path) {
    const std::string extension = lower_extension(path);
    if (extension == ".png") return ImageKind::png;
    if (extension == ".jpg" || extension == ".jpeg") return ImageKind::jpeg;
    if (extension == ".tif" || extension == ".tiff") return ImageKind::tiff;
    if (extension == ".bmp") return ImageKind::bmp;
    return extension == ".webp" ? ImageKind::webp : ImageKind::none;
}

namespace detail {

/// The plain files of a folder; links to files among them. `failure` says why it cannot be read.
inline std::vector<std::filesystem::path> plain_files(const std::filesystem::path& folder, std::error_code& failure) {
    std::vector<std::filesystem::path> files;
    for (std::filesystem::directory_iterator entry(folder, failure), end; !failure && entry != end;
         entry.increment(failure)) {
        std::error_code dangling;
        if (entry->is_regular_file(dangling)) files.push_back(entry->path());
    }
    return files;
}

}  // namespace detail

/// The images of a folder in natural order; files that are none are passed over. Error when the folder cannot be read,
/// holds no image, or images of several kinds.
inline std::vector<std::filesystem::path> list_images(const std::filesystem::path& folder) {
    std::error_code failure;
    std::vector<std::filesystem::path> files = detail::plain_files(folder, failure);
    require(!failure, folder.string(), ": the folder cannot be read (", failure.message(), "). Check its permissions.");
    std::erase_if(files, [](const auto& file) { return image_kind(file) == ImageKind::none; });
    require(!files.empty(), folder.string(), ": the folder holds no image. Give a folder with PNG, JPEG, TIFF, BMP or ",
            "WebP files, or a video file.");
    std::sort(files.begin(), files.end(),
              [](const auto& a, const auto& b) { return natural_less(a.filename().string(), b.filename().string()); });
    for (const auto& file : files)
        require(image_kind(file) == image_kind(files.front()), folder.string(),
                ": the folder holds images of several kinds, ", files.front().filename().string(), " and ",
                file.filename().string(), ". Keep one kind in a folder; it becomes one sequence.");
    return files;
}

/// A file name with a place for a number, as printf writes it: "frame_%05d.png", "%d.jpg". "%%" is a percent sign.
struct NumberedName {
    std::string before, after;
    int digits = 0;  ///< least, filled with zeros
    bool valid = false;

    explicit NumberedName(std::string_view pattern) {
        std::string* part = &before;
        for (std::size_t i = 0; i < pattern.size(); ++i) {
            if (pattern[i] != '%') {
                *part += pattern[i];
                continue;
            }
            if (++i < pattern.size() && pattern[i] == '%') {
                *part += '%';
                continue;
            }
            const bool zeros = i < pattern.size() && pattern[i] == '0';
            if (zeros) ++i;
            if (zeros && i < pattern.size() && pattern[i] >= '1' && pattern[i] <= '9') digits = pattern[i++] - '0';
            if (i >= pattern.size() || pattern[i] != 'd' || part == &after) {
                valid = false;
                return;
            }
            valid = true;
            part = &after;
        }
    }

    std::string at(std::int64_t number) const {
        const std::string plain = std::to_string(number);
        const std::size_t zeros = plain.size() < std::size_t(digits) ? std::size_t(digits) - plain.size() : 0;
        return before + std::string(zeros, '0') + plain + after;
    }

    /// The number in a name that at() makes; negative for every other name.
    std::int64_t number_in(std::string_view name) const {
        constexpr std::size_t most_digits = 18;
        if (!name.starts_with(before) || !name.ends_with(after) || name.size() <= before.size() + after.size())
            return -1;
        const auto middle = name.substr(before.size(), name.size() - before.size() - after.size());
        if (middle.size() > most_digits || middle.find_first_not_of("0123456789") != middle.npos) return -1;
        std::int64_t number = 0;
        for (const char c : middle) number = 10 * number + (c - '0');
        return at(number) == name ? number : -1;
    }
};

/// The files that a pattern such as "frames/%05d.png" names, from the lowest number that exists. Error when there is
/// none and when a number is missing before the highest.
inline std::vector<std::filesystem::path> list_numbered(const std::filesystem::path& pattern) {
    const NumberedName name(pattern.filename().string());
    const std::filesystem::path folder = pattern.has_parent_path() ? pattern.parent_path() : ".";
    require(name.valid, pattern.string(), ": the pattern needs one number, %d or %05d, in the file's name.");
    std::error_code failure;
    std::map<std::int64_t, std::filesystem::path> found;
    for (const auto& file : detail::plain_files(folder, failure))
        if (const std::int64_t number = name.number_in(file.filename().string()); number >= 0)
            found.emplace(number, pattern.parent_path() / file.filename());
    require(!failure, pattern.string(), ": the folder ", folder.string(), " cannot be read (", failure.message(),
            "). Check the path.");
    require(!found.empty(), pattern.string(), ": no file has such a name, ", name.at(1),
            " for one. Check the pattern and the number of its digits.");

    std::vector<std::filesystem::path> files;
    std::int64_t next = found.begin()->first;
    for (auto& [number, file] : found) {
        require(number == next, pattern.string(), ": ", name.at(next),
                " is missing; there are images before and after "
                "it, up to ",
                name.at(found.rbegin()->first), ". Add it, or number the images without a gap.");
        files.push_back(std::move(file));
        ++next;
    }
    return files;
}

}  // namespace mia
