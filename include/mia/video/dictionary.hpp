#pragma once
#include <string>
#include <utility>

#include "mia/video/ffmpeg.hpp"

namespace mia::detail {

/// FFmpeg's map of texts, owned.
class Dictionary {
public:
    Dictionary() = default;
    Dictionary(Dictionary&& other) noexcept : entries_(std::exchange(other.entries_, nullptr)) {}
    Dictionary& operator=(Dictionary&& other) noexcept {
        std::swap(entries_, other.entries_);
        return *this;
    }
    ~Dictionary() { av_dict_free(&entries_); }

    void set(const char* key, const std::string& value) { av_dict_set(&entries_, key, value.c_str(), 0); }
    /// Null without one.
    const char* find(const char* key) const {
        const AVDictionaryEntry* entry = av_dict_get(entries_, key, nullptr, 0);
        return entry != nullptr ? entry->value : nullptr;
    }
    /// The key of any entry; null when there is none.
    const char* any_key() const {
        const AVDictionaryEntry* entry = av_dict_get(entries_, "", nullptr, AV_DICT_IGNORE_SUFFIX);
        return entry != nullptr ? entry->key : nullptr;
    }
    /// For functions that take entries out.
    AVDictionary** address() { return &entries_; }

private:
    AVDictionary* entries_ = nullptr;
};

}  // namespace mia::detail
