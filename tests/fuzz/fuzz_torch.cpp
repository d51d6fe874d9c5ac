#include <cstddef>
#include <cstdint>
#include <mia/io/read_state_dict.hpp>
#include <span>
#include <string>

#include "../io/zip_builder.hpp"
#include "check_state_dict.hpp"

namespace {

void read(std::span<const std::byte> bytes, mia::TorchKey key) {
    try {
        mia::fuzz::check_state_dict(mia::parse_torch(bytes, "fuzz", key));
    } catch (const mia::Error&) {
    }
}

}  // namespace

/// Each input is tried as a file, and as the pickle inside a right archive: random bytes would seldom get past the
/// checksum. The archive has the storages 0 ... 3.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    const std::span<const std::byte> bytes(reinterpret_cast<const std::byte*>(data), size);
    read(bytes, mia::TorchKey::params);
    try {
        mia::fuzz::check_state_dict(mia::parse_state_dict(bytes, "fuzz"));
    } catch (const mia::Error&) {
    }

    const std::string zip = mia::testing::make_zip({{"x/data.pkl", std::string(mia::detail::as_text(bytes))},
                                                    {"x/data/0", std::string(432, '\1')},
                                                    {"x/data/1", std::string(16, '\2')},
                                                    {"x/data/2", std::string(8, '\3')},
                                                    {"x/data/3", ""}});
    read(mia::testing::as_bytes(zip), mia::TorchKey::params);
    read(mia::testing::as_bytes(zip), mia::TorchKey::params_ema);
    return 0;
}
