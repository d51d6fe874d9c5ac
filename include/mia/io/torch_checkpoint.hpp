#pragma once
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <filesystem>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "mia/core/error.hpp"
#include "mia/io/bytes.hpp"
#include "mia/io/pickle.hpp"
#include "mia/io/state_dict.hpp"
#include "mia/io/zip_archive.hpp"

namespace mia {

/// Which dictionary of a checkpoint is meant.
enum class TorchKey {
    params,  ///< what the published scripts load; also the file's own tensors, or `state_dict`, if there is no `params`
    params_ema,  ///< the average over the training steps
    state_dict   ///< what many training scripts write
};

constexpr const char* name_of(TorchKey key) {
    switch (key) {
        case TorchKey::params_ema:
            return "params_ema";
        case TorchKey::state_dict:
            return "state_dict";
        case TorchKey::params:
            break;
    }
    return "params";
}

namespace detail {

/// The dictionary's value of that name; nothing if there is none. Error if there are two.
inline std::optional<PickleValue> find_item(const PickleMachine& machine, PickleValue dict, std::string_view name,
                                            const std::string& source) {
    std::optional<PickleValue> found;
    for (const auto& [key, value] : machine.dict(dict)) {
        if (key.kind != PickleKind::string || machine.string(key) != name) continue;
        require(!found, source, ": the checkpoint holds ", printable(name), " twice\n", fetch_again);
        found = value;
    }
    return found;
}

/// The dictionary of tensors that `key` asks for.
inline PickleValue select_dict(const PickleMachine& machine, PickleValue root, TorchKey key,
                               const std::string& source) {
    require(root.kind == PickleKind::dict, source, ": the checkpoint is ", name_of(root.kind),
            ", not a dictionary of tensors\nSave model.state_dict() with torch.save.");
    const auto is_dict = [](const std::optional<PickleValue>& v) { return v && v->kind == PickleKind::dict; };
    const auto asked = find_item(machine, root, name_of(key), source);
    if (is_dict(asked)) return *asked;
    if (key == TorchKey::params) {
        bool plain = machine.dict(root).empty();
        for (const auto& item : machine.dict(root)) plain = plain || item.second.kind == PickleKind::tensor;
        if (plain) return root;
        const auto state_dict = find_item(machine, root, "state_dict", source);
        if (is_dict(state_dict)) return *state_dict;
    }
    std::string found;
    std::size_t more = 0;
    for (const auto& item : machine.dict(root)) {
        if (item.first.kind != PickleKind::string) continue;
        if (found.size() > 400) {
            ++more;
        } else {
            found += (found.empty() ? "" : ", ") + printable(machine.string(item.first));
        }
    }
    throw Error(text(source, ": the checkpoint has no dictionary of tensors called '", name_of(key), "'; it holds ",
                     found.empty() ? "nothing with a name" : found, more > 0 ? text(" and ", more, " more") : "",
                     "\nAsk for one of those (TorchKey), or save model.state_dict() with torch.save."));
}

/// Copies a strided view of `from` (elements of `width` bytes) into one contiguous piece.
inline void gather_strided(const PickleTensor& tensor, std::size_t width, const std::byte* from, std::byte* to) {
    std::vector<std::int64_t> position(tensor.shape.size(), 0);
    std::int64_t at = tensor.offset;
    for (;;) {
        std::memcpy(to, from + std::size_t(at) * width, width);
        to += width;
        std::size_t axis = position.size();
        for (; axis-- > 0;) {
            at += tensor.strides[axis];
            if (++position[axis] < tensor.shape[axis]) break;
            at -= tensor.strides[axis] * position[axis];
            position[axis] = 0;
        }
        if (axis == std::size_t(-1)) return;
    }
}

/// Turns descriptions of tensors into entries. Contiguous ones stay where they are in the file.
class TorchTensors {
public:
    TorchTensors(const PickleMachine& machine, ZipArchive& archive, std::string folder, std::size_t file_bytes)
        : machine_(machine), archive_(archive), folder_(std::move(folder)), copies_left_(file_bytes) {}

