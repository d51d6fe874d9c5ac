#pragma once
#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "zip_builder.hpp"

/// Writes pickles opcode by opcode, for state dicts that PyTorch would not write. Each function returns the opcodes
/// that leave one value on the stack.
namespace mia::testing::pickle {

inline std::string number(std::int64_t value) {
    std::string code("\x8a\x08");
    append_le(code, value);
    return code;
}

inline std::string str(std::string_view value) {
    std::string code("X");
    append_le(code, std::uint32_t(value.size()));
    code += value;
    return code;
}

inline std::string global(std::string_view module, std::string_view name) {
    std::string code("c");
    code.append(module).append("\n").append(name).append("\n");
    return code;
}

inline std::string tuple(const std::vector<std::string>& values) {
    std::string code("(");
    for (const std::string& value : values) code += value;
    code += 't';
    return code;
}

inline std::string numbers(const std::vector<std::int64_t>& values) {
    std::vector<std::string> codes;
    for (std::int64_t value : values) codes.push_back(number(value));
    return tuple(codes);
}

inline std::string call(const std::string& function, const std::vector<std::string>& arguments) {
    return function + tuple(arguments) + "R";
}

inline std::string ordered_dict() { return call(global("collections", "OrderedDict"), {}); }

inline std::string storage(std::string_view type, std::string_view key, std::int64_t elements) {
    return tuple({str("storage"), global("torch", type), str(key), str("cpu"), number(elements)}) + "Q";
}

inline std::string tensor(const std::string& storage_code, std::int64_t offset, const std::vector<std::int64_t>& shape,
                          const std::vector<std::int64_t>& strides) {
    return call(global("torch._utils", "_rebuild_tensor_v2"),
                {storage_code, number(offset), numbers(shape), numbers(strides), "\x89", ordered_dict()});
}

inline std::string dict(const std::vector<std::pair<std::string, std::string>>& items) {
    std::string code("}(");
    for (const auto& [key, value] : items) code.append(str(key)).append(value);
    code += 'u';
    return code;
}

/// A whole pickle around one value.
inline std::string whole(const std::string& value) {
    std::string code("\x80\x02");
    code.append(value).append(".");
    return code;
}

}  // namespace mia::testing::pickle

namespace mia::testing {

/// A checkpoint with that pickle and the storages 0, 1, ...
inline std::string make_checkpoint(const std::string& pickle, const std::vector<std::string>& storages = {}) {
    std::vector<ZipItem> items{{"archive/data.pkl", pickle}};
    for (std::size_t i = 0; i < storages.size(); ++i) items.emplace_back(text("archive/data/", i), storages[i]);
    items.emplace_back("archive/version", "3\n");
    return make_zip(items);
}

}  // namespace mia::testing
