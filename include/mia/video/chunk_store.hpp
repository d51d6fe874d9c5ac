#pragma once
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <filesystem>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>
#include <vector>

#include "mia/core/error.hpp"
#include "mia/io/bytes.hpp"
#include "mia/video/durable_file.hpp"
#include "mia/video/manifest.hpp"
#include "mia/video/writer_config.hpp"

namespace mia::detail {

/// The folder OUTPUT.partial, where an output grows:
///     manifest.json          what is finished; replaced as a whole after each chunk
///     chunk_000012.packets   a finished chunk
///     output.mp4, images/    what finish() will give the output's name
///     lock                   held by the one process that writes
/// The process may end at any moment: what the manifest lists is whole, all else is made again.
class ChunkStore {
public:
    /// Locks the folder, and takes up or deletes what an earlier run has left in it, as `unfinished` says. A run that
    /// is not repeatable leaves nothing behind and takes nothing up.
    ChunkStore(const std::filesystem::path& output, std::map<std::string, std::string> identity, Unfinished unfinished,
               bool repeatable)
        : output_(output), folder_(output.string() + ".partial"), repeatable_(repeatable) {
        check_is_ours();
        lock_.emplace(folder_);
        require(lock_->state() == FolderLock::State::held, output_.string(), ": another run is writing this output (",
                folder_.string(), " is locked). Wait for it, or choose another name.");
        take_up(identity, unfinished);
        manifest_.identity = std::move(identity);
        manifest_.assembled = false;
        remove_unlisted();
        save();
    }
    ChunkStore(const ChunkStore&) = delete;
    ChunkStore& operator=(const ChunkStore&) = delete;
    ~ChunkStore() {
        if (!resumable()) remove();
    }

    /// Whether a later run can go on from here; if not, nothing stays.
    bool resumable() const { return repeatable_ && !manifest_.chunks.empty(); }

    const std::filesystem::path& folder() const { return folder_; }
    const Manifest& manifest() const { return manifest_; }
    /// What was found damaged when an earlier run was taken up; else empty.
    const std::string& note() const { return note_; }

    std::filesystem::path chunk_path(std::size_t index) const {
        char name[48];
        std::snprintf(name, sizeof name, "chunk_%06zu.packets", index);
        return folder_ / name;
    }

    /// Lists one more chunk, whose file is on the disk as chunk_path(number of chunks so far).
    void add(ChunkRecord chunk) {
        chunk.first_frame = manifest_.frames();
        manifest_.chunks.push_back(std::move(chunk));
        try {
            save();
        } catch (...) {
            manifest_.chunks.pop_back();
            throw;
        }
    }

    /// Forgets the chunks from `index` on, because of `reason`.
    void forget_from(std::size_t index, const std::string& reason) {
        const std::int64_t before = manifest_.frames();
        manifest_.chunks.resize(index);
        note_ = text(output_.string(), ": chunk ", index, " of the earlier run is damaged (", reason, "); ",
                     manifest_.frames(), " of its ", before, " frames are kept, the others are made again.");
        save();
    }

    /// Gives `whole`, inside the folder, the output's name, and removes the folder.
    void publish(const std::filesystem::path& whole) {
        manifest_.assembled = true;
        save();
        rename_durably(whole, output_);
        remove();
        manifest_.chunks.clear();
    }

private:
    std::filesystem::path manifest_path() const { return folder_ / "manifest.json"; }

    /// Names that a run makes in its folder.
    static bool is_our_name(std::string_view name) {
        if (name.ends_with(".new")) name.remove_suffix(4);
        return name == "manifest.json" || name == "lock" || name == "images" || name.starts_with("output.") ||
               (name.starts_with("chunk_") && name.ends_with(".packets"));
    }

    /// A folder of this name that is somebody else's is neither used nor emptied.
    void check_is_ours() const {
        std::error_code failure;
        if (!std::filesystem::exists(std::filesystem::symlink_status(folder_, failure))) return;
        require(std::filesystem::is_directory(folder_, failure), output_.string(), ": the output grows in the folder ",
                folder_.string(), ", but a file has that name. Move it away, or choose another name for the output.");
        for (const auto& entry : std::filesystem::directory_iterator(folder_, failure))
            require(is_our_name(entry.path().filename().string()), output_.string(),
                    ": the output grows in the folder ", folder_.string(),
                    ", which holds something else: ", entry.path().filename().string(),
                    ". Move it away, or choose another name for the output.");
        require(!failure, folder_.string(), ": the folder cannot be read (", failure.message(),
                "). Check its permissions.");
    }