    TensorEntry read(std::string_view name, const PickleTensor& tensor) {
        const PickleStorage& storage = machine_.storage(tensor);
        const std::size_t width = size_of(storage.dtype);
        const auto where = [&] {
            return text(archive_.source(), ": tensor ", printable(name), " (", name_of(storage.dtype), " ",
                        shape_text(tensor.shape), ", strides ", shape_text(tensor.strides), ", offset ", tensor.offset,
                        ") ");
        };
        const auto refuse = [&](const auto&... what) { throw Error(text(where(), what..., "\n", fetch_again)); };

        const auto elements = count_elements(tensor.shape);
        if (!elements) refuse("has a negative extent or more elements than any file can hold");
        const auto content = archive_.read(folder_ + "data/" + std::string(storage.key));
        if (storage.elements < 0 || content.size() % width != 0 ||
            content.size() / width != std::uint64_t(storage.elements))
            refuse("looks into storage ", printable(storage.key), " of ", storage.elements, " elements, which has ",
                   content.size(), " bytes in the file");
        if (tensor.offset < 0) refuse("has a negative offset");

        TensorEntry entry{std::string(name), storage.dtype, tensor.shape, content.data(), 0};
        if (*elements == 0) return entry;
        std::uint64_t last = std::uint64_t(tensor.offset);
        std::uint64_t contiguous_stride = 1;
        bool contiguous = true;
        for (std::size_t axis = tensor.shape.size(); axis-- > 0;) {
            const std::int64_t extent = tensor.shape[axis], stride = tensor.strides[axis];
            if (stride < 0) refuse("has a negative stride");
            if (extent > 1 && std::uint64_t(stride) != contiguous_stride) contiguous = false;
            contiguous_stride *= std::uint64_t(extent);  // at most *elements
            const auto reach = checked_multiply(std::uint64_t(extent - 1), std::uint64_t(stride));
            const auto sum = reach ? checked_add(last, *reach) : std::nullopt;
            if (!sum) refuse("reaches further than 64 bits can count");
            last = *sum;
        }
        if (last >= std::uint64_t(storage.elements))
            refuse("needs element ", last, " of storage ", printable(storage.key), ", which has ", storage.elements);
        // A view that repeats elements (expand) could claim any size; all others fit into what the file has.
        if (*elements > std::uint64_t(storage.elements))
            throw Error(text(where(), "repeats elements of its storage, which has only ", storage.elements,
                             "\nSave tensor.contiguous() instead of the expanded view."));
        entry.bytes = std::size_t(*elements) * width;
        entry.data = content.data() + std::size_t(tensor.offset) * width;
        if (!contiguous) {
            if (entry.bytes > copies_left_)
                throw Error(text(where(),
                                 "is one of so many views of the same storages that making them contiguous "
                                 "takes more memory than the file has\nSave tensor.contiguous() instead of views."));
            copies_left_ -= entry.bytes;
            copies_.push_back(std::make_unique<std::byte[]>(entry.bytes));
            gather_strided(tensor, width, content.data(), copies_.back().get());
            entry.data = copies_.back().get();
        }
        return entry;
    }

