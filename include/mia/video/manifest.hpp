#pragma once
#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "mia/core/error.hpp"
#include "mia/io/bytes.hpp"
#include "mia/io/json.hpp"
#include "mia/video/durable_file.hpp"
#include "mia/video/sha256.hpp"

namespace mia::detail {

/// A finished chunk, as its file chunk_NNNNNN.packets holds it.
struct ChunkRecord {
    std::int64_t first_frame = 0, frames = 0;
    std::int64_t packets = 0;  ///< that the input's other streams gave meanwhile, those left out counted too
    FileStamp file;

    bool operator==(const ChunkRecord&) const = default;
};

/// What is known of an output that is not whole yet.
struct Manifest {
    static constexpr std::string_view format = "mia unfinished output 1";

    bool assembled = false;  ///< the output is whole and lacks at most its name
    std::map<std::string, std::string> identity;
    std::vector<ChunkRecord> chunks;

    std::int64_t frames() const { return chunks.empty() ? 0 : chunks.back().first_frame + chunks.back().frames; }
    std::int64_t packets() const {
        std::int64_t sum = 0;
        for (const ChunkRecord& chunk : chunks) sum += chunk.packets;
        return sum;
    }
    bool operator==(const Manifest&) const = default;
};

inline std::string to_json(const Manifest& manifest) {
    std::string json = text("{\n  \"format\": ", json_string(Manifest::format), ",\n  \"state\": \"",
                            manifest.assembled ? "assembled" : "running", "\",\n  \"identity\": {");
    const char* separator = "\n";
    for (const auto& [name, value] : manifest.identity) {
        json += text(separator, "    ", json_string(name), ": ", json_string(value));
        separator = ",\n";
    }
    json += "\n  },\n  \"chunks\": [";
    separator = "\n";
    for (const ChunkRecord& chunk : manifest.chunks) {
        json += text(separator, "    {\"first_frame\": ", chunk.first_frame, ", \"frames\": ", chunk.frames,
                     ", \"packets\": ", chunk.packets, ", \"bytes\": ", chunk.file.bytes, ", \"sha256\": \"",
                     chunk.file.sha256, "\"}");
        separator = ",\n";
    }
    return json + "\n  ]\n}\n";
}

/// A number that sums of up to a million of cannot overflow.
inline std::int64_t read_count(JsonReader& json) {
    const std::uint64_t value = json.integer();
    if (value > std::uint64_t(1) << 40) json.fail("the number ", value, " is too large");
    return std::int64_t(value);
}

inline ChunkRecord read_chunk(JsonReader& json, std::int64_t first_frame) {
    ChunkRecord chunk;
    std::map<std::string, bool> seen;
    json.enter_object();
    for (std::string key; json.next_key(key);) {
        if (std::exchange(seen[key], true)) json.fail(printable(key), " is stated twice");
        if (key == "first_frame")
            chunk.first_frame = read_count(json);
        else if (key == "frames")
            chunk.frames = read_count(json);
        else if (key == "packets")
            chunk.packets = read_count(json);
        else if (key == "bytes")
            chunk.file.bytes = json.integer();
        else if (key == "sha256")
            chunk.file.sha256 = json.string();
        else
            json.fail("a chunk has no ", printable(key));
    }
    if (seen.size() != 5) json.fail("a chunk lacks a member");
    if (!Sha256::is_hex(chunk.file.sha256)) json.fail("a chunk's hash is not 64 hexadecimal digits");
    if (chunk.first_frame != first_frame)
        json.fail("a chunk begins at frame ", chunk.first_frame, ", the one before it ends at ", first_frame);
    return chunk;
}

/// Error when the text is not what to_json() makes; `source` opens the message.
inline Manifest read_manifest(std::string_view text, const std::string& source) {
    constexpr std::size_t most_chunks = 1'000'000;
    Manifest manifest;
    JsonReader json(text, source);
    std::map<std::string, bool> seen;
    json.enter_object();
    for (std::string key; json.next_key(key);) {
        if (std::exchange(seen[key], true)) json.fail(printable(key), " is stated twice");
        if (key == "format") {
            const std::string format = json.string();
            if (format != Manifest::format)
                json.fail("the format is ", printable(format), ", this version knows '", Manifest::format, "'");
        } else if (key == "state") {
            const std::string state = json.string();
            if (state != "running" && state != "assembled") json.fail("unknown state ", printable(state));
            manifest.assembled = state == "assembled";
        } else if (key == "identity") {
            json.enter_object();
            for (std::string name; json.next_key(name);)
                if (!manifest.identity.emplace(name, json.string()).second)
                    json.fail(printable(name), " is stated twice");
        } else if (key == "chunks") {
            json.enter_array();
            while (json.next_element()) {
                if (manifest.chunks.size() == most_chunks) json.fail("more than ", most_chunks, " chunks");
                manifest.chunks.push_back(read_chunk(json, manifest.frames()));
            }
        } else {
            json.fail("unknown member ", printable(key));
        }
    }
    if (seen.size() != 4) json.fail("format, state, identity or chunks is missing");
    json.finish();
    return manifest;
}

/// What differs between two runs, one line for each name: "  crf: was 16, is 18". Empty when nothing does.
inline std::string differences(const std::map<std::string, std::string>& was,
                               const std::map<std::string, std::string>& is) {
    std::string lines;
    const auto value = [](const auto& map, const std::string& name) {
        const auto found = map.find(name);
        return found == map.end() ? std::string("not there") : found->second.empty() ? "empty" : found->second;
    };
    std::map<std::string, std::string> names = was;
    names.insert(is.begin(), is.end());
    for (const auto& [name, ignored] : names)
        if (json_string(value(was, name)) != json_string(value(is, name)))  // as they lie in the file
            lines += text("\n  ", name, ": was ", value(was, name), ", is ", value(is, name));
    return lines;
}

}  // namespace mia::detail
