// What a file claims must not make a reader allocate: only what the file has does. This program's operator new counts.
#include <gtest/gtest.h>

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <mia/io/read_state_dict.hpp>
#include <new>
#include <string>
#include <vector>

#include "check_io.hpp"
#include "pickle_builder.hpp"
#include "zip_builder.hpp"

namespace {
std::atomic<std::size_t> allocated_bytes = 0;  // ever, not at a time

void* count_and_allocate(std::size_t size) noexcept {
    allocated_bytes += size;
    return std::malloc(size > 0 ? size : 1);
}
}  // namespace

// Not inlined: the compiler would see malloc and free behind new and delete and call them mismatched.
[[gnu::noinline]] void* operator new(std::size_t size) {
    if (void* memory = count_and_allocate(size)) return memory;
    throw std::bad_alloc();
}
[[gnu::noinline]] void* operator new[](std::size_t size) { return operator new(size); }
[[gnu::noinline]] void* operator new(std::size_t size, const std::nothrow_t&) noexcept {
    return count_and_allocate(size);
}
[[gnu::noinline]] void* operator new[](std::size_t size, const std::nothrow_t&) noexcept {
    return count_and_allocate(size);
}
[[gnu::noinline]] void operator delete(void* memory) noexcept { std::free(memory); }
[[gnu::noinline]] void operator delete[](void* memory) noexcept { std::free(memory); }
[[gnu::noinline]] void operator delete(void* memory, std::size_t) noexcept { std::free(memory); }
[[gnu::noinline]] void operator delete[](void* memory, std::size_t) noexcept { std::free(memory); }
[[gnu::noinline]] void operator delete(void* memory, const std::nothrow_t&) noexcept { std::free(memory); }
[[gnu::noinline]] void operator delete[](void* memory, const std::nothrow_t&) noexcept { std::free(memory); }

