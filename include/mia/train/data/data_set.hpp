#pragma once
#include <algorithm>
#include <cstddef>
#include <filesystem>
#include <fstream>
#include <istream>
#include <locale>
#include <optional>
#include <sstream>
#include <string>
#include <string_view>
#include <vector>

#include "mia/core/error.hpp"

namespace mia {

enum class DataKind {
    video,   ///< a video file
    images,  ///< a folder of images that are the frames of one clip, or a pattern such as frames/%05d.png
    photo    ///< a photograph, or a folder of them; clips are made of each
};

/// Material for training, and the terms on which it may be used.
struct DataSource {
    std::filesystem::path path;
    DataKind kind = DataKind::video;
    double weight = 1;    ///< of the whole source: samples come from it as often as its share of all weights
    std::string licence;  ///< not empty
    int line = 0;         ///< of the set's file
};

/// What a set of training data consists of.
struct DataSet {
    std::string name;  ///< of the file, for messages
    std::vector<DataSource> sources;
};

namespace detail {

/// Words apart by blanks, or in double quotes; "#" begins a comment where a word could begin. Nothing when a quote does
/// not end, or does not end its word.
inline std::optional<std::vector<std::string>> words_of(std::string_view line) {
    static constexpr std::string_view blanks = " \t\r";
    std::vector<std::string> words;
    for (std::size_t at = line.find_first_not_of(blanks); at < line.size() && line[at] != '#';
         at = line.find_first_not_of(blanks, at)) {
        const bool quoted = line[at] == '"';
        const std::size_t begin = at + quoted;
        const std::size_t end = quoted ? line.find('"', begin) : std::min(line.size(), line.find_first_of(blanks, at));
        if (end == line.npos) return {};
        words.emplace_back(line.substr(begin, end - begin));
        at = end + quoted;
        if (at < line.size() && blanks.find(line[at]) == blanks.npos) return {};
    }
    return words;
}

inline std::optional<DataKind> data_kind(std::string_view word) {
    if (word == "video") return DataKind::video;
    if (word == "images") return DataKind::images;
    if (word == "photo") return DataKind::photo;
    return {};
}

inline std::optional<double> positive_number(const std::string& word) {
    std::istringstream in(word);
    in.imbue(std::locale::classic());
    double value = 0;
    if (!(in >> value) || in.peek() != std::istringstream::traits_type::eof() || value <= 0) return {};
    return value;
}

}  // namespace detail

/// Reads a set of training data, a source a line:
///
///     # path              kind    weight  licence
///     clips/field.mkv     video   1       "CC BY 3.0, Ann Author"
///     "my frames"         images  0.5     CC0
///     photos              photo   4       "public domain"
///
/// Words with blanks stand in double quotes. Relative paths count from `folder`. `name` is for messages. Error with the
/// line's number when a line is no source, and when there is none at all.
inline DataSet parse_data_set(std::istream& in, const std::string& name, const std::filesystem::path& folder = {}) {
    DataSet set{name, {}};
    std::string line;
    for (int number = 1; std::getline(in, line); ++number) {
        const auto words = detail::words_of(line);
        require(words.has_value(), name, ", line ", number,
                ": a double quote is not closed, or something touches it. Put quotes around whole words, and blanks "
                "between them.");
        if (words->empty()) continue;
        require(words->size() == 4 && !words->front().empty(), name, ", line ", number, ": ", words->size(),
                " words. Write path, kind, weight and licence, in double quotes where they hold blanks.");
        const auto& path = (*words)[0];
        const auto kind = detail::data_kind((*words)[1]);
        require(kind.has_value(), name, ", line ", number, ": the kind \"", (*words)[1],
                "\" is not known. Write video, images or photo.");
        const auto weight = detail::positive_number((*words)[2]);
        require(weight.has_value(), name, ", line ", number, ": the weight \"", (*words)[2],
                "\" is no positive number. Write 1 for an ordinary source.");
        require(!(*words)[3].empty(), name, ", line ", number, ": ", path,
                " has no licence. Name the terms on which it may be used.");
        set.sources.push_back({folder / path, *kind, *weight, (*words)[3], number});
    }
    require(!set.sources.empty(), name, ": the set is empty. Write one source a line: path, kind, weight and licence.");
    return set;
}

/// The same out of a file; relative paths count from its folder. Error also when it cannot be read.
inline DataSet read_data_set(const std::filesystem::path& path) {
    std::ifstream in(path);
    require(in.is_open() && !std::filesystem::is_directory(path), path.string(),
            ": the data set cannot be opened. Check the path and its permissions.");
    return parse_data_set(in, path.string(), path.parent_path());
}

}  // namespace mia
