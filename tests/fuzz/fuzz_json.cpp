#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <mia/io/json.hpp>
#include <string>
#include <string_view>
#include <vector>

/// Walks any value; what is read must be UTF-8 and no longer than the text.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    using Kind = mia::JsonReader::Kind;
    try {
        mia::JsonReader json(std::string_view(reinterpret_cast<const char*>(data), size), "fuzz");
        std::vector<Kind> open;
        std::string key;
        do {
            if (!open.empty()) {
                const bool more = open.back() == Kind::object ? json.next_key(key) : json.next_element();
                if (!more) {
                    open.pop_back();
                    continue;
                }
                if (key.size() > size || mia::detail::first_invalid_utf8(key) != std::string::npos) std::abort();
            }
            switch (const Kind kind = json.peek()) {
                case Kind::object:
                    json.enter_object();
                    open.push_back(kind);
                    break;
                case Kind::array:
                    json.enter_array();
                    open.push_back(kind);
                    break;
                case Kind::string:
                    if (mia::detail::first_invalid_utf8(json.string()) != std::string::npos) std::abort();
                    break;
                case Kind::integer:
                    json.integer();
                    break;
            }
            if (open.size() > mia::JsonReader::max_depth || json.offset() > size) std::abort();
        } while (!open.empty());
        json.finish();
    } catch (const mia::Error&) {
    }
    return 0;
}