namespace mia {
namespace {

using testing::as_bytes;
using testing::make_checkpoint;
using testing::ZipItem;
namespace pickle = testing::pickle;

/// For small files: messages, strings and small vectors, many times over.
constexpr std::size_t a_message = 64 << 10;

/// All bytes that reading `file`, which must be refused, asks operator new for.
std::size_t bytes_to_refuse(const std::string& file) {
    std::size_t before = 0, after = 0;
    const std::string message = testing::error_of([&] {
        before = allocated_bytes;
        try {
            parse_state_dict(as_bytes(file), "file");
        } catch (...) {
            after = allocated_bytes;
            throw;
        }
    });
    EXPECT_NE(message, "") << "this file was accepted";
    return after - before;
}

std::string safetensors_of(const std::string& header, const std::string& data = "") {
    std::string file;
    testing::append_le<std::uint64_t>(file, header.size());
    return file + header + data;
}

TEST(HostileSizes, the_counter_counts) {
    const std::size_t before = allocated_bytes;
    operator delete(operator new(123456));
    EXPECT_EQ(allocated_bytes - before, 123456u);
}

TEST(HostileSizes, safetensors_that_claim_more_than_they_have) {
    for (const char* shape : {"1152921504606846976", "1073741824,1073741824", "1000000000", "268435456"}) {
        const std::string header =
            std::string(R"({"a":{"dtype":"F32","data_offsets":[0,4294967296],"shape":[)") + shape + "]}}";
        EXPECT_LT(bytes_to_refuse(safetensors_of(header, "12345678")), a_message) << shape;
    }
    for (std::uint64_t length : {std::uint64_t(99'999'999), std::uint64_t(1) << 31}) {
        std::string file;
        testing::append_le(file, length);
        EXPECT_LT(bytes_to_refuse(file + "{}"), a_message) << length;
    }
}

TEST(HostileSizes, large_headers_cost_a_small_multiple_of_themselves) {
    constexpr std::size_t megabyte = 1 << 20;
    EXPECT_LT(bytes_to_refuse(safetensors_of("{" + std::string(megabyte, '['))), a_message);
    EXPECT_LT(bytes_to_refuse(safetensors_of("{\"a\":{\"shape\":" + std::string(megabyte, '['))), a_message);
    std::string ones = "{\"a\":{\"shape\":[1";
    for (std::size_t i = 0; i < megabyte / 2; ++i) ones += ",1";
    EXPECT_LT(bytes_to_refuse(safetensors_of(ones)), a_message);
    // One name of a megabyte is copied a few times, its message holds only the start.
    EXPECT_LT(bytes_to_refuse(safetensors_of("{\"" + std::string(megabyte, 'x') + "\":1}")), 8 * megabyte);
    std::string many = "{";
    for (int i = 0; many.size() < megabyte; ++i)
        many += "\"" + std::to_string(i) + "\":{\"dtype\":\"U8\",\"shape\":[],\"data_offsets\":[0,1]},";
    EXPECT_LT(bytes_to_refuse(safetensors_of(many)), 40 * megabyte);
}

TEST(HostileSizes, archives_that_claim_more_than_they_have) {
    for (std::int64_t count : {std::int64_t(1) << 20, std::int64_t(1) << 60})
        EXPECT_LT(bytes_to_refuse(testing::make_zip({{"a/data.pkl", "}."}}, {.zip64 = true, .count_change = count})),
                  a_message);
    ZipItem item("a/data.pkl", "}.");
    item.size = item.packed = 0xFFFFFFF0;
    EXPECT_LT(bytes_to_refuse(testing::make_zip({item})), a_message);
    item.method = 8;
    item.packed = 2;
    EXPECT_LT(bytes_to_refuse(testing::make_zip({item})), a_message);
}

TEST(HostileSizes, pickles_that_claim_more_than_they_have) {
    const auto cost = [](const std::string& code) {
        return bytes_to_refuse(make_checkpoint("\x80\x02" + code, {"12345678"}));
    };
    EXPECT_LT(cost("X\xF0\xFF\xFF\xFF"
                   "abc."),
              a_message);
    EXPECT_LT(cost("}r\xF0\xFF\xFF\xFF."), a_message);
    EXPECT_LT(cost("(((((((((((((((t."), a_message);
    const auto view = [&](std::int64_t elements, std::int64_t extent, std::int64_t stride) {
        return cost(pickle::dict({{"w", pickle::tensor(pickle::storage("FloatStorage", "0", elements), 0, {extent},
                                                       {stride})}}) +
                    ".");
    };
    EXPECT_LT(view(2, std::int64_t(1) << 60, 0), a_message);
    EXPECT_LT(view(2, std::int64_t(1) << 30, 0), a_message);
    EXPECT_LT(view(std::int64_t(1) << 60, std::int64_t(1) << 60, 1), a_message);
}

TEST(HostileSizes, pickles_cost_a_bounded_multiple_of_themselves) {
    constexpr std::size_t size = 1 << 20;
    // A value takes 16 bytes, an object up to 40, and arrays double as they grow.
    for (const std::string& unit :
         {std::string("}0"), std::string(")\x85"), std::string("(t\x85"), std::string("](N")}) {
        std::string code = "\x80\x02";
        while (code.size() < size) code += unit;
        EXPECT_LT(bytes_to_refuse(make_checkpoint(code)), 256 * size) << unit;
    }
    // Doubling a tuple by naming it twice: nested sharing, not copies.
    std::string doubling = "\x80\x02)";
    for (int i = 0; i < 200; ++i) doubling += std::string("q\x01h\x01\x86");
    EXPECT_LT(bytes_to_refuse(make_checkpoint(doubling + ".")), a_message);
    // Appending a list to others again and again copies no contents either.
    std::string lists = "\x80\x02]q";
    lists += '\0';
    for (int i = 0; i < 200; ++i) lists += std::string("h\0a", 3);
    EXPECT_LT(bytes_to_refuse(make_checkpoint(lists + ".")), a_message);
}

}  // namespace
}  // namespace mia