    void take_up(const std::map<std::string, std::string>& identity, Unfinished unfinished) {
        std::error_code failure;
        if (unfinished == Unfinished::restart || !std::filesystem::exists(manifest_path(), failure)) return;
        Manifest earlier;
        try {
            earlier = read_manifest(as_text(read_file(manifest_path()).span()), manifest_path().string());
        } catch (const Error& error) {
            const std::string words = error.what();
            throw Error(text(output_.string(),
                             ": an earlier run is unfinished, and its list of what is done is damaged "
                             "(",
                             words.substr(0, words.find('\n')), "). Begin anew with restart."));
        }
        if (earlier.chunks.empty() || was_published(earlier)) return;
        require(unfinished == Unfinished::resume, output_.string(), ": an earlier run left this output unfinished, ",
                earlier.frames(), " frames are done (in ", folder_.string(),
                "). Go on with resume, or begin anew with restart.");
        require(repeatable_, output_.string(),
                ": the unfinished run cannot be resumed: what comes through a pipe cannot ",
                "be compared with what came then. Read a file, or begin anew with restart.");
        const std::string different = differences(earlier.identity, identity);
        require(different.empty(), output_.string(),
                ": the unfinished run cannot be resumed, it was another one:", different,
                "\nRepeat it with the same input and options, or begin anew with restart.");
        manifest_ = std::move(earlier);
        check_chunks();
    }

    /// The earlier run was interrupted when all was done but the removal of its folder.
    bool was_published(const Manifest& earlier) const {
        if (!earlier.assembled) return false;
        for (const auto& entry : std::filesystem::directory_iterator(folder_)) {
            const std::string name = entry.path().filename().string();
            if (name == "images" || name.starts_with("output.")) return false;
        }
        std::error_code failure;
        return std::filesystem::exists(output_, failure);
    }

    void check_chunks() {
        for (std::size_t i = 0; i < manifest_.chunks.size(); ++i)
            if (stamp_of(chunk_path(i)) != manifest_.chunks[i].file)
                return forget_from(i, chunk_path(i).filename().string() + " is not what was written");
    }

    /// Deletes all but what the manifest lists; images are their owner's to check.
    void remove_unlisted() const {
        std::vector<std::filesystem::path> listed = {manifest_path(), folder_ / "lock"};
        for (std::size_t i = 0; i < manifest_.chunks.size(); ++i) listed.push_back(chunk_path(i));
        if (!manifest_.chunks.empty()) listed.push_back(folder_ / "images");
        std::sort(listed.begin(), listed.end());
        std::error_code failure;
        for (const auto& entry : std::filesystem::directory_iterator(folder_, failure))
            if (!std::binary_search(listed.begin(), listed.end(), entry.path()))
                std::filesystem::remove_all(entry.path(), failure);
        require(!failure, folder_.string(), ": cannot be cleared (", failure.message(), "). Check its permissions.");
    }

    void save() const {
        DurableFile file(manifest_path());
        file.write(to_json(manifest_));
        file.commit();
    }

    /// The manifest goes first, so that what is left of an interrupted removal is no unfinished run. Another writer may
    /// come between the last two lines; the folder is then its own.
    void remove() const {
        std::error_code ignored;
        std::filesystem::remove(manifest_path(), ignored);
        for (const auto& entry : std::filesystem::directory_iterator(folder_, ignored))
            if (entry.path().filename() != "lock") std::filesystem::remove_all(entry.path(), ignored);
        std::filesystem::remove(folder_ / "lock", ignored);
        std::filesystem::remove(folder_, ignored);
    }

    std::filesystem::path output_, folder_;
    bool repeatable_;
    std::optional<FolderLock> lock_;
    Manifest manifest_;
    std::string note_;
};

}  // namespace mia::detail