    std::vector<std::unique_ptr<std::byte[]>> take_copies() { return std::move(copies_); }

private:
    const PickleMachine& machine_;
    ZipArchive& archive_;
    std::string folder_;       // "archive/", before every name in the zip archive
    std::size_t copies_left_;  // bytes that may still be copied
    std::vector<std::unique_ptr<std::byte[]>> copies_;
};

/// The zip archive's one folder with a data.pkl in it, "archive/".
inline std::string checkpoint_folder(const ZipArchive& archive) {
    constexpr std::string_view pickle = "/data.pkl";
    std::optional<std::string> folder;
    for (const ZipArchive::Entry& entry : archive.entries()) {
        if (!entry.name.ends_with(pickle) || entry.name.find('/') != entry.name.size() - pickle.size()) continue;
        if (folder)
            throw Error(text(archive.source(), ": the zip archive holds two checkpoints, in ", printable(*folder),
                             " and ", printable(entry.name), "\nSave them in two files."));
        folder = std::string(entry.name.substr(0, entry.name.size() - pickle.size() + 1));
    }
    require(folder.has_value(), archive.source(), ": a zip archive with ", archive.entries().size(),
            " entries, and none is <name>/data.pkl, so it is no PyTorch checkpoint\nUnpack the .pth file from it "
            "first, or save the weights with torch.save.");
    return *folder;
}

/// Older forms and near misses get a sentence of their own.
inline void require_zip(std::span<const std::byte> bytes, const std::string& source) {
    const std::string_view start = as_text(bytes.subspan(0, std::min<std::size_t>(bytes.size(), 512)));
    constexpr std::string_view old_magic("\x80\x02\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19", 14);
    constexpr const char* again =
        "\nLoad it with a recent PyTorch and save it again: torch.save(torch.load(path, map_location='cpu'), path).";
    require(!start.starts_with(old_magic), source,
            ": a checkpoint in the format before PyTorch 1.6, which is not a zip archive", again);
    require(start.size() < 512 || start.substr(257, 5) != "ustar", source,
            ": a tar archive, PyTorch's format before 0.2", again);
    require(!(start.size() >= 2 && start[0] == '\x80' && start[1] >= 2 && start[1] <= 5), source,
            ": a bare pickle, not a checkpoint that torch.save wrote\nSave model.state_dict() with torch.save.");
    require(start.starts_with("PK"), source, ": starts with ", printable(start.substr(0, 4)),
            " and not with 'PK' as the zip archives that torch.save writes\n", fetch_again);
}

}  // namespace detail

/// Reads a checkpoint that torch.save wrote (PyTorch 1.6 or later) and that lies in memory. Tensors stay where they are
/// in `bytes`, which `owner` keeps alive with the result, or the caller does; only views that are not contiguous are
/// copied. The pickle inside is read by a machine that knows dictionaries, tensors and plain values; any other opcode
/// or global is an Error that names it, and nothing is ever executed. Further Errors: a damaged or compressed archive,
/// wrong checksums, tensors that do not fit their storage, a dictionary with anything but tensors, a missing `key`.
inline StateDict parse_torch(std::span<const std::byte> bytes, std::string source, TorchKey key = TorchKey::params,
                             std::shared_ptr<const void> owner = nullptr) {
    using namespace detail;
    require_zip(bytes, source);
    ZipArchive archive(bytes, source);
    const std::string folder = checkpoint_folder(archive);
    if (archive.contains(folder + "byteorder"))
        require(as_text(archive.read(folder + "byteorder")) == "little", source,
                ": the checkpoint was saved on a big-endian machine\nLoad and save it again on a little-endian one.");
    PickleMachine machine(archive.read(folder + "data.pkl"), source);
    const PickleValue dict = select_dict(machine, machine.run(), key, source);

    TorchTensors tensors(machine, archive, folder, bytes.size());
    std::vector<TensorEntry> entries;
    for (const auto& [name, value] : machine.dict(dict)) {
        require(name.kind == PickleKind::string, source, ": a name in the dictionary of tensors is ",
                name_of(name.kind), "\nSave model.state_dict() with torch.save.");
        if (value.kind != PickleKind::tensor)
            throw Error(text(source, ": the entry ", printable(machine.string(name)), " is ", name_of(value.kind),
                             ", not a tensor\nSave model.state_dict() with torch.save, other values beside it."));
        entries.push_back(tensors.read(machine.string(name), machine.tensor(value)));
    }

    struct Owned {
        std::shared_ptr<const void> file;
        std::vector<std::unique_ptr<std::byte[]>> copies;
    };
    auto owned = std::make_shared<Owned>(Owned{std::move(owner), tensors.take_copies()});
    return {std::move(source), std::move(entries), {}, std::move(owned)};
}

/// The same for bytes that the result shall own.
inline StateDict parse_torch(std::vector<std::byte>&& bytes, std::string source, TorchKey key = TorchKey::params) {
    auto owner = std::make_shared<const std::vector<std::byte>>(std::move(bytes));
    const std::span<const std::byte> view(*owner);
    return parse_torch(view, std::move(source), key, std::move(owner));
}

/// Reads a .pth file. Errors: those of parse_torch, and a file that cannot be read.
inline StateDict read_torch(const std::filesystem::path& path, TorchKey key = TorchKey::params) {
    const detail::FileBytes file = detail::read_file(path);
    return parse_torch(file.span(), path.string(), key, file.owner);
}

}  // namespace mia
