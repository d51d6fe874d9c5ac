#include <cstddef>
#include <cstdint>
#include <mia/io/read_state_dict.hpp>
#include <span>

#include "check_state_dict.hpp"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    const std::span<const std::byte> bytes(reinterpret_cast<const std::byte*>(data), size);
    try {
        mia::fuzz::check_state_dict(mia::parse_safetensors(bytes, "fuzz"));
    } catch (const mia::Error&) {
    }
    return 0;
}
