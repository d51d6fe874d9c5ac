#pragma once
#include <cstddef>
#include <filesystem>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <utility>

#include "mia/core/error.hpp"
#include "mia/io/bytes.hpp"
#include "mia/io/safetensors.hpp"
#include "mia/io/state_dict.hpp"
#include "mia/io/torch_checkpoint.hpp"

namespace mia {

/// Reads weights that lie in memory, safetensors or a PyTorch checkpoint, whichever the content says. `key` matters for
/// the latter only. `owner` and Errors: as of parse_safetensors and parse_torch, and content that is neither.
inline StateDict parse_state_dict(std::span<const std::byte> bytes, std::string source, TorchKey key = TorchKey::params,
                                  std::shared_ptr<const void> owner = nullptr) {
    const std::string_view content = detail::as_text(bytes);
    // safetensors has no magic number: a length below 2^32, then '{'. Asked first, since the length's lowest bytes may
    // look like the start of anything.
    const bool is_safetensors =
        content.size() > 8 && content[8] == '{' && content.substr(4, 4) == std::string_view("\0\0\0\0", 4);
    if (is_safetensors) return parse_safetensors(bytes, std::move(source), std::move(owner));
    const bool is_tar = content.size() >= 512 && content.substr(257, 5) == "ustar";
    if (content.starts_with("PK") || content.starts_with('\x80') || is_tar)
        return parse_torch(bytes, std::move(source), key, std::move(owner));

    const std::size_t text_start = content.find_first_not_of(" \t\r\n");
    const std::string_view start = content.substr(text_start == std::string_view::npos ? 0 : text_start);
    require(!start.starts_with("version https://git-lfs"), source,
            ": a placeholder of git-lfs, not the weights themselves\nRun `git lfs pull` where it came from.");
    require(!start.starts_with('<'), source,
            ": a web page, not the weights themselves\nDownload the file behind the page, not the page.");
    throw Error(text(source, ": neither safetensors nor a PyTorch checkpoint; ", bytes.size(), " bytes, starting with ",
                     detail::printable(content.substr(0, 8)), "\nName a .safetensors or .pth file; or, ",
                     "if it is one: ", detail::fetch_again));
}

/// Reads a file of weights, safetensors or .pth, by its content and not by its name. Errors: those of
/// parse_state_dict, and a file that is missing, empty, a directory or unreadable.
inline StateDict read_state_dict(const std::filesystem::path& path, TorchKey key = TorchKey::params) {
    const detail::FileBytes file = detail::read_file(path);
    return parse_state_dict(file.span(), path.string(), key, file.owner);
}

}  // namespace mia
