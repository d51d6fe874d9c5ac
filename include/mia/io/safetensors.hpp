#pragma once
#include <algorithm>
#include <cerrno>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <filesystem>
#include <map>
#include <memory>
#include <optional>
#include <random>
#include <set>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#if defined(_WIN32)
#include <io.h>
#else
#include <fcntl.h>
#include <unistd.h>
#endif

#include "mia/core/error.hpp"
#include "mia/io/bytes.hpp"
#include "mia/io/json.hpp"
#include "mia/io/state_dict.hpp"

/// safetensors: 8 bytes with the header's length, a JSON header, then the tensors back to back.
///
///     {"__metadata__": {"key": "value"}, "name": {"dtype": "F32", "shape": [2, 3], "data_offsets": [0, 24]}, ...}
namespace mia {

namespace detail {

/// The official implementation's limit.
inline constexpr std::uint64_t max_safetensors_header = 100'000'000;

struct SafetensorsType {
    std::string_view word;
    DType dtype;
};
inline constexpr SafetensorsType safetensors_types[] = {
    {"F32", DType::float32}, {"F64", DType::float64}, {"F16", DType::float16}, {"BF16", DType::bfloat16},
    {"I64", DType::int64},   {"I32", DType::int32},   {"I16", DType::int16},   {"I8", DType::int8},
    {"U8", DType::uint8},    {"BOOL", DType::boolean}};

/// One line of the header, its offsets counted from the end of the header.
struct SafetensorsRecord {
    TensorEntry entry;
    std::uint64_t begin = 0;
    std::uint64_t end = 0;
};

inline SafetensorsRecord read_record(JsonReader& json, std::string name) {
    SafetensorsRecord record;
    record.entry.name = std::move(name);
    bool has_dtype = false, has_shape = false, has_offsets = false;
    const auto once = [&](bool& seen, std::string_view field) {
        if (seen) json.fail("tensor ", printable(record.entry.name), " states ", field, " twice");
        seen = true;
    };
    std::string field;
    json.enter_object();
    while (json.next_key(field)) {
        if (field == "dtype") {
            once(has_dtype, field);
            const std::string word = json.string();
            const auto type = std::find_if(std::begin(safetensors_types), std::end(safetensors_types),
                                           [&](const SafetensorsType& t) { return t.word == word; });
            if (type == std::end(safetensors_types))
                json.fail("tensor ", printable(record.entry.name), " has dtype ", printable(word),
                          "; known are F64, F32, F16, BF16, I64, I32, I16, I8, U8 and BOOL");
            record.entry.dtype = type->dtype;
        } else if (field == "shape") {
            once(has_shape, field);
            json.enter_array();
            while (json.next_element()) {
                const std::uint64_t extent = json.integer();
                if (extent > std::uint64_t(INT64_MAX))
                    json.fail("tensor ", printable(record.entry.name), " has an extent of ", extent,
                              ", more than 2^63 - 1");
                if (record.entry.shape.size() == StateDict::max_rank)
                    json.fail("tensor ", printable(record.entry.name), " has more than ", StateDict::max_rank, " axes");
                record.entry.shape.push_back(std::int64_t(extent));
            }
        } else if (field == "data_offsets") {
            once(has_offsets, field);
            std::uint64_t offsets[2] = {};
            std::size_t count = 0;
            json.enter_array();
            while (json.next_element()) {
                if (count == 2)
                    json.fail("data_offsets of tensor ", printable(record.entry.name), " are not two numbers");
                offsets[count++] = json.integer();
            }
            if (count != 2) json.fail("data_offsets of tensor ", printable(record.entry.name), " are not two numbers");
            record.begin = offsets[0];
            record.end = offsets[1];
        } else {
            json.fail("tensor ", printable(record.entry.name), " has an unknown field ", printable(field));
        }
    }
    if (!has_dtype || !has_shape || !has_offsets)
        json.fail("tensor ", printable(record.entry.name), " lacks ",
                  !has_dtype ? "dtype" : (!has_shape ? "shape" : "data_offsets"));
    return record;
}

inline std::map<std::string, std::string> read_metadata(JsonReader& json) {
    std::map<std::string, std::string> metadata;
    std::string key;
    json.enter_object();
    while (json.next_key(key)) {
        std::string value = json.string();
        if (!metadata.emplace(key, std::move(value)).second)
            json.fail("__metadata__ states ", printable(key), " twice");
    }
    return metadata;
}

/// Sorted by offset, the tensors must fill the data exactly: no byte belongs to two of them or to none.
inline void check_safetensors_layout(const std::vector<SafetensorsRecord>& records, std::uint64_t data_bytes,
                                     const std::string& source) {
    std::vector<const SafetensorsRecord*> order(records.size());
    for (std::size_t i = 0; i < records.size(); ++i) order[i] = &records[i];
    std::sort(order.begin(), order.end(), [](const SafetensorsRecord* a, const SafetensorsRecord* b) {
        return std::pair(a->begin, a->end) < std::pair(b->begin, b->end);
    });
    std::uint64_t at = 0;
    for (const SafetensorsRecord* record : order) {
        const TensorEntry& entry = record->entry;
        const auto refuse = [&](const auto&... what) {
            throw Error(text(source, ": tensor ", printable(entry.name), " (", name_of(entry.dtype), " ",
                             shape_text(entry.shape), ", data_offsets ", record->begin, " to ", record->end, ") ",
                             what..., "\n", fetch_again));
        };
        const auto elements = count_elements(entry.shape);
        const auto bytes = elements ? checked_multiply(*elements, size_of(entry.dtype)) : std::nullopt;
        if (!bytes) refuse("has more elements than any file can hold");
        if (record->begin > record->end) refuse("ends before it begins");
        if (record->end > data_bytes) refuse("reaches beyond the file's ", data_bytes, " bytes of data");
        if (record->end - record->begin != *bytes)
            refuse("needs ", *bytes, " bytes and has ", record->end - record->begin);
        if (record->begin < at) refuse("overlaps the tensor before it, which ends at ", at);
        if (record->begin > at)
            refuse("leaves a hole: bytes ", at, " to ", record->begin, " of the data belong to no tensor");
        at = record->end;
    }
    require(at == data_bytes, source, ": the tensors end at byte ", at, " of the data, and ", data_bytes - at,
            " more bytes follow\n", fetch_again);
}

}  // namespace detail

/// Reads a safetensors file that lies in memory. Its bytes are not copied: `owner` keeps them alive with the result, or
/// the caller does (weights embedded in a program). `source` opens every message. Strict: any departure from the format
/// is an Error (header beyond the file or above 100 MB, offsets that overlap, leave holes or do not fit dtype and
/// shape, unknown types or fields, names that occur twice, bytes that belong to nothing), and nothing is allocated that
/// the header's own length does not pay for.
inline StateDict parse_safetensors(std::span<const std::byte> bytes, std::string source,
                                   std::shared_ptr<const void> owner = nullptr) {
    using namespace detail;
    require(bytes.size() >= 8, source, ": ", bytes.size(),
            " bytes are too few for a safetensors file, which starts with its header's length in 8 bytes\n",
            fetch_again);
    const auto header_bytes = load_le<std::uint64_t>(bytes.data());
    require(header_bytes <= max_safetensors_header, source, ": the header claims ", header_bytes,
            " bytes, above the format's limit of ", max_safetensors_header,
            "\nThis is probably no safetensors file; otherwise: ", fetch_again);
    require(header_bytes <= bytes.size() - 8, source, ": the header claims ", header_bytes, " bytes, and the file has ",
            bytes.size() - 8, " after the length\n", fetch_again);
    const auto header = as_text(bytes.subspan(8, std::size_t(header_bytes)));
    const auto data = bytes.subspan(8 + std::size_t(header_bytes));

    JsonReader json(header, source, 8);
    require(header.starts_with('{'), source, ": the header at byte 8 must start with '{', found ",
            header.empty() ? "nothing" : printable(header.substr(0, 1)), "\n", fetch_again);
    std::vector<SafetensorsRecord> records;
    std::optional<std::map<std::string, std::string>> metadata;
    std::string name;
    json.enter_object();
    while (json.next_key(name)) {
        if (name == "__metadata__") {
            if (metadata) json.fail("__metadata__ occurs twice");
            metadata = read_metadata(json);
        } else {
            records.push_back(read_record(json, std::move(name)));
        }
    }
    json.finish();
    check_safetensors_layout(records, data.size(), source);

    std::vector<TensorEntry> entries;
    entries.reserve(records.size());
    for (SafetensorsRecord& record : records) {
        record.entry.data = data.data() + record.begin;
        record.entry.bytes = std::size_t(record.end - record.begin);
        entries.push_back(std::move(record.entry));
    }
    return {std::move(source), std::move(entries),
            metadata ? std::move(*metadata) : std::map<std::string, std::string>(), std::move(owner)};
}

/// The same for bytes that the result shall own.
inline StateDict parse_safetensors(std::vector<std::byte>&& bytes, std::string source) {
    auto owner = std::make_shared<const std::vector<std::byte>>(std::move(bytes));
    const std::span<const std::byte> view(*owner);
    return parse_safetensors(view, std::move(source), std::move(owner));
}

/// Reads a safetensors file whole. Errors: those of parse_safetensors, and a file that cannot be read.
inline StateDict read_safetensors(const std::filesystem::path& path) {
    detail::FileBytes file = detail::read_file(path);
    return parse_safetensors(file.span(), path.string(), file.owner);
}

/// What write_safetensors takes: `data` holds the product of `shape` floats, the last axis fastest.
struct TensorToWrite {
    std::string name;
    std::vector<std::int64_t> shape;
    const float* data = nullptr;
};

namespace detail {

inline void append_json_string(std::string& json, std::string_view value) {
    constexpr const char* digits = "0123456789abcdef";
    json += '"';
    for (char c : value) {
        const auto byte = static_cast<unsigned char>(c);
        if (c == '"' || c == '\\') {
            json += {'\\', c};
        } else if (byte < 0x20) {
            json += {'\\', 'u', '0', '0', digits[byte >> 4], digits[byte & 15]};
        } else {
            json += c;
        }
    }
    json += '"';
}

inline void require_utf8(std::string_view value, const std::string& target, std::string_view what) {
    require(first_invalid_utf8(value) == std::string_view::npos, target, ": ", what, " ", printable(value),
            " is not UTF-8, which safetensors demands\nGive it as UTF-8.");
}

/// The header with its length before it, padded with spaces so that the tensors start at a multiple of 64 bytes (the
/// official writer's 8 would do; 64 is a cache line, for whoever maps the file). Checks everything that the reader
/// will, so that nothing is written which cannot be read.
inline std::string safetensors_head(std::span<const TensorToWrite> tensors,
                                    const std::map<std::string, std::string>& metadata, const std::string& target) {
    std::string head(8, '\0');
    head += '{';
    if (!metadata.empty()) {
        head += "\"__metadata__\":{";
        for (const auto& [key, value] : metadata) {
            require_utf8(key, target, "the metadata key");
            require_utf8(value, target, "the metadata value");
            if (head.back() != '{') head += ',';
            append_json_string(head, key);
            head += ':';
            append_json_string(head, value);
        }
        head += '}';
    }
    std::set<std::string_view> names;
    std::uint64_t at = 0;
    for (const TensorToWrite& tensor : tensors) {
        const std::string name = printable(tensor.name);
        require_utf8(tensor.name, target, "the tensor name");
        require(tensor.name != "__metadata__", target,
                ": a tensor cannot be called '__metadata__', the format's word "
                "for the metadata\nGive it another name.");
        require(names.insert(tensor.name).second, target, ": the tensor ", name,
                " is given twice\nGive each tensor once.");
        require(tensor.shape.size() <= StateDict::max_rank, target, ": tensor ", name, " has ", tensor.shape.size(),
                " axes; at most ", StateDict::max_rank, " can be read again\nFlatten some.");
        const auto elements = count_elements(tensor.shape);
        const auto bytes = elements ? checked_multiply(*elements, sizeof(float)) : std::nullopt;
        const auto end = bytes ? checked_add(at, *bytes) : std::nullopt;
        require(end.has_value(), target, ": tensor ", name, " has the shape ", shape_text(tensor.shape),
                ", which is negative or too large for any file\nCheck how the shape was computed.");
        require(*elements == 0 || tensor.data != nullptr, target, ": tensor ", name, " ", shape_text(tensor.shape),
                " has no data (a null pointer)\nFill the tensor before saving it.");
        const float* end_of_data = tensor.data + *elements;
        const float* bad = std::find_if_not(tensor.data, end_of_data, [](float x) { return std::isfinite(x); });
        require(bad == end_of_data, target, ": tensor ", name, " ", shape_text(tensor.shape), " holds ",
                bad == end_of_data ? 0.0f : *bad, " at element ", bad - tensor.data,
                ", and nothing was written\nThe training has diverged: go back to an earlier checkpoint and lower the "
                "learning rate.");
        if (head.back() != '{') head += ',';
        append_json_string(head, tensor.name);
        head += ":{\"dtype\":\"F32\",\"shape\":[";
        for (std::size_t axis = 0; axis < tensor.shape.size(); ++axis) {
            if (axis > 0) head += ',';
            head += std::to_string(tensor.shape[axis]);
        }
        head += text("],\"data_offsets\":[", at, ",", *end, "]}");
        at = *end;
    }
    head += '}';
    head.resize((head.size() + 63) / 64 * 64, ' ');
    const std::uint64_t header_bytes = head.size() - 8;
    require(header_bytes <= max_safetensors_header, target, ": names and metadata make a header of ", header_bytes,
            " bytes, above the format's limit of ", max_safetensors_header, "\nShorten the metadata.");
    std::memcpy(head.data(), &header_bytes, 8);
    return head;
}

/// A file that appears under its name only when it is whole: written beside the target, forced to the disk, renamed.
/// Whatever fails before that leaves the target as it was and no other file.
class AtomicFile {
public:
    explicit AtomicFile(const std::filesystem::path& path) {
        std::error_code code;
        // A link stays a link: its file is replaced.
        target_ = std::filesystem::is_symlink(path, code) ? std::filesystem::weakly_canonical(path, code) : path;
        if (code) target_ = path;
        const auto status = std::filesystem::status(target_, code);
        require(!std::filesystem::exists(status) || std::filesystem::is_regular_file(status), path.string(),
                ": this is a directory or a device, not a file that could be replaced\nName a file.");
        std::random_device random;
        for (int attempt = 0; attempt < 16 && file_ == nullptr; ++attempt) {
            temporary_ = target_;
            temporary_ += text('.', random(), ".tmp");
            file_ = std::fopen(temporary_.string().c_str(), "wbx");  // x: never onto a file that exists
            if (file_ == nullptr && errno != EEXIST) break;
        }
        if (file_ == nullptr) fail("cannot be created");
    }
    AtomicFile(const AtomicFile&) = delete;
    AtomicFile& operator=(const AtomicFile&) = delete;

