#pragma once
extern "C" {
#include <libavutil/mem.h>
#include <libavutil/sha.h>
}

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include "mia/core/error.hpp"

namespace mia {

/// SHA-256 of bytes that come in pieces.
class Sha256 {
public:
    Sha256() : state_(av_sha_alloc()) {
        require(state_ != nullptr, "FFmpeg: no memory for a hash");
        av_sha_init(state_.get(), 256);
    }

    void update(const void* bytes, std::size_t size) {
        av_sha_update(state_.get(), static_cast<const std::uint8_t*>(bytes), size);
    }
    void update(std::string_view bytes) { update(bytes.data(), bytes.size()); }

    /// 64 hexadecimal digits, of all bytes so far; begins anew.
    std::string take() {
        std::array<std::uint8_t, 32> digest;
        av_sha_final(state_.get(), digest.data());
        av_sha_init(state_.get(), 256);
        std::string hex;
        for (const std::uint8_t byte : digest) hex += {digits[byte >> 4], digits[byte & 15]};
        return hex;
    }

    static bool is_hex(std::string_view s) {
        return s.size() == 64 && s.find_first_not_of(digits) == std::string_view::npos;
    }

private:
    static constexpr const char* digits = "0123456789abcdef";

    struct Free {
        void operator()(AVSHA* state) const { av_free(state); }
    };
    std::unique_ptr<AVSHA, Free> state_;
};

}  // namespace mia