    ~AtomicFile() {
        if (file_ != nullptr) std::fclose(file_);
        std::error_code ignored;
        if (!committed_) std::filesystem::remove(temporary_, ignored);
    }

    void write(const void* data, std::size_t bytes) {
        if (bytes > 0 && std::fwrite(data, 1, bytes, file_) != bytes) fail("cannot be written");
    }

    void commit() {
        if (std::fflush(file_) != 0) fail("cannot be written");
#if defined(_WIN32)
        if (_commit(_fileno(file_)) != 0) fail("cannot be forced to the disk");
#else
        if (::fsync(fileno(file_)) != 0) fail("cannot be forced to the disk");
#endif
        std::FILE* file = std::exchange(file_, nullptr);
        if (std::fclose(file) != 0) fail("cannot be closed");
        std::error_code code;
        std::filesystem::rename(temporary_, target_, code);
        require(!code, target_.string(), ": the finished file cannot be renamed to this name: ", code.message(),
                "\nCheck the permissions of the folder and of a file of that name.");
        committed_ = true;
#if !defined(_WIN32)
        // The new name is safe only when its folder is on the disk too. Some file systems cannot do that for a folder;
        // the data is safe all the same, so that is no error.
        const auto folder = target_.has_parent_path() ? target_.parent_path() : std::filesystem::path(".");
        if (const int handle = ::open(folder.c_str(), O_RDONLY); handle >= 0) {
            ::fsync(handle);
            ::close(handle);
        }
#endif
    }

private:
    [[noreturn]] void fail(const char* what) const {
        const int reason = errno;
        throw Error(text(target_.string(), ": the temporary file beside it ", what, ": ", std::strerror(reason),
                         "\nThe target is as it was. Check the free space, the quota and the permissions of the "
                         "folder."));
    }

    std::filesystem::path target_, temporary_;
    std::FILE* file_ = nullptr;
    bool committed_ = false;
};

}  // namespace detail

/// Writes float32 tensors in the order given, with metadata. The file appears under its name only when it is whole and
/// on the disk; an Error (a full disk, a NaN, a name given twice) leaves what was there before.
inline void write_safetensors(const std::filesystem::path& path, std::span<const TensorToWrite> tensors,
                              const std::map<std::string, std::string>& metadata = {}) {
    const std::string head = detail::safetensors_head(tensors, metadata, path.string());
    detail::AtomicFile file(path);
    file.write(head.data(), head.size());
    for (const TensorToWrite& tensor : tensors)
        file.write(tensor.data, std::size_t(*detail::count_elements(tensor.shape)) * sizeof(float));
    file.commit();
}

}  // namespace mia
